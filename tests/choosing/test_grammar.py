"""What is written under the grammar of said words is a valid object of words that were said, whatever the schema."""

from __future__ import annotations

import json
import random
from collections.abc import Sequence
from typing import Any

import pytest
from transformers import PreTrainedTokenizerFast

from assistant.choosing.grammar import said_grammar
from assistant.choosing.question import fillable
from assistant.choosing.text import RESULT
from assistant.engine.grammar import Vocabulary
from tests.engine.conftest import tiny_model, tiny_tokenizer  # noqa: F401
from tests.test_grammars import END, FILES, LONGEST, draw_tool, random_walk

TEXT = {"type": "string"}
COUNT = {"type": "integer", "minimum": 1, "maximum": 4}
UNIT = {"type": "string", "enum": ["miles", "kilometres"]}
LIST = {"type": "array", "items": TEXT}


@pytest.fixture(scope="module")
def vocabulary(tiny_tokenizer: PreTrainedTokenizerFast) -> Vocabulary:  # noqa: F811
    return Vocabulary(tiny_tokenizer, 320)


def fits(vocabulary: Vocabulary, tokenizer: Any, text: str, grammar: str) -> bool:
    """Tell whether all of `text` may be written, and the end after it."""
    ids = [*tokenizer.encode(text, add_special_tokens=False), END]
    return vocabulary.constraint(grammar).possible(ids) == len(ids)


@pytest.mark.parametrize(
    ("written", "schemas", "required", "right"),
    [
        ('{"what": "a red fox"}', {"what": TEXT}, ["what"], True),
        ('{"what": "fox"}', {"what": TEXT}, ["what"], True),
        ('{"what": "a blue fox"}', {"what": TEXT}, ["what"], False),
        ('{"what": "ox"}', {"what": TEXT}, ["what"], False),
        ('{"what": ""}', {"what": TEXT}, ["what"], False),
        ("{}", {"what": TEXT}, ["what"], False),
        ("{}", {"what": TEXT}, [], True),
        ("{}", {}, [], True),
        ('{"what": "fox", "count": 3}', {"what": TEXT, "count": COUNT}, ["what"], True),
        ('{"what": "fox", "count": 9}', {"what": TEXT, "count": COUNT}, ["what"], False),
        ('{"count": 3}', {"what": TEXT, "count": COUNT}, [], True),
        ('{"unit": "miles"}', {"what": TEXT, "count": COUNT, "unit": UNIT}, ["unit"], True),
        ('{"what": "fox", "unit": "miles"}', {"what": TEXT, "count": COUNT, "unit": UNIT}, ["unit"], True),
        ('{"unit": "inches"}', {"unit": UNIT}, [], False),
        ('{"things": ["fox", "barn"]}', {"things": LIST}, [], True),
        ('{"things": ["fox", "cow"]}', {"things": LIST}, [], False),
        ('{"what": "fox"}', {"what": {"anyOf": [TEXT, {"type": "null"}], "default": None}}, [], True),
    ],
)
def test_texts_are_runs_of_words_that_were_said(
    written: str,
    schemas: dict[str, Any],
    required: Sequence[str],
    right: bool,
    vocabulary: Vocabulary,
    tiny_tokenizer: PreTrainedTokenizerFast,  # noqa: F811
) -> None:
    grammar = said_grammar(schemas, required, ["Paint a red fox, and a barn!"])
    assert fits(vocabulary, tiny_tokenizer, written, grammar) == right


@pytest.mark.parametrize(
    ("prompt", "right"),
    [
        ("a blue house by the sea", True),
        ("a red house by the sea", True),
        ("a house, blue", True),
        ("a green house", False),
        (RESULT, False),
    ],
)
def test_an_earlier_argument_may_be_changed_with_the_words_of_both(
    prompt: str,
    right: bool,
    vocabulary: Vocabulary,
    tiny_tokenizer: PreTrainedTokenizerFast,  # noqa: F811
) -> None:
    grammar = said_grammar({"prompt": TEXT}, ["prompt"], ["now make it blue"], {"prompt": "a red house by the sea"})
    assert fits(vocabulary, tiny_tokenizer, json.dumps({"prompt": prompt}), grammar) == right


def test_a_result_may_stand_for_a_text_where_there_is_one(
    vocabulary: Vocabulary,
    tiny_tokenizer: PreTrainedTokenizerFast,  # noqa: F811
) -> None:
    grammar = said_grammar({"text": TEXT}, ["text"], ["translate it"], has_result=True)
    assert fits(vocabulary, tiny_tokenizer, json.dumps({"text": RESULT}), grammar)


@pytest.mark.parametrize("said", ['say "hi" to \\ and', "two\nlines\there", "ünïcödé 😀 Straße", "a/b*c[d](e)?"])
def test_whatever_is_typed_can_be_an_argument(
    said: str,
    vocabulary: Vocabulary,
    tiny_tokenizer: PreTrainedTokenizerFast,  # noqa: F811
) -> None:
    written = json.dumps({"text": said}, ensure_ascii=False)
    assert fits(vocabulary, tiny_tokenizer, written, said_grammar({"text": TEXT}, ["text"], [said]))
    assert fits(vocabulary, tiny_tokenizer, written, said_grammar({"text": TEXT}, ["text"], ["x"], {"text": said}))


def test_the_arguments_of_generated_tools_pass_the_check_of_the_tool(
    vocabulary: Vocabulary,
    tiny_tokenizer: PreTrainedTokenizerFast,  # noqa: F811
) -> None:
    cut = made = 0
    for seed in range(120):
        tool = draw_tool(random.Random(seed))
        spec = tool.spec(FILES, {})
        schemas, required = fillable(spec)
        ids = random_walk(vocabulary, said_grammar(schemas, required, ["a b, c"]), seed)
        try:
            written = json.loads(tiny_tokenizer.decode(ids))
        except ValueError:
            assert len(ids) >= LONGEST, seed
            cut += 1
            continue
        handles = {name: "image-1" if kind == "image" else "document-1" for name, kind in tool.artifacts.items()}
        tool.check(handles | written)
        made += 1
    assert made > 100 and cut <= 3
