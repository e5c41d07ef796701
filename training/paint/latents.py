"""Captioned latents, made once from numbered scenes and kept in numbered shards. Knows no denoiser."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import count, islice
from pathlib import Path

import numpy as np
import torch
from diffusers import AutoencoderKL

from training.paint.autoencoder import latents_of
from training.paint.prompts import prompt
from training.world import Scene, Taste, make_scene

log = logging.getLogger(__name__)
STREAM = 8  # of scenes
SHARDS, SHARD = 20, 2048  # how many shards, and how many scenes in each
SPAN = 8 * SHARD  # numbers of scenes from one shard to the next; not every scene is taken
PROMPTS = 6  # for each scene
UNPROMPTED = 0.12  # how often a picture goes without words (arXiv:2207.12598)
TASTE = Taste(counts=(5, 4, 1), repeats=0.25, angles=(0,), overlap=0, wear=0)
STYLES = ("plain", "gradient")
LEAST = {1: 48, 2: 34, 3: 28}  # pixels of the longer side of each thing, by their count


@dataclass(frozen=True, slots=True)
class Captioned:
    """`latents` is (scenes, channels, height, width) in half precision; `prompts` has PROMPTS of each scene."""

    latents: torch.Tensor
    prompts: Sequence[Sequence[str]]

    def batch(self, rng: np.random.Generator, size: int) -> tuple[torch.Tensor, list[str]]:
        """Draw latents, in single precision, each with a prompt or, every now and then, without."""
        rows = rng.integers(len(self.latents), size=size)
        worded = rng.random(size) >= UNPROMPTED
        which = rng.integers(PROMPTS, size=size)
        texts = [self.prompts[row][place] if said else "" for row, said, place in zip(rows, worded, which, strict=True)]
        return self.latents[torch.from_numpy(rows)].float(), texts


def captioned(coder: AutoencoderKL, folder: Path, end: float) -> Captioned | None:
    """Return what the shards in `folder` hold, making those that are missing; None if it is not done at `end`.

    `end` is a time of `time.monotonic`.
    """
    folder.mkdir(parents=True, exist_ok=True)
    paths = [folder / f"{number:03}.pt" for number in range(SHARDS)]
    for number, path in enumerate(paths):
        if path.exists():
            continue
        if time.monotonic() > end:
            log.info("%d of %d shards of latents are made; run the same command again", number, SHARDS)
            return None
        _write(coder, number, path)
    shards = [torch.load(path, weights_only=True) for path in paths]
    return Captioned(
        torch.cat([shard["latents"] for shard in shards]), [texts for shard in shards for texts in shard["prompts"]]
    )


def scenes_from(first: int) -> Iterator[Scene]:
    """Yield the scenes that are good models to paint after, from a number on."""
    return filter(suits, (make_scene(number, STREAM, TASTE) for number in count(first)))


def suits(scene: Scene) -> bool:
    """Tell whether a scene is as a person would want it painted: on a calm background and not too small."""
    least = LEAST[len(scene.objects)]
    longer = (max(right - left, bottom - top) for left, top, right, bottom in (one.box for one in scene.objects))
    return scene.ground.style in STYLES and all(side >= least for side in longer)


def _write(coder: AutoencoderKL, number: int, path: Path) -> None:
    """Make a shard; an interruption leaves none."""
    scenes = list(islice(scenes_from(number * SPAN), SHARD))
    rng = np.random.default_rng([STREAM, number])
    texts = [[prompt(scene, rng) for _ in range(PROMPTS)] for scene in scenes]
    partial = path.with_suffix(".partial")
    torch.save({"latents": latents_of(coder, scenes).half().cpu(), "prompts": texts}, partial)
    partial.replace(path)
