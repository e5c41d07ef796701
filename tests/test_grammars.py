"""Whatever schema a tool has, what is said under its grammar is a valid call; guided calls and quotes are exact."""

from __future__ import annotations

import contextlib
import datetime
import enum
import inspect
import json
import random
import re
import threading
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from ipaddress import IPv4Network
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple

import jsonschema
import pytest
import torch
from PIL.Image import Image
from pydantic import Base64Str, Field, SecretStr
from transformers import LlamaForCausalLM, PreTrainedTokenizerFast

from assistant.artifacts import Document
from assistant.engine.decode import Count, Engine
from assistant.engine.grammar import Vocabulary
from assistant.engine.sample import Sampling
from assistant.errors import BadToolCall, PluginError
from assistant.grammars import call_grammar, quote_grammar
from assistant.registry import Registry
from assistant.tools import Tool, tool
from assistant.types import Artifact, ToolCall, ToolSpec
from tests.conftest import DEMO_TOOLS
from tests.engine.conftest import ids_of, tiny_model, tiny_tokenizer  # noqa: F401

FILES = (
    Artifact("image-1", "image", "image/png", "a.png", "aa", 1),
    Artifact("image-2", "image", "image/png", "b", "bb", 1),
    Artifact("document-1", "document", "text/plain", "c", "cc", 1),
)
SPECS = [each.spec(FILES[:2], {}) for each in DEMO_TOOLS]
END = 259
LONGEST = 1200  # tokens; what is longer is cut off
PATTERNS = (
    r"^[a-z]{2,4}$",
    r"^\d{3}-\d{2}$",
    r"[0-9]+",
    r"^(?:red|green)?$",
    "^ä?ö$",
    r"^[^\"\\]{1,5}$",
)
FORMATS = (
    "date",
    "time",
    "date-time",
    "duration",
    "uuid",
    "ipv4",
    "ipv6",
    "email",
    "hostname",
    "uri",
    "path",
    "binary",
)
WORDS = ("red", "Bär", 'a "quote"', "back\\slash", "two\nlines", "", "ünï", "{", "\u2028", "😀")


@pytest.fixture(scope="module")
def vocabulary(tiny_tokenizer: PreTrainedTokenizerFast) -> Vocabulary:  # noqa: F811
    return Vocabulary(tiny_tokenizer, 320)


@pytest.fixture
def speak(
    vocabulary: Vocabulary,
    tiny_model: LlamaForCausalLM,  # noqa: F811
    tiny_tokenizer: PreTrainedTokenizerFast,  # noqa: F811
) -> Callable[..., str]:
    """Let the tiny model say something under a grammar."""
    engine = Engine(tiny_model)

    def say(grammar: str, **sampling: Any) -> str:
        stream = engine.stream(
            [256, 72],
            Sampling(**{"max_new_tokens": LONGEST} | sampling),
            frozenset({END}),
            threading.Event(),
            Count(),
            vocabulary.constraint(grammar),
        )
        return tiny_tokenizer.decode(ids_of(stream))

    return say


def read_call(text: str) -> ToolCall | str:
    """Read a call as strictly as JSON is; what was cut off stays text."""
    try:
        call = json.loads(text)
    except ValueError:
        return text
    return ToolCall("1", call["name"], call["parameters"])


def only_calls(tools: list[ToolSpec]) -> str:
    return call_grammar(tools).replace("start: words | ", "start: ")


