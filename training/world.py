"""The small world of the built-in models: its things, scenes of one to five pictographs, and what is true in them.

A scene knows its things, their boxes and masks, their relations and its background. It knows no sentence about them;
`training.sentences` writes those. `training.drawing` makes the pixels.
"""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from training.drawing import SIDE, Ground, Sprite, compose, paint_ground, sprite

HELD_OUT = 1  # the stream of scenes that no training sees; training has 0
CLEAR = 14  # pixels between two middles, from which on one thing is plainly left of, or above, the other
VAGUE = 4  # pixels; nearer than this it is plainly not
BIGGER = 1.4  # times the area, from which on a thing is plainly bigger
SIZES = {1: (36, 80), 2: (28, 48), 3: (24, 42), 4: (22, 36), 5: (20, 31)}  # pixels of the longer side, by their count
ATTEMPTS = 40
VISIBLE = 0.75  # the least share of a thing that others leave uncovered

Box = tuple[int, int, int, int]


@dataclass(frozen=True, slots=True)
class Thing:
    """What a pictograph shows: a name, its group ("animal", "shape" …), and its colour, "" where there is no one."""

    name: str
    group: str
    colour: str

    @property
    def label(self) -> str:
        """Return what a person calls it: "dog", "red circle"."""
        return f"{self.colour} {self.name}" if self.group == "shape" else self.name


@dataclass(frozen=True, slots=True)
class Placed:
    """A thing in a scene; `box` is (left, top, right, bottom) in pixels around what can be seen of it."""

    thing: Thing
    box: Box

    @property
    def middle(self) -> tuple[float, float]:
        """Return the middle of the box, (x, y)."""
        left, top, right, bottom = self.box
        return (left + right) / 2, (top + bottom) / 2

    @property
    def area(self) -> int:
        """Return the area of the box in pixels."""
        left, top, right, bottom = self.box
        return (right - left) * (bottom - top)


@dataclass(frozen=True, slots=True)
class Scene:
    """A picture and what is true of it.

    `pixels` is (SIDE, SIDE, 3) uint8; `cover` is (SIDE, SIDE) uint8, 0 for the background and k where `objects[k - 1]`
    is seen. Later objects lie on top of earlier ones.
    """

    objects: tuple[Placed, ...]
    ground: Ground
    pixels: np.ndarray
    cover: np.ndarray

    def count(self, name: str) -> int:
        """Return how many things of a name, or of a group, there are."""
        return sum(name in (one.thing.name, one.thing.label, one.thing.group) for one in self.objects)


@dataclass(frozen=True, slots=True)
class Taste:
    """What scenes a training wants.

    `counts` are the weights of one, two … objects; `repeats` how often an object is of the same kind as the one before;
    `angles` the rotations in degrees; `overlap` how often things may overlap; `wear` how often a picture is
    blurred, noisy or off in brightness; `shapes` how often a thing is a plain shape.
    """

    counts: tuple[float, ...] = (1, 1, 1, 1, 1)
    repeats: float = 0.3
    angles: tuple[int, ...] = (-24, -16, -8, 0, 0, 8, 16, 24)
    overlap: float = 0.3
    wear: float = 0.4
    shapes: float = 0.2


@cache
def table() -> dict[str, Any]:
    """Return the lists of the world as `drawings/things.toml` has them."""
    found: dict[str, Any] = tomllib.loads((Path(__file__).parent / "drawings" / "things.toml").read_text())
    return found


@cache
def groups() -> tuple[str, ...]:
    """Return the groups of things that have drawings."""
    return tuple(name for name in table() if isinstance(table()[name], dict) and name != "plurals")


@cache
def things() -> tuple[Thing, ...]:
    """Return all things with drawings, group by group; plain shapes are not among them."""
    return tuple(Thing(name, group, colour) for group in groups() for name, colour in table()[group].items())


@cache
def shapes() -> tuple[Thing, ...]:
    """Return every plain shape in every colour."""
    return tuple(Thing(name, "shape", colour) for name in table()["shapes"] for colour in table()["colours"])


@cache
def names() -> tuple[str, ...]:
    """Return the names of all things, the shapes without colours last; a class of the models is a place in here."""
    return (*(thing.name for thing in things()), *table()["shapes"])


