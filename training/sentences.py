"""Says what is true of a scene: captions, prompts to paint it, and questions with their one right answer.

It knows scenes and English; it knows no picture and no model. A question is asked only where there is no doubt.
"""

from __future__ import annotations

import tomllib
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TypeVar

import numpy as np

from training.world import (
    BIGGER,
    CLEAR,
    Placed,
    Scene,
    Thing,
    beyond,
    biggest,
    names,
    offset,
    shapes,
    table,
    things,
)

NUMBERS = ("no", "one", "two", "three", "four", "five")
SIDES = {"left": (0, -1), "right": (0, 1), "above": (1, -1), "below": (1, 1)}  # axis, and where along it
TO_THE = {"left": "to the left of", "right": "to the right of", "above": "above", "below": "below"}
SPOKEN = ("animal", "food", "vehicle", "shape")  # groups that people name
MARGIN = 5  # pixels from the border of a third of the picture, within which a place has no clear name
PLACES = tuple(
    f"{row} {column}".strip() or "middle" for row in ("top", "", "bottom") for column in ("left", "", "right")
)

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Asked:
    """A question of a kind with its answer."""

    kind: str
    question: str
    answer: str


@cache
def answers() -> tuple[str, ...]:
    """Return every answer there is; a class of the question model is a place in here."""
    numbers = tuple(str(number) for number in range(6))
    return (*names(), *dict.fromkeys([*table()["colours"], *table()["grounds"]]), "yes", "no", *numbers, *PLACES)


@cache
def _templates() -> dict[str, list[str]]:
    found: dict[str, list[str]] = tomllib.loads((Path(__file__).parent / "drawings" / "sentences.toml").read_text())
    return found


def plural(label: str) -> str:
    """Return what several of a thing are called; `label` may have a colour before the name."""
    *colour, name = label.split()
    return " ".join([*colour, table()["plurals"].get(name, f"{name}s")])


def one_of(label: str) -> str:
    """Return a thing with its article: "an owl", "a red star", "corn"."""
    if " of " in plural(label):
        return label
    return f"{'an' if label[0] in 'aeiou' else 'a'} {label}"


def some(label: str, count: int) -> str:
    """Return so many of a thing: "a dog", "two dogs"."""
    return one_of(label) if count == 1 else f"{NUMBERS[count]} {plural(label)}"


def joined(parts: list[str]) -> str:
    """Return a list in words: "a, b and c"."""
    return f"{', '.join(parts[:-1])} and {parts[-1]}" if len(parts) > 1 else parts[0]


def labels(scene: Scene) -> dict[str, int]:
    """Return how many there are of what, from left to right."""
    found: dict[str, int] = {}
    for one in sorted(scene.objects, key=lambda one: one.middle):
        found[one.thing.label] = found.get(one.thing.label, 0) + 1
    return found


def caption(scene: Scene, rng: np.random.Generator) -> str:
    """Write one of the sentences that name all things of a scene, some of them with the background."""
    text = joined([some(label, count) for label, count in labels(scene).items()])
    side = side_of(*scene.objects) if len(scene.objects) == 2 else None
    if side and len(labels(scene)) == 2 and rng.random() < 0.5:
        first, second = (one_of(one.thing.label) for one in scene.objects)
        text = f"{first} {TO_THE[side]} {second}"
    if rng.random() < 0.4:
        text += f" on {one_of(scene.ground.colour)} background"
    opening = ("", "", "", "a picture of ", "there is " if text.startswith(("a ", "an ")) else "there are ")
    return opening[rng.integers(len(opening))] + text


def side_of(one: Placed, other: Placed) -> str | None:
    """Return where `one` plainly lies of `other`, along the longer of the two ways."""
    across, down = offset(one, other, 0), offset(one, other, 1)
    if max(abs(across), abs(down)) < CLEAR:
        return None
    if abs(across) >= abs(down):
        return "left" if across < 0 else "right"
    return "above" if down < 0 else "below"


def ask(scene: Scene, rng: np.random.Generator) -> Asked:
    """Ask something that has one right answer; kinds that seldom have one have more weight."""
    kinds = list(KINDS)
    weights = np.array([KINDS[kind][0] for kind in kinds], dtype=float)
    while True:
        kind = kinds[rng.choice(len(kinds), p=weights / weights.sum())]
        if found := KINDS[kind][1](scene, rng):
            return Asked(kind, *found)


def _say(kind: str, rng: np.random.Generator, **slots: str) -> str:
    templates = _templates()[kind]
    return templates[rng.integers(len(templates))].format(**slots)


def _pick(items: list[T], rng: np.random.Generator) -> T | None:
    return items[rng.integers(len(items))] if items else None


def _unique(scene: Scene) -> list[tuple[Placed, str]]:
    """Return what can be spoken of as "the …", with what to call it."""
    found = []
    for one in scene.objects:
        calls = [call for call in dict.fromkeys((one.thing.name, one.thing.label)) if scene.count(call) == 1]
        found += [(one, call) for call in calls]
    return found