class Schemas:
    """Draws JSON schemas as pydantic writes them."""

    def __init__(self, seed: int) -> None:
        self.draw = random.Random(seed)

    def any(self, depth: int = 0) -> dict[str, Any]:
        kinds: list[Callable[[], dict[str, Any]]] = [self.integer, self.number, self.string, self.choice, self.plain]
        if depth < 3:
            kinds += [lambda: self.array(depth), lambda: self.object(depth), lambda: self.either(depth)] * 2
        return self.draw.choice(kinds)()

    def some(self, **keys: Any) -> dict[str, Any]:
        """Keep some of the `keys`."""
        return {key: value for key, value in keys.items() if self.draw.random() < 0.5}

    def integer(self) -> dict[str, Any]:
        low = self.draw.choice((-(10**9), -17, 0, 1))
        keys = {"minimum": low, "maximum": low + self.draw.choice((0, 1, 9, 1234, 10**12))}
        if self.draw.random() < 0.3:
            keys = {"exclusiveMinimum": low, "exclusiveMaximum": low + self.draw.choice((2, 150))}
        multiple = {"multipleOf": self.draw.choice((2, 7))} if self.draw.random() < 0.1 else {}
        return {"type": "integer"} | (multiple or self.some(**keys))

    def number(self) -> dict[str, Any]:
        low = self.draw.choice((-2.5, 0.0, 0.05, 1))
        keys = {"minimum": low, "maximum": low + self.draw.choice((0.5, 1, 1000.25))}
        if self.draw.random() < 0.3:
            keys = {"exclusiveMinimum": low, "exclusiveMaximum": low + 1}
        return {"type": "number"} | self.some(**keys)

    def string(self) -> dict[str, Any]:
        kind = self.draw.randrange(8)
        if kind == 0:
            return {"type": "string", "pattern": self.draw.choice(PATTERNS)}
        if kind == 1:
            return {"type": "string", "format": self.draw.choice(FORMATS)}
        if kind == 2:
            return {"type": "string"}
        low = self.draw.randrange(4)
        return {"type": "string", "maxLength": low + self.draw.randrange(20)} | self.some(minLength=low)

    def choice(self) -> dict[str, Any]:
        if self.draw.random() < 0.2:
            return {"const": self.draw.choice((*WORDS, 3, None))}
        return {"type": "string", "enum": self.draw.sample(WORDS, self.draw.randint(1, 4))}

    def plain(self) -> dict[str, Any]:
        return {"type": self.draw.choice(("boolean", "null"))}

    def array(self, depth: int) -> dict[str, Any]:
        low = self.draw.randrange(3)
        keys = {"type": "array", "maxItems": low + self.draw.randrange(3)} | self.some(minItems=low)
        if self.draw.random() < 0.2:
            items = [self.any(depth + 1) for _ in range(2)]
            return {"type": "array", "prefixItems": items, "minItems": 2, "maxItems": 2}
        return keys | {"items": self.any(depth + 1)}

    def object(self, depth: int = 0) -> dict[str, Any]:
        names = self.draw.sample(("image", "a", "b", "größe", "with space", 'a "quote"'), self.draw.randrange(5))
        required = [name for name in names if self.draw.random() < 0.6]
        properties = {name: {"description": f"The {name}."} | self.any(depth + 1) for name in names}
        if "image" in names and depth == 0:
            properties["image"] = {"type": "string", "enum": ["image-1", "image-2"], "x-artifact": "image"}
        return {"type": "object", "properties": properties, "additionalProperties": False} | (
            {"required": required} if required else {}
        )

    def either(self, depth: int) -> dict[str, Any]:
        other = {"type": "null"} if self.draw.random() < 0.5 else self.any(depth + 1)
        return {"anyOf": [self.any(depth + 1), other]} | self.some(default=None)


def random_walk(vocabulary: Vocabulary, grammar: str, seed: int) -> list[int]:
    """Say what a model without any preference would; which model it is adds nothing to what a grammar lets through."""
    constraint = vocabulary.constraint(grammar)
    draw = torch.Generator().manual_seed(seed)
    ids: list[int] = []
    while len(ids) < LONGEST and not constraint.finished():
        logits = torch.randn(320, generator=draw) * 2
        token = int(logits.masked_fill(~constraint.allowed(), -torch.inf).argmax())
        if token == END:
            break
        ids += [token, *constraint.accept(token)]
    return ids


def check(arguments: Any, schema: Any) -> None:
    """Raise unless `arguments` are valid; of the formats those are looked at that jsonschema knows rightly."""
    formats = jsonschema.FormatChecker(("date", "email", "ipv4", "ipv6", "uuid"))
    jsonschema.Draft202012Validator(schema, format_checker=formats).validate(arguments)


def test_every_call_of_generated_schemas_is_valid(
    vocabulary: Vocabulary,
    tiny_tokenizer: PreTrainedTokenizerFast,  # noqa: F811
) -> None:
    cut = []
    for seed in range(700):
        schemas = Schemas(seed)
        tools = [ToolSpec(f"tool_{i}", "A tool.", schemas.object()) for i in range(schemas.draw.randint(1, 4))]
        ids = random_walk(vocabulary, only_calls(tools), seed)
        call = read_call(tiny_tokenizer.decode(ids))
        if isinstance(call, str):
            assert len(ids) >= LONGEST, (seed, call)
            cut.append(seed)
        else:
            check(call.arguments, next(each.parameters for each in tools if each.name == call.name))
    assert len(cut) <= 7, cut


class Colour(enum.Enum):
    """A colour."""

    RED = "red"
    GREEN = "green"


class Corner(NamedTuple):
    """A place."""

    x: int
    y: int


@dataclass(frozen=True)
class Box:
    """A box, which may lie in another."""

    corner: Corner
    colour: Colour = Colour.RED
    around: Box | None = None


