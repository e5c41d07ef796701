"""Paints pictures from words, with Stable Diffusion."""

from __future__ import annotations

from dataclasses import dataclass

from PIL.Image import Image

from assistant.tools import Run, tool
from assistant.vision.painting import painter, seeds_from
from assistant.vision.recipes import Count, Guidance, Prompt, Recipe, Seed, Steps
from assistant.zerogpu import on_gpu


@dataclass(frozen=True, slots=True)
class Painting:
    """The pictures, one for each seed of the recipe, which is all it takes to paint them again."""

    text: str
    pictures: tuple[Image, ...]
    recipe: Recipe


@tool(needs=[painter])
@on_gpu(seconds=60)
def paint_image(
    prompt: Prompt,
    negative_prompt: str = "",
    width: int | None = None,
    height: int | None = None,
    steps: Steps | None = None,
    guidance: Guidance | None = None,
    seed: Seed | None = None,
    count: Count = 1,
    *,
    run: Run,
) -> Painting:
    """Paint a new picture from words: draw, paint, sketch or imagine something, in any style.

    Args:
        prompt: What to paint, in English: the thing, its surroundings, the style.
        negative_prompt: What must not be in the picture.
        width: Width in pixels, if the person asked for one.
        height: Height in pixels, if the person asked for one.
        steps: How many steps to paint in, if the person asked for a number.
        guidance: How strictly to follow the prompt, if the person asked for a number.
        seed: The number that decides among all the pictures of a prompt; the same seed gives the same picture.
        count: How many pictures to paint, versions or variations.

    Examples:
        Paint me a lighthouse in a storm.
        Could you draw a fox reading the newspaper, watercolour style?
        I need three pictures of a cosy cabin with snow around it.
    """
    with painter(run.stop, run.report) as brush:
        seeds = seeds_from(seed, run, count)
        recipe = brush.recipe(prompt, negative_prompt, (width, height), steps, guidance, seeds)
        pictures = brush.paint(recipe, run)
        text = recipe.sentence() + brush.notes(recipe)
    return Painting(text, pictures, recipe)
