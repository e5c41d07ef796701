"""Measures captions through the function that plugins call: what they name, and whether it is there and so many."""

from __future__ import annotations

import re
import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

from PIL import Image as Pictures

from assistant.vision.captions import describe
from training.sentences import NUMBERS, SIDES, TO_THE, labels, some
from training.world import HELD_OUT, Scene, make_scene, offset, shapes, things

SCENES = 1000
OPENING = re.compile(r"^(a picture of|there is|there are) ")
GROUND = re.compile(r" on an? (\w+) background$")
WHERE = re.compile(f" ({'|'.join(TO_THE.values())}) ")
BETWEEN = re.compile(f", | and | (?:{'|'.join(TO_THE.values())}) ")


@dataclass(frozen=True, slots=True)
class Heard:
    """What a caption says: how many there are of what, which background, and which side of the second the first is on.

    Words that name nothing in the world count as a thing of that name; `ground` and `side` are "" where none is told.
    """

    counts: dict[str, int]
    ground: str
    side: str


def figures(scenes: int = SCENES) -> dict[str, float]:
    """Return the shares of captions that are right in this and that, for both vendors' drawings."""
    found: dict[str, float] = {}
    for vendor, style in (("noto", ""), ("fluent", ", drawings of another style")):
        pictured = [make_scene(number, HELD_OUT, vendor=vendor) for number in range(scenes)]
        begin = time.perf_counter()
        texts = describe([Pictures.fromarray(scene.pixels) for scene in pictured])
        seconds = (time.perf_counter() - begin) / scenes
        found |= {f"{name}{style}": value for name, value in judged(pictured, texts).items()}
    return {**found, "seconds per caption": round(seconds, 4), "captions": scenes}


def judged(scenes: Sequence[Scene], texts: Sequence[str]) -> dict[str, float]:
    """Return how many captions name everything, invent nothing, and are right in what else they tell."""
    pairs = [(scene, heard(text)) for scene, text in zip(scenes, texts, strict=True)]
    same = [(scene, one) for scene, one in pairs if set(one.counts) == set(labels(scene))]
    grounded = [(scene, one) for scene, one in pairs if one.ground]
    sided = [(scene, one) for scene, one in same if one.side]
    return {
        "all things named": share([set(labels(scene)) <= set(one.counts) for scene, one in pairs]),
        "no thing invented": share([set(one.counts) <= set(labels(scene)) for scene, one in pairs]),
        "counts right where the things are": share([one.counts == labels(scene) for scene, one in same]),
        "background named": round(len(grounded) / len(pairs), 4),
        "background right where named": share([one.ground == scene.ground.colour for scene, one in grounded]),
        "side told": round(len(sided) / len(pairs), 4),
        "side right where told": share([is_so(scene, one) for scene, one in sided]),
    }


def heard(text: str) -> Heard:
    """Read a caption as the world writes them."""
    text = OPENING.sub("", text.lower().rstrip("."))
    ground, where = GROUND.search(text), WHERE.search(text)
    counts: dict[str, int] = {}
    for part in filter(None, BETWEEN.split(GROUND.sub("", text))):
        label, count = _phrases().get(part, (part, 1))
        counts[label] = counts.get(label, 0) + count
    side = next((name for name, words in TO_THE.items() if where and words == where[1]), "")
    return Heard(counts, ground[1] if ground else "", side)


@cache
def _phrases() -> dict[str, tuple[str, int]]:
    """Return what the world says for so many of a thing, with the thing and the number."""
    known = [thing.label for thing in (*things(), *shapes())]
    return {some(label, count): (label, count) for label in known for count in range(1, len(NUMBERS))}


def is_so(scene: Scene, told: Heard) -> bool:
    """Tell whether the first thing of a caption is on that side of the second; both stand once in the scene."""
    if len(scene.objects) != 2 or len(told.counts) != 2:
        return False
    one, other = (next(each for each in scene.objects if each.thing.label == label) for label in told.counts)
    axis, sign = SIDES[told.side]
    return sign * offset(one, other, axis) > 0


def share(hits: Sequence[bool]) -> float:
    """Return the share of what is true."""
    return round(sum(hits) / max(1, len(hits)), 4)
