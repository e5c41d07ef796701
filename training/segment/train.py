"""Trains the built-in SAM (role "segment") on scenes of the small world, and ships it."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import torch
from transformers import SamImageProcessorPil, SamModel, SamProcessor

from training.drawing import SIDE
from training.eyes import body
from training.pieces import Plan, report
from training.pieces import train as train_pieces
from training.segment.evaluate import figures
from training.segment.model import MASK, build, loss, prompts_of
from training.world import scenes_of

SEED = 17
BATCH = 32
PLAN = Plan(steps=4000, rate=6e-4, averaged=0.999)
STREAM = 4  # of scenes
SHIPPED = Path(__file__).parents[2] / "models" / "segment"


def train(work: Path, minutes: float) -> int:
    """Train for `minutes`, going on from the checkpoint in `work`; at the end write `models/segment`."""
    torch.manual_seed(SEED)
    model = build(body())

    def one_step(step: int) -> torch.Tensor:
        scenes = scenes_of(step, BATCH, STREAM)
        boxed, ambiguous = bool(step % 2), bool(step // 2 % 2)
        return loss(model, scenes, prompts_of(scenes, np.random.default_rng([SEED, step]), boxed), ambiguous)

    if not train_pieces(model, one_step, PLAN, work, minutes):
        return 0
    ship(model, SHIPPED)
    report(work, SHIPPED)
    return 0


def ship(model: SamModel, folder: Path) -> None:
    """Write the model, in half precision, with what prepares its pictures and prompts."""
    model.half().save_pretrained(folder)
    half = [0.5] * 3
    images = SamImageProcessorPil(
        size={"longest_edge": SIDE},
        pad_size={"height": SIDE, "width": SIDE},
        mask_size={"longest_edge": MASK},
        mask_pad_size={"height": MASK, "width": MASK},
        image_mean=half,
        image_std=half,
    )
    SamProcessor(images).save_pretrained(folder)


def evaluate() -> int:
    """Print what the shipped model reaches."""
    sys.stdout.write(json.dumps(figures()) + "\n")
    return 0
