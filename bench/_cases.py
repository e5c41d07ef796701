"""Requests with the right choice, and how a model is asked to choose. Knows the formats of `bench tool_choice`."""

from __future__ import annotations

import json
import threading
import time
import typing
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import jsonschema
from PIL.Image import Image

import plugins
from assistant.registry import discover
from assistant.tools import Tool
from assistant.types import Artifact, ChatModel, Kind, Message, ToolCall, ToolResult, ToolSpec

REPLY = "reply"
FILE_NAMES: Mapping[str, Kind] = {"image": "image", "picture": "image", "photo": "image", "document": "document"}


@dataclass(frozen=True, slots=True)
class Case:
    """A request, what came before it, and what is right; `then` is a second call in the same turn."""

    user: str
    attachments: Sequence[Artifact]
    history: Sequence[Mapping[str, Any]]
    tool: str
    args: Mapping[str, Any]
    category: str
    half: str
    then: Sequence[Mapping[str, Any]]
    results: Sequence[str]


@dataclass(frozen=True, slots=True)
class Outcome:
    """What was chosen for a case, in how many seconds, and whether it was right.

    `excused` tells that the answer was what keeps a tool from being called.
    """

    case: Case
    name: str
    arguments: Mapping[str, Any]
    seconds: float
    tool_right: bool
    right: bool
    excused: bool


@dataclass(frozen=True)
class Tools:
    """The tools that are listed. `makers` make pictures, which get handles of their own."""

    specs: tuple[ToolSpec, ...]
    builtin: Mapping[str, Tool] = field(default_factory=dict)
    makers: frozenset[str] = frozenset()

    @property
    def names(self) -> list[str]:
        """Their names."""
        return [spec.name for spec in self.specs]

    def without_examples(self) -> Tools:
        """Return them without example requests."""
        return replace(self, specs=tuple(replace(spec, examples=()) for spec in self.specs))

    def describe(self, alive: Sequence[Artifact]) -> list[ToolSpec]:
        """Describe all to a model, where the files `alive` exist."""
        return [
            replace(
                spec,
                parameters=self.builtin[spec.name].parameters(alive)
                if spec.name in self.builtin
                else _enums(spec, alive),
                missing=self.builtin[spec.name].missing(alive) if spec.name in self.builtin else _missing(spec, alive),
            )
            for spec in self.specs
        ]

    def complaint(self, name: str, arguments: Mapping[str, Any]) -> str | None:
        """Say why a call would be refused, or return None."""
        spec = next((spec for spec in self.specs if spec.name == name), None)
        if spec is None:
            return f"there is no tool {name!r}"
        try:
            jsonschema.validate(dict(arguments), dict(spec.parameters))
        except jsonschema.ValidationError as error:
            return error.message
        return None


def builtin_tools() -> Tools:
    """Return the tools of the house, as if the models of all could be had."""
    found = {tool.name: tool for tool in discover(plugins)}
    specs = tuple(
        ToolSpec(tool.name, tool.description, tool.parameters(), tool.examples, illustrates=tool.illustrates)
        for tool in found.values()
    )
    makers = {
        name for name, tool in found.items() if not tool.illustrates and _returns_pictures(tool) and tool.artifacts
    }
    return Tools(specs, found, frozenset(makers | {"paint_image"} & found.keys()))


def read_tools(file: Path) -> Tools:
    """Read tools in OpenAI's function form, a JSON list; `x-examples` of each are example requests."""
    specs = []
    for row in json.loads(file.read_text()):
        function = row.get("function", row)
        parameters = json.loads(json.dumps(function.get("parameters") or {"type": "object", "properties": {}}))
        for name, schema in parameters.get("properties", {}).items():
            if schema.get("type") == "string" and (kind := FILE_NAMES.get(name)):
                schema.setdefault("x-artifact", kind)
        examples = row.get("x-examples", function.get("x-examples", ()))
        specs.append(ToolSpec(function["name"], function.get("description", ""), parameters, tuple(examples)))
    return Tools(tuple(specs))


def read_cases(file: Path) -> list[Case]:
    """Read a file of cases; `ValueError` names the line that is none."""
    cases = []
    for number, line in enumerate(file.read_text().splitlines(), 1):
        try:
            row = json.loads(line)
            cases.append(
                Case(
                    row["user"],
                    [_artifact(given) for given in row.get("attachments", ())],
                    row.get("history", ()),
                    row["tool"],
                    row.get("args", {}),
                    row.get("category", "follow-up" if row.get("history") else "single"),
                    row.get("half", ""),
                    row.get("then", ()),
                    row.get("results", ()),
                )
            )
        except (ValueError, KeyError) as error:
            raise ValueError(f"{file}, line {number}: {error}") from error
    return cases


