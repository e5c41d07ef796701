"""How a small model reads tools and a request, and writes its choice. Knows words, no model and no token.

Training writes its examples with the same functions, so what the model meets in use is what it learned. Files are left
out of the arguments: which one is meant is told from handles and history, not by the model.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from assistant.prompts import render
from assistant.types import Artifact, ToolSpec

REPLY = "reply"  # the choice of no tool
RESULT = "@result"  # an argument that is what the last tool returned
DESCRIPTION_CHARACTERS = 200
SAID_CHARACTERS = 1200  # of the message; of a longer one its beginning and its end
BEFORE_CHARACTERS = 200
RESULT_CHARACTERS = 80
TURNS_BEFORE = 2
CHOICES = 8  # values of an enumeration that are listed


@dataclass(frozen=True, slots=True)
class Before:
    """An earlier turn: what was said, the tool that was called or `REPLY`, its arguments without files, its result."""

    said: str
    tool: str
    arguments: Mapping[str, Any]
    result: str


def list_tools(tools: Sequence[ToolSpec]) -> str:
    """Write the tools, a line each, and the choice of none."""
    return render("choose", tools=[_line(tool) for tool in tools])


def ask(said: str, files: Sequence[Artifact], before: Sequence[Before]) -> str:
    """Write the request with the files of the conversation and its last turns."""
    earlier = [
        {
            "said": _clip(turn.said, BEFORE_CHARACTERS),
            "tool": turn.tool,
            "arguments": _clip(_json(turn.arguments), BEFORE_CHARACTERS) if turn.arguments else "",
            "result": _clip(turn.result, RESULT_CHARACTERS),
        }
        for turn in before[-TURNS_BEFORE:]
    ]
    names = [f"{file.id} ({file.name})" if file.name else file.id for file in files]
    return render("choose_turn", earlier=earlier, files=", ".join(names), said=_clip(said, SAID_CHARACTERS))


def write_choice(name: str, arguments: Mapping[str, Any]) -> str:
    """Write what the model is to answer."""
    return f"{name_line(name)}{_json(arguments)}"


def name_line(name: str) -> str:
    """Write the first line of a choice; the arguments follow in the second."""
    return f"{name}\n"


def is_file(schema: Mapping[str, Any]) -> bool:
    """Tell whether a parameter takes a file of the conversation."""
    return "x-artifact" in schema


def words_of(tool: ToolSpec) -> dict[str, Any]:
    """Return the parameters that the model fills in: all but files."""
    return {name: schema for name, schema in tool.parameters.get("properties", {}).items() if not is_file(schema)}


def _line(tool: ToolSpec) -> str:
    required = tool.parameters.get("required", ())
    properties = tool.parameters.get("properties", {})
    parameters = [_parameter(name, schema, name in required) for name, schema in properties.items()]
    description = " ".join(tool.description.partition("\n\n")[0].split())
    return f"{tool.name}({', '.join(parameters)}): {_clip(description, DESCRIPTION_CHARACTERS)}"


def _parameter(name: str, schema: Mapping[str, Any], required: bool) -> str:
    if is_file(schema):
        return f"{schema['x-artifact']} file"
    node = next((part for part in schema.get("anyOf", ()) if part.get("type") != "null"), schema)
    kind = "|".join(map(str, node["enum"][:CHOICES])) if "enum" in node else node.get("type", "string")
    return f"{name}{'' if required else '?'}{'' if kind == 'string' else f': {kind}'}"


def _json(value: Mapping[str, Any]) -> str:
    return json.dumps(value, ensure_ascii=False)


def _clip(text: str, most: int) -> str:
    """Write a text in one line, without the middle of a long one."""
    line = " ".join(text.split())
    return line if len(line) <= most else f"{line[: most * 2 // 3]} … {line[-most // 3 :]}"
