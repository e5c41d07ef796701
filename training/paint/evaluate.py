"""Measures the shipped painter through the functions that plugins call, and draws a sheet of what it paints.

Things and shapes are those it learned; scenes and seeds are new, and so is most of what its prompts put together.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image as Pictures
from PIL.Image import Image

from assistant.tools import Run
from assistant.vision.painting import Painter, painter
from training.drawing import SIDE
from training.paint.autoencoder import latents_of
from training.paint.judge import Judge, colour_of, in_order, named
from training.paint.latents import TASTE
from training.paint.prompts import prompt
from training.scenes import pixels_of
from training.sentences import SIDES, TO_THE, one_of, side_of
from training.world import HELD_OUT, Scene, Taste, arrange, make_scene, shapes, things

SEEDS = 2  # pictures of each thing
SENTENCES, PAIRS, EDITS, CODED = 100, 100, 50, 100  # pictures of a kind
STRENGTH = 0.6  # of painting anew, as the plugin has it
MARGIN = 4  # pixels around a thing that is painted over
COLUMNS, ROWS = 12, 8  # of the sheet
STILL = Taste(counts=(1,), angles=(0,), overlap=0, wear=0)
TWO = Taste(counts=(0, 1), repeats=0, angles=(0,), overlap=0, wear=0)

Line = dict[str, Any]


@dataclass(slots=True)
class Brush:
    """Paints as the plugins do, and remembers how long each picture took."""

    model: Painter
    seconds: list[float] = field(default_factory=list)

    def paint(self, text: str, seed: int, image: Image | None = None, mask: Image | None = None) -> Image:
        """Paint from words; with `image` after it, and with `mask` only inside that."""
        begin = time.perf_counter()
        size = (None, None) if image is None else image.size
        strength = STRENGTH if image is not None and mask is None else None
        recipe = self.model.recipe(text, "", size, None, None, (seed,), strength, image)
        run = Run(seed, threading.Event(), lambda fraction, note: None, lambda jpeg: None)
        (picture,) = self.model.paint(recipe, run, image, mask)
        self.seconds.append(time.perf_counter() - begin)
        return picture


def figures(sheet: Path, judge: Judge = named) -> Iterator[Line]:
    """Yield a line of figures for each kind of wish, and write `sheet`, a PNG of things, shapes and pairs."""
    with painter() as model:
        brush = Brush(model)
        one_each = [brush.paint(one_of(thing.name), 0) for thing in things()]
        more = [brush.paint(one_of(thing.name), seed) for seed in range(1, SEEDS) for thing in things()]
        coloured = [brush.paint(one_of(shape.label), 0) for shape in shapes()]
        cases = pairs()
        ordered = [brush.paint(pair_prompt(scene), place) for place, scene in enumerate(cases)]
        told = list(sentences())
        spoken = [brush.paint(text, place) for place, (_, text) in enumerate(told)]
        edited = list(edits(brush))
        coding = coded(model)
    draw_sheet(one_each[: COLUMNS * 6] + coloured[::3][:COLUMNS] + ordered[:COLUMNS], sheet)
    right = [judge(picture) == things()[place % len(things())].name for place, picture in enumerate(one_each + more)]
    yield {"wish": "a thing", "recognised": share(right), "pictures": len(right)}
    yield shape_line(coloured, judge)
    yield pair_line(cases, ordered, judge)
    right = [judge(picture) == name for (name, _), picture in zip(told, spoken, strict=True)]
    yield {"wish": "a thing, in all sorts of words", "recognised": share(right), "pictures": len(right)}
    for wish, results in edited:
        right = [judge(picture) == name for name, picture in results]
        yield {"wish": wish, "recognised": share(right), "pictures": len(right)}
    yield coding
    yield {"seconds for a picture": round(float(np.median(brush.seconds)), 2)}


def share(right: list[bool]) -> float:
    """Return the share of what is right."""
    return round(sum(right) / len(right), 4)


def shape_line(pictures: list[Image], judge: Judge) -> Line:
    """Say how many pictures, one for each of `shapes()`, show the shape and the colour."""
    shaped = [judge(picture) == shape.name for picture, shape in zip(pictures, shapes(), strict=True)]
    inked = [colour_of(picture) == shape.colour for picture, shape in zip(pictures, shapes(), strict=True)]
    return {"wish": "a shape", "recognised": share(shaped), "right colour": share(inked), "pictures": len(pictures)}


def pair_line(cases: list[Scene], pictures: list[Image], judge: Judge) -> Line:
    """Say how many pictures show two things as asked for, and how many true pictures do, by the same judge."""

    def right(picture: Image, scene: Scene) -> bool:
        one, other = scene.objects
        return in_order(picture, one.thing.name, str(side_of(one, other)), other.thing.name, judge)

    painted = [right(picture, scene) for picture, scene in zip(pictures, cases, strict=True)]
    true = [right(Pictures.fromarray(scene.pixels), scene) for scene in cases]
    return {
        "wish": "two things in an order",
        **{"recognised in that order": share(painted), "in true pictures": share(true), "pictures": len(cases)},
    }


def pairs() -> list[Scene]:
    """Return scenes, held out, of two things with different names that plainly lie side by side or above each other."""
    found, number = [], 0
    while len(found) < PAIRS:
        scene = make_scene(number, HELD_OUT, TWO)
        one, other = scene.objects
        if one.thing.name != other.thing.name and side_of(one, other) in SIDES:
            found.append(scene)
        number += 1
    return found


def pair_prompt(scene: Scene) -> str:
    """Say what is where: "a dog to the left of a red star"."""
    one, other = scene.objects
    return f"{one_of(one.thing.label)} {TO_THE[str(side_of(one, other))]} {one_of(other.thing.label)}"


def sentences() -> Iterator[tuple[str, str]]:
    """Yield names of things with prompts such as people write, some with words that mean nothing to the painter."""
    for number in range(SENTENCES):
        scene = make_scene(number, HELD_OUT, Taste(counts=(1,), angles=TASTE.angles, wear=0))
        yield scene.objects[0].thing.name, prompt(scene, np.random.default_rng([HELD_OUT, number, 1]))


def edits(brush: Brush) -> Iterator[tuple[str, list[tuple[str, Image]]]]:
    """Yield wishes with names and pictures: drawings of another style painted anew, and things painted over."""
    anew, over = [], []
    for number in range(EDITS):
        rng = np.random.default_rng([HELD_OUT, number])
        before, after = (things()[place] for place in rng.choice(len(things()), 2, replace=False))
        other_style = Pictures.fromarray(arrange([before], rng, STILL, "fluent").pixels)
        anew.append((before.name, brush.paint(one_of(before.name), number, other_style)))
        scene = arrange([before], rng, STILL)
        picture, mask = Pictures.fromarray(scene.pixels), Pictures.new("L", (SIDE, SIDE))
        left, top, right, bottom = scene.objects[0].box
        mask.paste(255, (left - MARGIN, top - MARGIN, right + MARGIN, bottom + MARGIN))
        over.append((after.name, brush.paint(one_of(after.name), number, picture, mask)))
    yield "a drawing of another style painted anew", anew
    yield "a thing in place of another", over


@torch.no_grad()
def coded(model: Painter) -> Line:
    """Say how near pictures come out of the autoencoder, as the mean ratio of peak to noise in decibels."""
    line: Line = {"wish": "the same picture, decoded from its latents"}
    coder = model.from_words.vae
    for vendor, name in (("noto", "decibels"), ("fluent", "decibels, drawings of another style")):
        scenes = [make_scene(number, HELD_OUT, Taste(wear=0), vendor) for number in range(CODED)]
        latents = latents_of(coder, scenes)
        off = coder.decode(latents).sample.clamp(-1, 1) - pixels_of(scenes)
        line[name] = round(float((10 * (4 / off.square().mean((1, 2, 3))).log10()).mean()), 2)
    return line | {"pictures": CODED}


def draw_sheet(pictures: list[Image], path: Path) -> None:
    """Put pictures into rows, as a PNG."""
    sheet = Pictures.new("RGB", (COLUMNS * SIDE, ROWS * SIDE), "white")
    for place, picture in enumerate(pictures):
        sheet.paste(picture, (place % COLUMNS * SIDE, place // COLUMNS * SIDE))
    sheet.save(path, optimize=True)
