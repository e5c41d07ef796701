"""Paints a part of a picture anew, with Stable Diffusion; finds it by name with OWLv2 and SAM."""

from __future__ import annotations

import math
from dataclasses import dataclass

from PIL import Image as Pictures
from PIL import ImageFilter
from PIL.Image import Image

from assistant.errors import ToolError
from assistant.tools import Run, tool
from assistant.vision.detection import find
from assistant.vision.painting import FARTHEST_ASPECT, painter, resized, seeds_from
from assistant.vision.recipes import Count, Guidance, Prompt, Recipe, Seed, Steps
from assistant.vision.segmentation import masks_for_boxes
from assistant.vision.things import missing, named_things
from assistant.zerogpu import on_gpu

MOST_NAMED = 10
MARGIN = 1 / 64  # of the shorter side, around a thing that was found: its rim would show what it was
WHITE = 128  # the least grey of a mask that counts as white


@dataclass(frozen=True, slots=True)
class Filling:
    """The pictures, one for each seed of the recipe, which with its source and `mask` is all it takes to paint them.

    `mask` has the size of the pictures; its white (255) was painted anew, its black (0) was left as it was.
    """

    text: str
    pictures: tuple[Image, ...]
    mask: Image
    recipe: Recipe


@tool(needs=[painter])
@on_gpu(seconds=60)
def fill_in(
    image: Image,
    prompt: Prompt = "",
    mask: Image | None = None,
    what: str = "",
    negative_prompt: str = "",
    steps: Steps | None = None,
    guidance: Guidance | None = None,
    seed: Seed | None = None,
    count: Count = 1,
    *,
    run: Run,
) -> Filling:
    """Paint a part of a picture anew and leave the rest: replace a thing by another, or remove it.

    Args:
        image: The picture to change.
        prompt: What shall be there instead, in English; without it the thing is removed.
        mask: A picture of the same shape whose white part is painted anew.
        what: Instead of a mask, the things to paint over, in English, separated by commas: "dog, red cup".
        negative_prompt: What must not be there.
        steps: How many steps to paint in, if the person asked for a number.
        guidance: How strictly to follow the prompt, if the person asked for a number.
        seed: The number that decides among all the pictures of a prompt; the same seed gives the same picture.
        count: How many pictures to paint, versions or variations.

    Examples:
        Replace the dog with a cat.
        Remove the car from the street, please.
        Can you put a hat on the man?
    """
    part, absent = _part(image, mask, what, run)
    with painter(run.stop, run.report) as brush:
        size = brush.nearest_size(image.size)
        part = _black_and_white(part, size)
        seeds = seeds_from(seed, run, count)
        recipe = brush.recipe(prompt, negative_prompt, size, steps, guidance, seeds, source=image)
        pictures = brush.paint(recipe, run, resized(image, size), part)
        text = recipe.sentence() + brush.notes(recipe, image) + absent
    return Filling(text, pictures, part, recipe)


def _part(image: Image, mask: Image | None, what: str, run: Run) -> tuple[Image, str]:
    """Return the part to paint anew as a mask, and a sentence about things that were asked for and are not there."""
    if mask is None and what:
        return _find(image, what, run)
    if mask is None or what:
        raise ToolError("Give either what to paint over or a mask, and not both.")
    if abs(math.log(mask.width / mask.height) - math.log(image.width / image.height)) > FARTHEST_ASPECT:
        raise ToolError(
            f"The mask has {mask.width} x {mask.height} pixels and the picture {image.width} x {image.height}. "
            "Give a mask of the same shape."
        )
    return mask, ""


def _find(image: Image, what: str, run: Run) -> tuple[Image, str]:
    import numpy as np

    things = named_things(what)
    found = find(image, things, stop=run.stop, progress=run.report)[:MOST_NAMED]
    absent = missing({thing: sum(one.label == thing for one in found) for thing in things})
    if not found:
        raise ToolError(f"{absent} Say it in other words, or give a mask.")
    masks = masks_for_boxes(image, [one.box for one in found], run.stop, run.report)
    part = Pictures.fromarray(np.logical_or.reduce([mask.mask for mask in masks])).convert("L")
    if not part.getbbox():
        raise ToolError("No clear outline was found there. Say it in other words, or give a mask.")
    margin = math.ceil(min(image.size) * MARGIN)
    return part.filter(ImageFilter.MaxFilter(2 * margin + 1)), f" {absent}".rstrip()


def _black_and_white(mask: Image, size: tuple[int, int]) -> Image:
    clear = mask.convert("L").resize(size).point(lambda grey: 255 if grey >= WHITE else 0)
    if not clear.getbbox():
        raise ToolError("The mask has no white part. Give one whose white is what shall be painted anew.")
    return clear