def make_scene(number: int, stream: int = 0, taste: Taste = Taste(), vendor: str = "noto") -> Scene:
    """Return the scene of a number in a stream (0 for training, `HELD_OUT`, or one's own from 2 on)."""
    rng = np.random.default_rng([stream, number])
    count = 1 + int(rng.choice(len(taste.counts), p=np.array(taste.counts) / sum(taste.counts)))
    chosen = choose_things(rng, count, taste)
    return arrange(chosen, rng, taste, vendor)


def scenes_of(step: int, size: int, stream: int = 0, taste: Taste = Taste()) -> list[Scene]:
    """Return the scenes of a training's step; no two steps have one in common."""
    return [make_scene(number, stream, taste) for number in range(step * size, (step + 1) * size)]


def choose_things(rng: np.random.Generator, count: int, taste: Taste) -> list[Thing]:
    """Choose the things of a scene, some of them alike."""
    chosen: list[Thing] = []
    for _ in range(count):
        if chosen and rng.random() < taste.repeats:
            chosen.append(chosen[-1])
        elif rng.random() < taste.shapes:
            chosen.append(shapes()[rng.integers(len(shapes()))])
        else:
            chosen.append(things()[rng.integers(len(things()))])
    return chosen


def arrange(chosen: list[Thing], rng: np.random.Generator, taste: Taste = Taste(), vendor: str = "noto") -> Scene:
    """Put things on a background, in places drawn by `rng`, where each can be seen."""
    ground = Ground.draw(rng, table()["grounds"])
    may_overlap = rng.random() < taste.overlap
    while True:
        placed = _place(chosen, rng, taste, vendor, may_overlap)
        if placed is not None:
            break
    pixels, cover = compose(paint_ground(ground, rng), placed, rng if rng.random() < taste.wear else None)
    objects = tuple(Placed(thing, _seen(cover == place)) for place, thing in enumerate(chosen, 1))
    return Scene(objects, ground, pixels, cover)


def _place(
    chosen: list[Thing], rng: np.random.Generator, taste: Taste, vendor: str, may_overlap: bool
) -> list[tuple[Sprite, int, int]] | None:
    """Return sprites with their left and top edges, None where no room was found for one of them."""
    placed: list[tuple[Sprite, int, int]] = []
    low, high = SIZES[len(chosen)]
    for thing in chosen:
        size, angle = 2 * int(rng.integers(low // 2, high // 2 + 1)), int(rng.choice(taste.angles))
        one = sprite(thing.name, thing.colour, size, angle, vendor, rng)
        height, width = one.alpha.shape
        for _ in range(ATTEMPTS):
            left, top = int(rng.integers(0, SIDE - width + 1)), int(rng.integers(0, SIDE - height + 1))
            if all(_is_free(one, left, top, other, may_overlap) for other in placed):
                placed.append((one, left, top))
                break
        else:
            return None
    return placed


def _is_free(one: Sprite, left: int, top: int, other: tuple[Sprite, int, int], may_overlap: bool) -> bool:
    """Tell whether a sprite leaves enough of another, which lies below it."""
    below, x, y = other
    width = min(left + one.alpha.shape[1], x + below.alpha.shape[1]) - max(left, x)
    height = min(top + one.alpha.shape[0], y + below.alpha.shape[0]) - max(top, y)
    if width <= 0 or height <= 0:
        return True
    return may_overlap and width * height <= (1 - VISIBLE) * min(below.alpha.size, one.alpha.size)


def _seen(mask: np.ndarray) -> Box:
    columns, rows = np.flatnonzero(mask.any(0)), np.flatnonzero(mask.any(1))
    return int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1


def offset(one: Placed, other: Placed, axis: int) -> float:
    """Return how far `one` lies right of (axis 0) or below (axis 1) `other`, in pixels between their middles."""
    return one.middle[axis] - other.middle[axis]


def beyond(scene: Scene, other: Placed, axis: int, sign: int) -> Placed | None:
    """Return the one thing plainly left or right (axis 0; above or below: 1) of another; None if there is doubt."""
    steps = [(sign * offset(one, other, axis), one) for one in scene.objects if one is not other]
    clear = [one for step, one in steps if step >= CLEAR]
    doubtful = any(VAGUE < step < CLEAR for step, _ in steps)
    return clear[0] if len(clear) == 1 and not doubtful else None


def biggest(scene: Scene) -> Placed | None:
    """Return the thing that is plainly bigger than all others; None if there is none."""
    best, *rest = sorted(scene.objects, key=lambda one: -one.area)
    return best if rest and best.area >= BIGGER * rest[0].area else None