HINTS: tuple[Any, ...] = (
    *(int, float, bool, datetime.date, uuid.UUID, Colour, Corner, Box, Image, Document, Image | None, Document | None),
    *(Literal["a", "b"], Literal[1, "two", None], tuple[int, bool], dict[str, bool], set[bool], frozenset[Colour]),
    *(Annotated[int, Field(ge=1, le=20)], Annotated[float, Field(gt=0, lt=1)], Annotated[int, Field(multiple_of=5)]),
    *(Annotated[str, Field(max_length=9)], Annotated[str, Field(pattern=r"^[a-z]+\d?$", max_length=6)]),
    *(Annotated[str, Field(pattern=r"^\p{L}{1,3}$")], Annotated[dict[str, int], Field(max_length=2)]),
)


def draw_hint(draw: random.Random, depth: int = 0) -> Any:
    inner = [hint for hint in HINTS if hint not in (Image, Document, Image | None, Document | None)]
    kind = draw.randrange(6)
    if kind == 0 and depth < 2:
        return Annotated[list[draw_hint(draw, depth + 1)], Field(max_length=2)]  # type: ignore[misc]
    if kind == 1 and depth < 2:
        return draw_hint(draw, depth + 1) | draw.choice((None, bool))
    return draw.choice(inner if depth else HINTS)


def draw_tool(draw: random.Random) -> Tool:
    """Make a real tool of a drawn signature."""
    names = [f"given_{i}" for i in range(draw.randint(1, 4))]
    required = draw.randint(0, len(names))

    def work(**values: Any) -> str:
        return "done"

    work.__name__ = f"tool_{draw.randrange(10**6)}"
    work.__annotations__ = {name: draw_hint(draw) for name in names}
    work.__doc__ = "Do it.\n\nArgs:\n" + "".join(f"    {name}: A value.\n" for name in names)
    kind = inspect.Parameter.POSITIONAL_OR_KEYWORD
    work.__signature__ = inspect.Signature(  # type: ignore[attr-defined]
        [
            inspect.Parameter(name, kind, default=inspect.Parameter.empty if i < required else None)
            for i, name in enumerate(names)
        ]
    )
    return tool(work)


def test_every_call_of_generated_tools_passes_the_check_of_the_tool(
    vocabulary: Vocabulary,
    tiny_tokenizer: PreTrainedTokenizerFast,  # noqa: F811
) -> None:
    cut = []
    for seed in range(300):
        draw = random.Random(seed)
        tools = [draw_tool(draw) for _ in range(draw.randint(1, 3))]
        Registry(tools, {})  # none is refused at start-up
        ids = random_walk(vocabulary, only_calls([each.spec(FILES, {}) for each in tools]), seed)
        call = read_call(tiny_tokenizer.decode(ids))
        if isinstance(call, str):
            assert len(ids) >= LONGEST, (seed, call)
            cut.append(seed)
            continue
        made = next(each for each in tools if each.name == call.name)
        given = made.check(call.arguments)
        alive = {artifact.id: artifact.kind for artifact in FILES}
        assert all(given[name] is None or alive[given[name]] == kind for name, kind in made.artifacts.items())
    assert len(cut) <= 3, cut


@pytest.mark.parametrize("seed", range(60))
def test_the_model_says_valid_calls_or_words(seed: int, speak: Callable[..., str]) -> None:
    schemas = Schemas(1000 + seed)
    tools = [ToolSpec(f"tool_{i}", "A tool.", schemas.object()) for i in range(3)]
    grammar = call_grammar(tools) if seed % 2 else only_calls(tools)
    text = speak(grammar, temperature=1.0, seed=seed)
    if seed % 2 and not text.startswith("{"):
        assert not re.match(r"[{ \t\r\n]", text)
        return
    call = read_call(text)
    assert isinstance(call, ToolCall)
    check(call.arguments, next(each.parameters for each in tools if each.name == call.name))


def take(hint: Any) -> Tool:
    """Make a tool that takes a `hint`."""

    def work(**values: Any) -> str:
        return "done"

    kind = inspect.Parameter.POSITIONAL_OR_KEYWORD
    work.__signature__ = inspect.Signature([inspect.Parameter("given", kind)])  # type: ignore[attr-defined]
    work.__annotations__, work.__doc__ = {"given": hint}, "Do it.\n\nArgs:\n    given: A value."
    return tool(work)


