"""Trains the built-in classifier (role "classify") on scenes of the small world, and ships it."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import torch
from transformers import ViTImageProcessorPil

from training.classify.evaluate import figures
from training.classify.model import Taught
from training.drawing import SIDE
from training.eyes import SHIPPED
from training.pieces import Plan, report
from training.pieces import train as train_pieces
from training.world import Taste, scenes_of

SEED = 7
BATCH = 64
PLAN = Plan(steps=9000, rate=1e-3, averaged=0.999)
TASTE = Taste(counts=(2, 1, 1, 1, 1))


def train(work: Path, minutes: float) -> int:
    """Train for `minutes`, going on from the checkpoint in `work`; at the end write `models/classify`."""
    torch.manual_seed(SEED)
    taught = Taught()

    def loss(step: int) -> torch.Tensor:
        return taught.loss(scenes_of(step, BATCH, taste=TASTE))

    if not train_pieces(taught, loss, PLAN, work, minutes):
        return 0
    taught.model.half().save_pretrained(SHIPPED)
    half = [0.5] * 3
    ViTImageProcessorPil(size={"height": SIDE, "width": SIDE}, image_mean=half, image_std=half).save_pretrained(SHIPPED)
    report(work, SHIPPED)
    return 0


def evaluate() -> int:
    """Print what the shipped classifier reaches."""
    sys.stdout.write(json.dumps(figures(SHIPPED)) + "\n")
    return 0