def _any_thing(rng: np.random.Generator) -> Thing:
    """Draw what a question may be about, a shape every fifth time."""
    source = shapes() if rng.random() < 0.2 else things()
    return source[rng.integers(len(source))]


def _what(scene: Scene, rng: np.random.Generator) -> tuple[str, str] | None:
    if len(scene.objects) == 1:
        return _say("what", rng), scene.objects[0].thing.name
    alone = [one for one in scene.objects if one.thing.group in SPOKEN and scene.count(one.thing.group) == 1]
    one = _pick(alone, rng)
    return (_say("which", rng, group=one.thing.group), one.thing.name) if one else None


def _exists(scene: Scene, rng: np.random.Generator) -> tuple[str, str] | None:
    if rng.random() < 0.5:
        thing, answer = scene.objects[rng.integers(len(scene.objects))].thing, "yes"
        call = thing.label if rng.random() < 0.5 else thing.name
    else:
        thing, answer = _any_thing(rng), "no"
        call = thing.label if rng.random() < 0.5 else thing.name
        if scene.count(call):
            return None
    return _say("exists", rng, one=one_of(call), many=plural(call)), answer


def _how_many(scene: Scene, rng: np.random.Generator) -> tuple[str, str] | None:
    if rng.random() < 0.2:
        word = ("objects", "things")[rng.integers(2)]
        return _say("how_many", rng, many=word), str(len(scene.objects))
    if rng.random() < 0.15:
        call = _any_thing(rng).label
    else:
        thing = scene.objects[rng.integers(len(scene.objects))].thing
        call = (thing.name, thing.label, thing.group)[rng.choice(3, p=(0.5, 0.2, 0.3))]
    if call in ("household", "nature", "food"):  # nobody counts these
        return None
    return _say("how_many", rng, many=plural(call)), str(scene.count(call))


def _beside(scene: Scene, rng: np.random.Generator) -> tuple[str, str] | None:
    """Ask what lies on a side of a thing."""
    picked = _pick(_unique(scene), rng)
    if picked is None:
        return None
    side = tuple(SIDES)[rng.integers(len(SIDES))]
    found = beyond(scene, picked[0], *SIDES[side])
    return (_say(side, rng, other=picked[1]), found.thing.name) if found else None


def _compare(scene: Scene, rng: np.random.Generator) -> tuple[str, str] | None:
    """Ask whether one thing lies on a side of another or is bigger, or which of them is."""
    pool = _unique(scene)
    if len(pool) < 2:
        return None
    (one, call), (other, name) = (pool[place] for place in rng.choice(len(pool), 2, replace=False))
    if one is other:
        return None
    if rng.random() < 0.6:
        side = tuple(SIDES)[rng.integers(len(SIDES))]
        axis, sign = SIDES[side]
        step = sign * offset(one, other, axis)
        if abs(step) < CLEAR:
            return None
        return _say("is_beside", rng, one=call, side=TO_THE[side], other=name), "yes" if step > 0 else "no"
    small, large = sorted((one.area, other.area))
    if large < BIGGER * small or one.thing.name == other.thing.name:
        return None
    if rng.random() < 0.5:
        return _say("is_bigger", rng, one=call, other=name), "yes" if one.area > other.area else "no"
    return _say("bigger", rng, one=call, other=name), max((one, other), key=lambda each: each.area).thing.name


def _biggest(scene: Scene, rng: np.random.Generator) -> tuple[str, str] | None:
    found = biggest(scene)
    return (_say("biggest", rng), found.thing.name) if found else None


def _colour(scene: Scene, rng: np.random.Generator) -> tuple[str, str] | None:
    if rng.random() < 0.25:
        return _say("ground", rng), scene.ground.colour
    coloured = [one.thing for one in scene.objects if one.thing.colour and scene.count(one.thing.name) == 1]
    shaped = [thing for thing in coloured if thing.group == "shape"]
    thing = _pick(shaped or coloured, rng)
    return (_say("colour", rng, one=thing.name), thing.colour) if thing else None


def _where(scene: Scene, rng: np.random.Generator) -> tuple[str, str] | None:
    picked = _pick(_unique(scene), rng)
    if picked is None:
        return None
    side = scene.pixels.shape[0]
    thirds = [side / 3, 2 * side / 3]
    if any(abs(way - border) < MARGIN for way in picked[0].middle for border in thirds):
        return None
    column, row = (int(3 * way / side) for way in picked[0].middle)
    return _say("where", rng, one=picked[1]), PLACES[3 * row + column]


KINDS: dict[str, tuple[float, Callable[[Scene, np.random.Generator], tuple[str, str] | None]]] = {
    "what": (0.1, _what),
    "is there": (0.1, _exists),
    "how many": (0.18, _how_many),
    "beside": (0.8, _beside),
    "compare": (0.3, _compare),
    "biggest": (0.1, _biggest),
    "colour": (0.08, _colour),
    "where": (0.1, _where),
}
