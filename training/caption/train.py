"""Trains the built-in BLIP-2 (role "caption") on scenes of the small world and sentences about them, and ships it."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import torch
from transformers import Blip2ForConditionalGeneration, Blip2Processor

from training.caption.evaluate import figures
from training.caption.model import Taught
from training.eyes import body
from training.pieces import Plan, report
from training.pieces import train as train_pieces
from training.sentences import caption
from training.world import Scene, scenes_of

SEED = 23
BATCH = 64
PLAN = Plan(steps=10000, rate=7e-4, averaged=0.999)
STREAM = 6  # of scenes
SHIPPED = Path(__file__).parents[2] / "models" / "caption"


def train(work: Path, minutes: float) -> int:
    """Train for `minutes`, going on from the checkpoint in `work`; at the end write `models/caption`."""
    torch.manual_seed(SEED)
    taught = Taught(body())

    def one_step(step: int) -> torch.Tensor:
        rng = np.random.default_rng([SEED, step])
        scenes = scenes_of(step, BATCH, STREAM)
        return taught.loss(scenes, [text_of(scene, rng) for scene in scenes])

    if not train_pieces(taught, one_step, PLAN, work, minutes):
        return 0
    ship(taught.processor, taught.model, SHIPPED)
    report(work, SHIPPED)
    return 0


def text_of(scene: Scene, rng: np.random.Generator) -> str:
    """Write a caption, the longer one of two.

    The likeliest words are what the model will say; of single captions too few have a background for it to say one.
    """
    return max((caption(scene, rng) for _ in range(2)), key=len)


def ship(processor: Blip2Processor, model: Blip2ForConditionalGeneration, folder: Path) -> None:
    """Write the model, in half precision, with what prepares its pictures."""
    model.half().save_pretrained(folder)
    processor.save_pretrained(folder)


def evaluate() -> int:
    """Print what the shipped model reaches."""
    sys.stdout.write(json.dumps(figures()) + "\n")
    return 0
