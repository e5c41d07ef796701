"""Turns a conversation into the text of a prompt. Knows words and control tags, no token ids and no model.

The result is a list of plain text and `Tag`s. Only tags become control tokens, so a person who types `<|eot_id|>`
types nine characters and forges nothing.

Sources: the Llama-3 model card (header and eot tags, results in the role "ipython") and ChatML.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace

from assistant.errors import ModelUnavailable
from assistant.prompts import render
from assistant.types import Message, Notice, ToolResult, ToolSpec

RESULT_CHARACTERS = 8000  # of one tool result in the prompt; people and programs get all of it


@dataclass(frozen=True, slots=True)
class Tag:
    """A control token by its text."""

    text: str


class Said(str):
    """Words of the model itself, whose ids may be known."""

    __slots__ = ()


Piece = str | Tag


@dataclass(frozen=True, slots=True)
class Family:
    """How one family of models marks turns."""

    start: tuple[Piece, ...]
    before_role: Tag
    after_role: tuple[Piece, ...]
    after_turn: tuple[Piece, ...]
    result_role: str
    end: tuple[Tag, ...]

    def turn(self, role: str, text: str) -> list[Piece]:
        """Write one whole turn."""
        return [*self.open(role), text, *self.after_turn]

    def open(self, role: str) -> list[Piece]:
        """Begin a turn that the model is to continue."""
        return [self.before_role, role, *self.after_role]


LLAMA3 = Family(
    start=(Tag("<|begin_of_text|>"),),
    before_role=Tag("<|start_header_id|>"),
    after_role=(Tag("<|end_header_id|>"), "\n\n"),
    after_turn=(Tag("<|eot_id|>"),),
    result_role="ipython",
    end=(Tag("<|eot_id|>"), Tag("<|eom_id|>"), Tag("<|end_of_text|>")),
)
LLAMA30 = replace(LLAMA3, result_role="user", end=(Tag("<|eot_id|>"), Tag("<|end_of_text|>")))
"""Llama-3.0, which was taught neither calls nor the role "ipython"."""
CHATML = Family(
    start=(),
    before_role=Tag("<|im_start|>"),
    after_role=("\n",),
    after_turn=(Tag("<|im_end|>"), "\n"),
    result_role="user",
    end=(Tag("<|im_end|>"), Tag("<|im_start|>"), Tag("<|endoftext|>")),
)


def family_of(vocabulary: Sequence[str]) -> Family:
    """Recognise the family by the control tokens in its vocabulary."""
    known = set(vocabulary)
    for family in (LLAMA3, LLAMA30, CHATML):
        if family.before_role.text in known and (family is not LLAMA3 or "<|eom_id|>" in known):
            return family
    raise ModelUnavailable(
        "This model has neither Llama-3 nor ChatML control tokens, so its chat format is not known. "
        "Choose another model in catalog.toml."
    )


def turns(messages: Sequence[Message]) -> list[list[Message]]:
    """Split a conversation into turns, each beginning with what the person said."""
    result: list[list[Message]] = []
    for message in messages:
        if message.role == "user" or not result:
            result.append([])
        result[-1].append(message)
    return result


def tell_left_out(count: int) -> Notice:
    """Say that the oldest `count` turns were left out of a prompt."""
    return Notice(f"The conversation is longer than the model reads; its oldest {count} turns were left out.")


def asked_results(turn: Sequence[Message]) -> list[ToolResult]:
    """Return the results in a turn that the model asked for; those of attached files come before its first message."""
    spoken = [i for i, message in enumerate(turn) if message.role == "assistant"]
    return [m.result for m in turn[spoken[0] :] if m.result] if spoken else []


def write_prompt(family: Family, messages: Sequence[Message], tools: Sequence[ToolSpec]) -> list[Piece]:
    """Write the prompt for a model that chooses tools itself.

    What changes from turn to turn would spoil the kept prefix: tool schemas stand without the handles alive now, and
    tools that come and go with files stand last.
    """
    described = [json.dumps(describe_tool(tool), ensure_ascii=False) for tool in sorted(tools, key=takes_files)]
    pieces = [*family.start, *family.turn("system", render("system", tools=described))]
    for turn in turns(messages):
        pieces += family.turn("user", user_text(turn))
        results = {result.call.id: result for result in asked_results(turn)}
        for message in turn:
            if message.role == "assistant" and message.text:
                pieces += family.turn("assistant", Said(message.text))
            for call in message.calls:  # one pair after another: Llama's own template knows one call a message
                if call.id in results:  # a call that was cut off has none
                    pieces += family.turn("assistant", Said(write_call(call.name, dict(call.arguments))))
                    pieces += family.turn(family.result_role, _result_text(family, results[call.id]))
    return [*pieces, *family.open("assistant")]


def write_guided_prompt(family: Family, messages: Sequence[Message]) -> list[Piece]:
    """Write the prompt for a guided model: words only, and for the last turn the results with the request below."""
    pieces = [*family.start, *family.turn("system", render("guided"))]
    *earlier, last = turns(messages)
    for turn in earlier:
        pieces += family.turn("user", turn[0].text)
        pieces += [
            piece for m in turn if m.role == "assistant" and m.text for piece in family.turn("assistant", Said(m.text))
        ]
    results = asked_results(last)
    request = last[0].text
    if results:
        request = render("quote", results="\n\n".join(shorten(r.text) for r in results), request=request)
    return [*pieces, *family.turn("user", request), *family.open("assistant")]


def user_text(turn: Sequence[Message]) -> str:
    """Write what the person said, after the handles of what they attached and what became of it."""
    said = turn[0]
    asked = asked_results(turn)
    notes = [
        f"{' '.join(map(str, m.result.call.arguments.values()))}: {shorten(m.result.text)}".removeprefix(": ")
        for m in turn
        if m.result and m.result not in asked
    ]
    files = render("files", files=said.artifacts, notes=notes)
    return f"{files}\n{said.text}".strip()


def write_call(name: str, arguments: object) -> str:
    """Write a call the way Llama-3.1 does, with the key `parameters`."""
    return f'{{"name": "{name}", "parameters": {json.dumps(arguments, ensure_ascii=False)}}}'


def shorten(text: str) -> str:
    """Cut a long result for the prompt, saying so."""
    if len(text) <= RESULT_CHARACTERS:
        return text
    return f"{text[:RESULT_CHARACTERS]}\n[cut: {len(text) - RESULT_CHARACTERS} more characters]"


def takes_files(tool: ToolSpec) -> bool:
    """Tell whether a tool comes and goes with the files there are."""
    return any("x-artifact" in schema for schema in tool.parameters.get("properties", {}).values())


def _result_text(family: Family, result: ToolResult) -> str:
    if family.result_role != "user":
        return shorten(result.text)
    return render("result", name=result.call.name, failed=result.failed, text=shorten(result.text))


def describe_tool(tool: ToolSpec, handles: bool = False) -> dict[str, object]:
    """Describe a tool in JSON values, with the `handles` alive now or without."""
    parameters = json.loads(json.dumps(tool.parameters))
    for schema in parameters.get("properties", {}).values():
        if "x-artifact" in schema:
            for node in (schema, *schema.get("anyOf", ())):
                if not handles:
                    node.pop("enum", None)
            del schema["x-artifact"]
    return {"name": tool.name, "description": tool.description, "parameters": parameters}
