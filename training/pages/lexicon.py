"""What pages can tell, as `data/` has it: for each key its labels, its values and the ways to ask. Knows no page."""

from __future__ import annotations

import random
import tomllib
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import cache

from training.pages.values import DATA, Manner, draw, pick, read

FILES = ("facts", "fields", "letters", "tables")
OTHER = ("prose", "topic")  # tables of these files that are no keys


@dataclass(frozen=True, slots=True)
class Key:
    """Something that pages tell; the fields are explained in `data/`. `file` says where it stands."""

    name: str
    file: str
    sort: str
    value: str | tuple[str, ...] = ""
    labels: tuple[str, ...] = ()
    sentences: tuple[str, ...] = ()
    ask: tuple[str, ...] = ()
    held: tuple[str, ...] = ()
    alone: tuple[str, ...] = ()
    near: tuple[str, ...] = ()


@cache
def keys() -> Mapping[str, Key]:
    """Read all keys."""
    found: dict[str, Key] = {}
    for file in FILES:
        for name, table in tomllib.loads((DATA / f"{file}.toml").read_text()).items():
            if name in found:
                raise ValueError(f"data/{file}.toml: {name!r} is in data/{found[name].file}.toml too")
            if name not in OTHER:
                found[name] = Key(name, file, **{part: _frozen(value) for part, value in table.items()})
    return found


def _frozen(value: str | list[str]) -> str | tuple[str, ...]:
    return value if isinstance(value, str) else tuple(value)


@cache
def of_file(file: str) -> tuple[Key, ...]:
    """Return the keys of a file."""
    return tuple(key for key in keys().values() if key.file == file)


def draw_label(rng: random.Random, key: Key, taken: Collection[str]) -> str:
    """Draw a label of a key that is not `taken`, as far as there is one."""
    free = [label for label in key.labels if label.lower() not in taken]
    return rng.choice(free or key.labels)


def draw_value(rng: random.Random, key: Key, manner: Manner) -> str:
    """Draw what a page says for a key."""
    return str(rng.choice(key.value)) if isinstance(key.value, tuple) else draw(rng, key.value, manner)


def invent_label(rng: random.Random) -> str:
    """Put a label together that no key has: the model must find such by its words alone."""
    return f"{pick(rng, 'qualifier')} {pick(rng, 'head')}"


def phrases(name: str) -> tuple[Sequence[str], Sequence[str]]:
    """Return the ways to ask that many keys share, and those of them that are kept from training."""
    table = read("questions")[name]
    return table["ask"], table["held"]
