"""A tool as one list shows it: under one of its names, in one of its wordings. Knows no request and no model."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import plugins
from assistant.registry import discover
from assistant.types import ToolSpec
from training.tool_choice.pool import Argument, PoolTool

TRUE = 0.7  # how often a built-in tool stands under its own name
NAMELESS = 0.05  # how often a name tells nothing, so that the description must be read
TYPES = {"integer": "integer", "number": "number"}


@dataclass(frozen=True, slots=True)
class Cast:
    """A tool as a list shows it, and what its arguments are called there."""

    tool: PoolTool
    spec: ToolSpec
    renamed: Mapping[str, str]

    def rename(self, arguments: Mapping[str, Any]) -> dict[str, Any]:
        """Return arguments under the names of this list, in its order."""
        values = {self.renamed.get(name, name): value for name, value in arguments.items()}
        return {name: values[name] for name in self.spec.parameters["properties"] if name in values}


@cache
def builtin_specs() -> Mapping[str, ToolSpec]:
    """Describe the tools of the house."""
    return {tool.name: ToolSpec(tool.name, tool.description, tool.parameters()) for tool in discover(plugins)}


def cast(tool: PoolTool, rng: random.Random, taken: Sequence[str] = ()) -> Cast:
    """Draw how `tool` is shown; its name is none of `taken`."""
    if tool.builtin and rng.random() < TRUE:
        return Cast(tool, builtin_specs()[tool.name], {})
    name = _draw_name(tool, rng)
    if name in taken:
        name = f"{name}_{rng.randrange(2, 10)}"
    renamed = {key: rng.choice(argument.names) for key, argument in tool.arguments.items()}
    if len(set(renamed.values())) < len(renamed):
        renamed = {}
    parameters = {
        "type": "object",
        "properties": {renamed.get(key, key): _schema(argument) for key, argument in tool.arguments.items()},
        "required": [renamed.get(key, key) for key, argument in tool.arguments.items() if not argument.optional],
    }
    return Cast(tool, ToolSpec(name, rng.choice(tool.descriptions), parameters), renamed)


def _draw_name(tool: PoolTool, rng: random.Random) -> str:
    if rng.random() < NAMELESS:
        return f"{rng.choice(['tool', 'plugin', 'action', 'fn'])}_{rng.choice('abcdefgh')}{rng.randrange(10)}"
    name = rng.choice(tool.names)
    style = rng.random()
    if style < 0.08:
        first, *rest = name.split("_")
        return first + "".join(part.capitalize() for part in rest)
    if style < 0.14:
        return f"{tool.group.replace(' ', '_')}_{name}"
    return name


def _schema(argument: Argument) -> dict[str, Any]:
    if argument.is_file:
        return {"type": "string", "x-artifact": argument.kind}
    if argument.kind == "list":
        return {"type": "array", "items": {"type": "string"}}
    if argument.kind == "choice":
        return {"type": "string", "enum": list(dict.fromkeys(value for _, value in argument.values))}
    return {"type": TYPES.get(argument.kind, "string")}
