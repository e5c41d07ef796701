"""The tools that training lists, with requests for each, as `data/*.toml` has them. Knows no model.

Built-in tools stand in `builtin.toml` and `more_*.toml`, invented ones in `pool_*.toml`. `draw_request` fills in a
request and tells the arguments that it asks for.
"""

from __future__ import annotations

import random
import re
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

DATA = Path(__file__).parent / "data"
NUMBERS = (
    "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen "
    "eighteen nineteen twenty"
)
SLOT = re.compile(r"\{(\w+)\}")


@dataclass(frozen=True, slots=True)
class Argument:
    """A parameter of a tool: what people write for it (`values`), or nothing where it is a file or the request."""

    names: tuple[str, ...]
    kind: str
    values: tuple[tuple[str, Any], ...]
    """What people write, and the value that it means."""
    optional: bool
    made_of: str | tuple[str, ...] = ()
    """How the value is put together from slots, where it does not stand in the request as it is."""

    @property
    def is_file(self) -> bool:
        """Whether it takes a picture or a document."""
        return self.kind in ("image", "document")


@dataclass(frozen=True, slots=True)
class Voice:
    """One way to ask for a tool: requests, and the arguments and other slots that they name."""

    arguments: Mapping[str, Argument]
    slots: Mapping[str, tuple[str, ...]]
    requests: tuple[str, ...]
    follow_ups: tuple[str, ...]
    on_result: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class PoolTool:
    """A tool with its other names and wordings, and the ways to ask for it."""

    name: str
    group: str
    builtin: bool
    names: tuple[str, ...]
    descriptions: tuple[str, ...]
    voices: tuple[Voice, ...]
    arguments: Mapping[str, Argument]

    @property
    def requests(self) -> list[tuple[Voice, str]]:
        """Every request, with the voice that says it."""
        return [(voice, text) for voice in self.voices for text in voice.requests]

    @property
    def files(self) -> tuple[str, ...]:
        """The kinds of file it takes."""
        return tuple(argument.kind for argument in self.arguments.values() if argument.is_file)


@dataclass(frozen=True, slots=True)
class Said:
    """A request with the arguments it asks for, files left out."""

    text: str
    arguments: Mapping[str, Any]


@cache
def read_pool() -> tuple[PoolTool, ...]:
    """Read all tools; `ValueError` names what is wrong with one."""
    more = [row for file in sorted(DATA.glob("more_*.toml")) for row in tomllib.loads(file.read_text())["variant"]]
    tools = [
        _read(row, file.stem == "builtin", [other for other in more if other["tool"] == row["names"][0]])
        for file in (DATA / "builtin.toml", *sorted(DATA.glob("pool_*.toml")))
        for row in tomllib.loads(file.read_text())["tool"]
    ]
    names = [tool.name for tool in tools]
    if double := {name for name in names if names.count(name) > 1}:
        raise ValueError(f"two tools of one name: {', '.join(sorted(double))}")
    return tuple(tools)


@cache
def read_lines(file: str, key: str) -> tuple[Any, ...]:
    """Read the list `key` of `data/FILE.toml`, and of the files that have more of it."""
    tables = [tomllib.loads(part.read_text()) for part in sorted(DATA.glob(f"{file}*.toml"))]
    return tuple(line for table in tables for line in table.get(key, ()))


@cache
def read_edits() -> tuple[tuple[Mapping[str, str], ...], Mapping[str, Sequence[str]]]:
    """Read the requests that change an earlier argument, and their slots."""
    table = tomllib.loads((DATA / "edits.toml").read_text())
    return tuple(table["edit"]), table["slots"]


def _read(row: Mapping[str, Any], builtin: bool, more: Sequence[Mapping[str, Any]]) -> PoolTool:
    name = row["names"][0]
    voices = tuple(_voice(name, table) for table in (row, *row.get("variant", ()), *more))
    arguments: dict[str, Argument] = {}
    for voice in voices:
        for key, argument in voice.arguments.items():
            optional = argument.optional or any(key not in other.arguments for other in voices)
            arguments.setdefault(key, replace(argument, optional=optional))
    return PoolTool(name, row["group"], builtin, tuple(row["names"]), tuple(row["descriptions"]), voices, arguments)