@pytest.mark.parametrize(
    ("hint", "why"),
    [
        (Annotated[str, Field(pattern=r"\bred\b")], r"lookarounds not supported yet; WordUnicode in regex /\bred\b/"),
        (
            Annotated[str, Field(json_schema_extra={"pattern": "^(?!a)b$"})],
            "regex parse error: ^(?!a)b$",
        ),
        (Annotated[int, Field(ge=5, le=3)], "Unsatisfiable schema: required property 'given'"),
        (Annotated[int, Field(ge=-(10**30), le=10**30)], "Failed to generate regex for integer range"),
    ],
    ids=["word boundary", "look-ahead", "contradiction", "huge"],
)
def test_parameters_that_no_grammar_can_hold_are_refused_at_start_up(hint: Any, why: str) -> None:
    with pytest.raises(PluginError, match=r"^work: its parameters cannot .*\.$") as told:
        Registry([*DEMO_TOOLS, take(hint)], {})
    assert f"cannot be had from a language model: {why}" in str(told.value)
    assert "\n" not in str(told.value) and len(str(told.value)) < 250


@pytest.mark.parametrize(
    ("hint", "said", "fits"),
    [
        (set[int], [1, 1], True),
        (Path, "a/b", True),
        (bytes, "ä", True),
        (SecretStr, "x", True),
        (re.Pattern[str], "(", False),
        (IPv4Network, "x", False),
        (Base64Str, "?", True),
        (dict[Literal["a", "b"], int], {"c": 1}, False),
        (Annotated[Any, Field(json_schema_extra={"oneOf": [{"type": "integer"}, {"type": "number"}]})], 1, True),
    ],
)
def test_what_a_grammar_cannot_tell_is_left_to_the_check(
    hint: Any,
    said: Any,
    fits: bool,
    vocabulary: Vocabulary,
    tiny_tokenizer: PreTrainedTokenizerFast,  # noqa: F811
) -> None:
    made = take(hint)
    Registry([made], {})
    call = json.dumps({"name": "work", "parameters": {"given": said}}, ensure_ascii=False)
    ids = tiny_tokenizer.encode(call, add_special_tokens=False)
    assert vocabulary.constraint(only_calls([made.spec((), {})])).possible(ids) == len(ids)
    with contextlib.nullcontext() if fits else pytest.raises(BadToolCall, match="'given"):
        made.check({"given": said})


@pytest.mark.parametrize(
    ("text", "fits"),
    [('Say\n{"no": "call"}', True), ("é", True), ("{words}", False), (" words", False), ("\nwords", False)],
)
def test_words_do_not_begin_like_a_call_nor_with_white_space(
    text: str,
    fits: bool,
    vocabulary: Vocabulary,
    tiny_tokenizer: PreTrainedTokenizerFast,  # noqa: F811
) -> None:
    ids = tiny_tokenizer.encode(text, add_special_tokens=False)
    assert (vocabulary.constraint(call_grammar(SPECS)).possible(ids) == len(ids)) == fits


@pytest.mark.parametrize(
    ("text", "fits"),
    [('{"text": "a"}', True), ('{ "text": "a"}', False), ('{"text":"a"}', False), ('{"text": "a"\n}', False)],
)
def test_white_space_is_where_it_must_be_and_nowhere_else(
    text: str,
    fits: bool,
    vocabulary: Vocabulary,
    tiny_tokenizer: PreTrainedTokenizerFast,  # noqa: F811
) -> None:
    ids = tiny_tokenizer.encode(f'{{"name": "count_letters", "parameters": {text}}}', add_special_tokens=False)
    assert (vocabulary.constraint(only_calls([SPECS[1]])).possible(ids) == len(ids)) == fits


@pytest.mark.parametrize("seed", range(12))
def test_every_call_names_a_file_that_is_there(seed: int, speak: Callable[..., str]) -> None:
    call = read_call(speak(only_calls([SPECS[0], SPECS[2]]), temperature=1.0, seed=seed))
    assert isinstance(call, ToolCall)
    checked = next(each for each in DEMO_TOOLS if each.name == call.name).check(call.arguments)
    assert checked.get("image", "image-1") in ("image-1", "image-2")


@pytest.mark.parametrize("seed", range(6))
def test_the_quote_grammar_only_lets_whole_lines_of_one_block_through(seed: int, speak: Callable[..., str]) -> None:
    said = speak(quote_grammar(["one\ntwo\n\nthree"]), temperature=1.0, seed=seed)
    lines = ("one", "one\ntwo", "two", "three")
    assert said.strip() in lines
    several = speak(quote_grammar(["vier\nfünf", "", "one\ntwo\n\nthree"]), temperature=1.0, seed=seed)
    first, second, third = several.split("\n\n")
    assert (first, second.strip(), third.strip() in lines) == ("vier\nfünf", "Done.", True)
