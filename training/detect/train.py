"""Trains the built-in OWLv2 (role "detect") on scenes of the small world, and ships it."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import torch
from transformers import CLIPTokenizer, Owlv2ForObjectDetection, Owlv2ImageProcessorPil, Owlv2Processor

from training.detect.evaluate import figures
from training.detect.model import build, loss
from training.drawing import SIDE
from training.eyes import body
from training.pieces import Plan, report
from training.pieces import train as train_pieces
from training.world import scenes_of

SEED = 13
BATCH = 64
PLAN = Plan(steps=5000, rate=6e-4, averaged=0.999)
STREAM = 3  # of scenes
SHIPPED = Path(__file__).parents[2] / "models" / "detect"


def train(work: Path, minutes: float) -> int:
    """Train for `minutes`, going on from the checkpoint in `work`; at the end write `models/detect`."""
    torch.manual_seed(SEED)
    tokenizer, model = build(body())

    def one_step(step: int) -> torch.Tensor:
        scenes = scenes_of(step, BATCH, STREAM)
        return loss(model, tokenizer, scenes, np.random.default_rng([SEED, step]))

    if not train_pieces(model, one_step, PLAN, work, minutes):
        return 0
    ship(tokenizer, model, SHIPPED)
    report(work, SHIPPED)
    return 0


def ship(tokenizer: CLIPTokenizer, model: Owlv2ForObjectDetection, folder: Path) -> None:
    """Write the model, in half precision, with what prepares its pictures and queries."""
    model.half().save_pretrained(folder)
    half = [0.5] * 3
    images = Owlv2ImageProcessorPil(size={"height": SIDE, "width": SIDE}, image_mean=half, image_std=half)
    Owlv2Processor(images, tokenizer).save_pretrained(folder)


def evaluate() -> int:
    """Print what the shipped model reaches."""
    sys.stdout.write(json.dumps(figures()) + "\n")
    return 0
