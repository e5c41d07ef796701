"""Trains the built-in LayoutLMv3 (role "docqa") on questions about pages of the page world, and ships it."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import torch
from transformers import LayoutLMv3Tokenizer

from training.docqa.batches import Batches
from training.docqa.evaluate import calibrate, figures
from training.docqa.model import SIZE, Learner, build_model, build_tokenizer, ship
from training.pieces import Plan, device, report
from training.pieces import train as train_pieces

PLAN = Plan(steps=18_000, rate=8e-4, warm_up=600)
SHIPPED = Path(__file__).parents[2] / "models" / "docqa"


def train(work: Path, minutes: float) -> int:
    """Train for `minutes`, going on from the checkpoint in `work`; at the end write `models/docqa`."""
    tokenizer = _tokenizer(work / "tokenizer")
    learner = Learner(build_model(tokenizer))
    batches = Batches(tokenizer, SIZE)

    def loss(step: int) -> torch.Tensor:
        return learner.loss(batches.batch(step).to(device()))

    if not train_pieces(learner, loss, PLAN, work, minutes):
        return 0
    ship(learner.model.cpu(), tokenizer, SHIPPED)
    calibrate(SHIPPED)
    report(work, SHIPPED)
    return 0


def evaluate() -> int:
    """Print what the shipped model reaches, as JSON lines."""
    for figure in figures():
        sys.stdout.write(json.dumps(figure) + "\n")
        sys.stdout.flush()
    return 0


def _tokenizer(folder: Path) -> LayoutLMv3Tokenizer:
    """Return the tokenizer of this training: all pieces of it must use the same."""
    if not folder.exists():
        build_tokenizer().save_pretrained(folder)
    return LayoutLMv3Tokenizer.from_pretrained(folder)
