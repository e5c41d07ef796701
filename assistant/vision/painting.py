"""Paints with a latent diffusion model: from words, from a picture, or inside a mask. Knows no tool.

A picture depends on its recipe alone: every picture is painted by itself from its own seed with a scheduler of its
own, so neither its neighbours nor earlier calls change a bit of it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from PIL import Image as Pictures

from assistant.catalog import Entry
from assistant.errors import ToolError
from assistant.residents import Weights, resident, residents, retry_smaller
from assistant.tools import Run
from assistant.vision.previews import Previews
from assistant.vision.recipes import Recipe, inscribe

if TYPE_CHECKING:
    from PIL.Image import Image

    from assistant.types import Progress

STEPS, GUIDANCE = 30, 7.5
DISTILLED_STEPS = 4  # the most that a model distilled as Turbo was trained for; it works without guidance
TILED_ABOVE = 768  # pixels; decoding a larger picture at once takes gigabytes
FARTHEST_ASPECT = 0.2  # how much wider or narrower (as a logarithm) a picture may become to fit the model
ASPECT_WEIGHT = 10.0  # staying in shape counts more than staying at the same size


@dataclass(frozen=True, slots=True)
class Painter:
    """A diffusion model in memory: three pipelines over the same networks, and the decoder of previews, if any."""

    entry: Entry
    from_words: Any
    from_picture: Any
    inside_mask: Any
    preview: Any

    @property
    def own_size(self) -> int:
        """The side in pixels of the square pictures that the model was trained on."""
        return int(self.from_words.unet.config.sample_size * self.from_words.vae_scale_factor)

    @property
    def sides(self) -> range:
        """The sides in pixels that the model can paint: half to twice its own size, and whole for its network."""
        step = self.from_words.vae_scale_factor * 2**self.from_words.unet.num_upsamplers
        return range(-(-self.own_size // 2 // step) * step, self.own_size * 2 + 1, step)

    def nearest_size(self, size: tuple[int, int]) -> tuple[int, int]:
        """Return the possible width and height nearest to `size` in shape first and then in size."""

        def distance(candidate: tuple[int, int]) -> float:
            wider, higher = (math.log(new / old) for new, old in zip(candidate, size, strict=True))
            return ASPECT_WEIGHT * abs(wider - higher) + abs(wider + higher) / 2

        width, height = min(((w, h) for w in self.sides for h in self.sides), key=distance)
        if abs(math.log(width / height) - math.log(size[0] / size[1])) > FARTHEST_ASPECT:
            raise ToolError(
                f"A picture of {size[0]} x {size[1]} pixels is too long for {self.entry.name}. Crop it so that the "
                f"longer side is at most {self.sides[-1] // self.sides[0]} times the shorter."
            )
        return width, height

    def recipe(
        self,
        prompt: str,
        negative_prompt: str,
        size: tuple[int | None, int | None],
        steps: int | None,
        guidance: float | None,
        seeds: Sequence[int],
        strength: float | None = None,
        source: Image | None = None,
    ) -> Recipe:
        """Complete what is wanted (None is the model's own choice), or say with a `ToolError` what it can do."""
        width, height = (self.own_size if side is None else side for side in size)
        distilled = self.entry.distilled
        recipe = Recipe(
            model=self.entry.name,
            revision=self.entry.source.version,
            scheduler=type(self.from_words.scheduler).__name__,
            prompt=prompt,
            negative_prompt=negative_prompt,
            width=width,
            height=height,
            steps=steps or (DISTILLED_STEPS if distilled else STEPS),
            guidance=(0.0 if distilled else GUIDANCE) if guidance is None else guidance,
            seeds=tuple(seeds),
            strength=strength,
            source=None if source is None else source.info.get("digest"),
        )
        self._check(recipe)
        return recipe

    def _check(self, recipe: Recipe) -> None:
        for name, side in (("width", recipe.width), ("height", recipe.height)):
            if side not in self.sides:
                raise ToolError(
                    f"{self.entry.name} cannot paint a {name} of {side} pixels. "
                    f"Width and height can be: {', '.join(map(str, self.sides))}."
                )
        if self.entry.distilled and (recipe.steps > DISTILLED_STEPS or recipe.guidance > 0):
            raise ToolError(
                f"{self.entry.name} paints in 1 to {DISTILLED_STEPS} steps and without guidance. "
                "Leave out steps and guidance."
            )
        if recipe.strength is not None and int(recipe.steps * recipe.strength) < 1:  # as the pipelines count
            raise ToolError(
                f"In {recipe.steps} steps a strength of {recipe.strength:g} would change nothing. "
                f"Take a strength of at least {math.ceil(100 / recipe.steps) / 100:g}."
            )

    def notes(self, recipe: Recipe, source: Image | None = None) -> str:
        """Say which of the words had no effect, and that a picture to begin with was resized."""
        tokenizer = self.from_words.tokenizer
        tokens, most = tokenizer(recipe.prompt).input_ids, tokenizer.model_max_length
        notes = ""
        if len(tokens) > most:
            lost = tokenizer.decode(tokens[most - 1 : -1]).strip()
            notes += f" The prompt was too long; this part had no effect: {lost!r}."
        if recipe.negative_prompt and recipe.guidance <= 1:  # the pipelines look at it only when they guide
            notes += " The negative prompt had no effect, because it needs a guidance above 1."
        if source is not None and source.size != (recipe.width, recipe.height):
            before = f"{source.width} x {source.height}"
            notes += f" The picture was {before} before; this is the nearest size that {self.entry.name} can do."
        return notes

    def paint(
        self, recipe: Recipe, run: Run, image: Image | None = None, mask: Image | None = None
    ) -> tuple[Image, ...]:
        """Paint one picture for each seed; `image` and `mask` (white is painted anew) must have the recipe's size.

        What lies outside the mask stays what it is in `image`, bit for bit. Each picture says in its `info` how it
        was made. Raises `Cancelled` within one step of Stop.
        """
        pictures: list[Image] = []
        for place, seed in enumerate(recipe.seeds):

            def work(smaller: bool, place: int = place, seed: int = seed) -> Image:
                return self._paint(recipe, seed, run, place, smaller, image, mask)

            picture = retry_smaller(work)
            if image is not None and mask is not None:
                picture = Pictures.composite(picture, image, mask)
            inscribe(picture, recipe, seed)
            pictures.append(picture)
        return tuple(pictures)

    def _paint(
        self, recipe: Recipe, seed: int, run: Run, place: int, tiled: bool, image: Image | None, mask: Image | None
    ) -> Image:
        import torch

        pipeline, given = self.from_words, {}
        if image is not None:
            pipeline = self.from_picture if mask is None else self.inside_mask
            given = {"image": image, "strength": 1.0 if recipe.strength is None else recipe.strength}
        if mask is not None:
            given["mask_image"] = mask
        if pipeline is not self.from_picture:  # which takes its size from the picture
            given |= {"width": recipe.width, "height": recipe.height}
        # a scheduler remembers its steps, so one that a stopped call left behind must not be used again
        pipeline.scheduler = type(pipeline.scheduler).from_config(pipeline.scheduler.config)
        pipeline.vae.use_tiling = tiled or max(recipe.width, recipe.height) > TILED_ABOVE
        done = pipeline(
            prompt=recipe.prompt,
            negative_prompt=recipe.negative_prompt,
            num_inference_steps=recipe.steps,
            guidance_scale=recipe.guidance,
            # numbers drawn on the CPU are the same on every machine
            generator=torch.Generator("cpu").manual_seed(seed),
            callback_on_step_end=self._watch(run, place, len(recipe.seeds)),
            **given,
        )
        picture: Image = done.images[0]
        return picture

    def _watch(self, run: Run, place: int, count: int) -> Any:
        """Make what the pipeline calls after each step: it tells progress, shows previews and looks at Stop."""
        previews = Previews(self.preview)
        which = f"picture {place + 1} of {count}, " if count > 1 else ""

        def after_step(pipeline: Any, step: int, timestep: Any, tensors: dict[str, Any]) -> dict[str, Any]:
            steps = pipeline.num_timesteps
            run.progress((place + (step + 1) / steps) / count, f"{which}step {step + 1} of {steps}")
            preview = previews.look(pipeline, step, tensors["latents"])
            if preview is not None:
                run.show(preview)
            return {}

        return after_step


@resident("paint")
def painter(weights: Weights, progress: Progress) -> Painter:
    """Load the networks once and put three pipelines over them."""
    from diffusers import AutoPipelineForImage2Image, AutoPipelineForInpainting, AutoPipelineForText2Image
    from diffusers.utils import logging

    logging.disable_progress_bar()
    from_words = weights.load(
        AutoPipelineForText2Image,
        variant=weights.entry.variant,
        safety_checker=None,
        feature_extractor=None,  # only the safety checker would use it
        requires_safety_checker=False,
    )
    if weights.device == "cuda":
        import torch

        from_words.unet.to(memory_format=torch.channels_last)
        from_words.vae.to(memory_format=torch.channels_last)
    pipelines = (
        from_words,
        AutoPipelineForImage2Image.from_pipe(from_words),
        AutoPipelineForInpainting.from_pipe(from_words),
    )
    for pipeline in pipelines:
        pipeline.set_progress_bar_config(disable=True)
    return Painter(weights.entry, *pipelines, _load_preview(progress))


def _load_preview(progress: Progress) -> Any:
    """Load the small decoder of previews where it can be had; it weighs too little for a lease of its own."""
    from diffusers import AutoencoderTiny

    catalog = residents().catalog
    if catalog.obstacle("preview") is not None:
        return None
    path = catalog.fetch("preview", progress)
    return Weights(catalog.choose("preview").entry, path).load(AutoencoderTiny)


def seeds_from(seed: int | None, run: Run, count: int) -> range:
    """Return `count` seeds from `seed` on, or from that of the run where none was asked for."""
    first = run.seed if seed is None else seed
    return range(first, first + count)


def resized(image: Image, size: tuple[int, int]) -> Image:
    """Return `image` itself if it has that size already, else a copy that has."""
    return image if image.size == size else image.resize(size, Pictures.Resampling.LANCZOS)