def try_case(model: ChatModel, case: Case, tools: Tools) -> Outcome:
    """Let `model` choose; for a case of two calls, let it choose again with the result of the first."""
    messages = list(conversation(case, tools))
    started = time.perf_counter()
    chosen = _ask(model, messages, tools.describe(case.attachments))
    seconds = time.perf_counter() - started
    call = chosen if isinstance(chosen, ToolCall) else None
    name, arguments = (call.name, call.arguments) if call else (REPLY, {})
    tool_right = name == case.tool
    right = tool_right and _matches(case.args, arguments)
    for wanted, text in zip(case.then, case.results, strict=False):
        second = _second(model, messages, call, text, case, wanted, tools) if call and right else None
        tool_right = tool_right and second is not None and second.name == wanted["tool"]
        right = right and second is not None and tool_right and _matches(wanted.get("args", {}), second.arguments)
    excused = isinstance(chosen, str) and ("Attach one and ask again" in chosen or "I cannot do that here" in chosen)
    return Outcome(case, name, arguments, seconds, tool_right, right, excused)


def _ask(model: ChatModel, messages: Sequence[Message], specs: Sequence[ToolSpec]) -> ToolCall | str | None:
    """Return the first call or the first words of a reply, and stop it."""
    stop = threading.Event()
    chosen: ToolCall | str | None = None
    for part in model.reply(messages, specs, stop):
        if chosen is None and isinstance(part, ToolCall | str):
            chosen = part
            stop.set()
    return chosen


def _second(
    model: ChatModel,
    messages: list[Message],
    call: ToolCall,
    text: str,
    case: Case,
    wanted: Mapping[str, Any],
    tools: Tools,
) -> ToolCall | None:
    made = [
        _artifact(value)
        for value in wanted.get("args", {}).values()
        if isinstance(value, str) and value.startswith("image-") and value not in {a.id for a in case.attachments}
    ]
    result = ToolResult(call, text, artifacts=tuple(made))
    done = [Message("b", "a", "assistant", calls=(call,)), Message("c", "b", "tool", result=result)]
    chosen = _ask(model, [*messages, *done], tools.describe([*case.attachments, *made]))
    return chosen if isinstance(chosen, ToolCall) else None


def conversation(case: Case, tools: Tools) -> Iterator[Message]:
    """Write the earlier turns and the request; a file comes with the first turn that needs it, or its tool made it."""
    left = list(case.attachments)
    for number, turn in enumerate(case.history):
        args = turn.get("args", {})
        used = [i for i, artifact in enumerate(left) if artifact.id in args.values()]
        taken = [left.pop(0) for _ in range(max(used) + 1)] if used else []
        said = Message(f"u{number}", None, "user", turn["user"], artifacts=tuple(taken))
        yield said
        if turn["tool"] == REPLY:
            yield Message(f"r{number}", said.id, "assistant", turn.get("result", ""))
            continue
        made = [left.pop(0)] if turn["tool"] in tools.makers and left and left[0].kind == "image" else []
        call = ToolCall(f"c{number}", turn["tool"], args)
        yield Message(f"k{number}", said.id, "assistant", calls=(call,))
        result = ToolResult(call, turn.get("result", ""), artifacts=tuple(made))
        yield Message(f"t{number}", f"k{number}", "tool", result=result)
        yield Message(f"r{number}", f"t{number}", "assistant", turn.get("result", ""))
    yield Message("a", None, "user", case.user, artifacts=tuple(left))


def _artifact(given: Any) -> Artifact:
    row = given if isinstance(given, dict) else {"id": given}
    kind: Kind = "document" if row["id"].startswith("document") else "image"
    return Artifact(row["id"], kind, "", row.get("name", ""), row["id"], 1)


def _matches(wanted: Mapping[str, Any], given: Mapping[str, Any]) -> bool:
    return all(name in given and _fits(value, given[name]) for name, value in wanted.items())


def _fits(wanted: Any, given: Any) -> bool:
    """Compare exactly, texts without regard to capitals; of a list of texts each must occur."""
    if isinstance(wanted, list) and all(isinstance(part, str) for part in wanted):
        there = " ".join(map(str, given)) if isinstance(given, list) else str(given)
        return all(part.lower() in there.lower() for part in wanted)
    if isinstance(wanted, str) and isinstance(given, str):
        return wanted.strip().lower() == given.strip().lower()
    return bool(wanted == given)


def _enums(spec: ToolSpec, alive: Sequence[Artifact]) -> dict[str, Any]:
    parameters = json.loads(json.dumps(spec.parameters))
    for schema in parameters.get("properties", {}).values():
        if "x-artifact" in schema:
            schema["enum"] = [artifact.id for artifact in alive if artifact.kind == schema["x-artifact"]]
    return dict(parameters)


def _missing(spec: ToolSpec, alive: Sequence[Artifact]) -> tuple[Kind, ...]:
    properties = spec.parameters.get("properties", {})
    needed = [properties[name].get("x-artifact") for name in spec.parameters.get("required", ())]
    kinds = {artifact.kind for artifact in alive}
    return tuple(dict.fromkeys(kind for kind in needed if kind and kind not in kinds))


def _returns_pictures(tool: Tool) -> bool:
    returned = typing.get_type_hints(getattr(tool.function, "__wrapped__", tool.function)).get("return")
    hints = typing.get_type_hints(returned).values() if isinstance(returned, type) else [returned]
    return any(hint is Image or Image in typing.get_args(hint) for hint in hints)
