"""Paints a picture anew after another one, with Stable Diffusion."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from PIL.Image import Image
from pydantic import Field

from assistant.tools import Run, tool
from assistant.vision.painting import painter, resized, seeds_from
from assistant.vision.recipes import Count, Guidance, Prompt, Recipe, Seed, Steps
from assistant.zerogpu import on_gpu


@dataclass(frozen=True, slots=True)
class Repainting:
    """The pictures, one for each seed of the recipe, which with its source is all it takes to paint them again."""

    text: str
    pictures: tuple[Image, ...]
    recipe: Recipe


@tool(needs=[painter])
@on_gpu(seconds=60)
def repaint_image(
    image: Image,
    prompt: Prompt,
    strength: Annotated[float, Field(ge=0.05, le=1)] = 0.6,
    negative_prompt: str = "",
    steps: Steps | None = None,
    guidance: Guidance | None = None,
    seed: Seed | None = None,
    count: Count = 1,
    *,
    run: Run,
) -> Repainting:
    """Paint a whole picture anew in another style or mood, keeping what is where.

    Args:
        image: The picture to begin with.
        prompt: What the new picture shows, in English, with its style.
        strength: How far the new picture may leave the old one: 0.3 keeps most of it, 0.9 little.
        negative_prompt: What must not be in the picture.
        steps: How many steps to paint in, if the person asked for a number.
        guidance: How strictly to follow the prompt, if the person asked for a number.
        seed: The number that decides among all the pictures of a prompt; the same seed gives the same picture.
        count: How many pictures to paint, versions or variations.

    Examples:
        Turn this photo into an oil painting.
        Make it look like a comic, please.
        What would this street be like in winter? Show me.
    """
    with painter(run.stop, run.report) as brush:
        size = brush.nearest_size(image.size)
        seeds = seeds_from(seed, run, count)
        recipe = brush.recipe(prompt, negative_prompt, size, steps, guidance, seeds, strength, image)
        pictures = brush.paint(recipe, run, resized(image, size))
        text = recipe.sentence() + brush.notes(recipe, image)
    return Repainting(text, pictures, recipe)