def _voice(name: str, table: Mapping[str, Any]) -> Voice:
    voice = Voice(
        {key: _argument(key, argument) for key, argument in table.get("arguments", {}).items()},
        {slot: tuple(values) for slot, values in table.get("slots", {}).items()},
        *(tuple(table.get(key, ())) for key in ("requests", "follow_ups", "on_result")),
    )
    asked = {key for key, argument in voice.arguments.items() if argument.values}
    for text in (*voice.requests, *voice.follow_ups, *voice.on_result):
        if unknown := set(SLOT.findall(text)) - asked - set(voice.slots):
            raise ValueError(f"{name}: {text!r} has the unknown slots {sorted(unknown)}")
    needed = {key for key in asked if not voice.arguments[key].optional}
    for text in voice.requests:
        if missing := needed - set(SLOT.findall(text)):
            raise ValueError(f"{name}: {text!r} lacks {sorted(missing)}")
    return voice


def _argument(name: str, table: Mapping[str, Any]) -> Argument:
    kind, given, made_of = table.get("kind", "text"), table.get("values", ()), table.get("made_of", ())
    if kind == "choice":
        values = [(phrase, value) for value, phrases in given.items() for phrase in phrases]
    else:
        values = [(str(written), meaning(str(written), kind)) for written in given]
    names = tuple(table.get("names", [name]))
    return Argument(
        names,
        kind,
        tuple(values),
        table.get("optional", False),
        made_of if isinstance(made_of, str) else tuple(made_of),
    )


def meaning(written: str, kind: str) -> Any:
    """Return the value of what is written, a number perhaps in words."""
    if kind not in ("integer", "number"):
        return written
    plain = written.lower().replace(",", "")
    words = NUMBERS.split()
    number = words.index(plain) if plain in words else float(plain)
    return int(number) if kind == "integer" or number == int(number) else number


def draw_request(
    voice: Voice, text: str, rng: random.Random, before: Mapping[str, Any] | None = None, result: str | None = None
) -> Said:
    """Fill in a request: each slot a value.

    Args:
        voice: Whose request `text` is.
        text: A request with slots.
        rng: Draws the values.
        before: The arguments of an earlier call; those that the request does not name keep their values.
        result: What stands for a text that is not named, because the last tool returned it.
    """
    arguments = dict(before or {})
    slots: dict[str, str] = {}
    for slot in dict.fromkeys(SLOT.findall(text)):
        if slot in voice.arguments:
            fresh = [pair for pair in voice.arguments[slot].values if pair[1] != arguments.get(slot)]
            slots[slot], arguments[slot] = rng.choice(fresh or voice.arguments[slot].values)
        else:
            slots[slot] = rng.choice([value for value in voice.slots[slot] if value not in slots.values()])
        text = text.replace(f"{{{slot}}}", slots[slot])
    for name, argument in voice.arguments.items():
        if argument.kind == "request":
            if not (slots and name in (before or {})):  # "and on page 3?" asks the same again
                arguments[name] = text
        elif argument.made_of and set(SLOT.findall(str(argument.made_of))) <= set(slots):
            arguments[name] = fill(argument.made_of, slots)
        elif result is not None and argument.kind == "text" and not argument.optional:
            arguments.setdefault(name, result)
    return Said(text, arguments)


def draw_slots(slots: Mapping[str, Sequence[str]], rng: random.Random) -> dict[str, str]:
    """Draw two values of each slot of the edits, the second under the slot's name with a 2."""
    values: dict[str, str] = {}
    for slot, choices in slots.items():
        values[slot], values[f"{slot}2"] = rng.sample(list(choices), 2)
    return values


def fill(pattern: str | Sequence[str], slots: Mapping[str, str]) -> Any:
    """Put the values of slots into a pattern, or into each of several."""
    if not isinstance(pattern, str):
        return [fill(part, slots) for part in pattern]
    for slot, value in slots.items():
        pattern = pattern.replace(f"{{{slot}}}", value)
    return pattern
