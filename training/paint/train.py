"""Trains the built-in Stable Diffusion (role "paint") on scenes of the small world, and ships it.

First the autoencoder learns, then captioned scenes become latents, then UNet and text encoder learn together.
"""

from __future__ import annotations

import json
import sys
import time
from itertools import islice
from pathlib import Path

import numpy as np
import torch
from diffusers import AutoencoderKL, StableDiffusionPipeline

from training.paint.autoencoder import build, coding_loss, crops_of, normalise
from training.paint.evaluate import figures
from training.paint.latents import STREAM, captioned, scenes_from
from training.paint.model import Taught, scheduler
from training.pieces import Plan, report
from training.pieces import train as train_pieces
from training.scenes import pixels_of
from training.world import Taste, make_scene

SEED = 29
CODING = Plan(steps=14000, rate=2e-3, decay=0.01, averaged=0.999, halved=False)
CROPPED = 0.8  # of these steps see cut-outs, which teach the same in a fraction of the time, and the others pictures
SCENES, CUTS, WHOLE = 24, 2, 6  # in a step: scenes to cut from, cut-outs of each, and pictures
CODED = Taste(counts=(2, 2, 1, 1, 1), wear=0)
MEASURED = 512  # scenes whose latents say what is normal
PLAN = Plan(steps=18000, rate=1e-3, decay=0.01, averaged=0.999, halved=False)  # convolutions gain nothing from halves
BATCH = 32
SHIPPED = Path(__file__).parents[2] / "models" / "paint"


def train(work: Path, minutes: float) -> int:
    """Train for `minutes`, going on from what is in `work`; at the end write `models/paint`."""
    end = time.monotonic() + 60 * minutes
    torch.manual_seed(SEED)
    coder, taught = build(), Taught()
    if not train_pieces(coder, lambda step: one_coding(coder, step), CODING, work / "autoencoder", minutes):
        return 0
    normalise(coder, list(islice(scenes_from(0), MEASURED)))
    pool = captioned(coder, work / "latents", end)
    if pool is None:
        return 0

    def one_step(step: int) -> torch.Tensor:
        latents, prompts = pool.batch(np.random.default_rng([SEED, step]), BATCH)
        return taught.loss(latents, prompts, torch.Generator().manual_seed(step))

    if not train_pieces(taught, one_step, PLAN, work / "unet", (end - time.monotonic()) / 60):
        return 0
    ship(coder, taught, SHIPPED)
    report(work / "autoencoder", SHIPPED / "vae")
    report(work / "unet", SHIPPED)
    return 0


def one_coding(coder: AutoencoderKL, step: int) -> torch.Tensor:
    """Return the loss of a step of the autoencoder."""
    cropped = step < CROPPED * CODING.steps
    scenes = [make_scene(step * SCENES + place, STREAM, CODED) for place in range(SCENES if cropped else WHOLE)]
    pixels = crops_of(scenes, np.random.default_rng([SEED, step]), CUTS) if cropped else pixels_of(scenes)
    return coding_loss(coder, pixels, torch.Generator().manual_seed(step))


def ship(coder: AutoencoderKL, taught: Taught, folder: Path) -> None:
    """Write the networks, in half precision, as a folder of Stable Diffusion that checks nothing for safety."""
    parts = (coder.half(), taught.reader.half(), taught.tokenizer, taught.unet.half(), scheduler())
    StableDiffusionPipeline(*parts, None, None, requires_safety_checker=False).save_pretrained(folder)


def evaluate() -> int:
    """Print what the shipped model reaches, a line for each kind of wish, and draw some of what it paints."""
    for line in figures(SHIPPED / "sheet.png"):
        sys.stdout.write(json.dumps(line) + "\n")
    return 0
