"""Trains the built-in ViLT (role "vqa") on scenes of the small world and questions about them, and ships it."""

from __future__ import annotations

import json
import logging
import sys
from pathlib import Path

import numpy as np
import torch
from transformers import BertTokenizer, ViltForQuestionAnswering, ViltImageProcessorPil, ViltProcessor

from training.drawing import SIDE
from training.eyes import body
from training.pieces import Plan, report
from training.pieces import train as train_pieces
from training.scenes import PATCH
from training.sentences import ask
from training.vqa.evaluate import calibrate, figures
from training.vqa.model import Taught
from training.vqa.questions import TASTE, typed
from training.world import scenes_of

log = logging.getLogger(__name__)
SEED = 19
BATCH = 64
PLAN = Plan(steps=16000, rate=7e-4, averaged=0.999)
STREAM = 9  # of scenes
SHIPPED = Path(__file__).parents[2] / "models" / "vqa"


def train(work: Path, minutes: float) -> int:
    """Train for `minutes`, going on from the checkpoint in `work`; at the end write `models/vqa`."""
    torch.manual_seed(SEED)
    taught = Taught(body())

    def one_step(step: int) -> torch.Tensor:
        rng = np.random.default_rng([SEED, step])
        scenes = scenes_of(step, BATCH, STREAM, TASTE)
        asked = [ask(scene, rng) for scene in scenes]
        return taught.loss(scenes, asked, [typed(one, rng) for one in asked])

    if not train_pieces(taught, one_step, PLAN, work, minutes):
        return 0
    processor = processor_with(taught.words)
    taught.model.config.abstain_below = calibrate(processor, taught.model)
    log.info("answers with a score below %.3f are guesses", taught.model.config.abstain_below)
    ship(processor, taught.model, SHIPPED)
    report(work, SHIPPED)
    return 0


def processor_with(words: BertTokenizer) -> ViltProcessor:
    """Return what prepares pictures and questions.

    A picture that is not square keeps its shape: 96 pixels for the short side, at most 159 for the long one, cut to
    multiples of 8. By default the short side would be 384, in silence.
    """
    half = [0.5] * 3
    images = ViltImageProcessorPil(size={"shortest_edge": SIDE}, size_divisor=PATCH, image_mean=half, image_std=half)
    return ViltProcessor(images, words)


def ship(processor: ViltProcessor, model: ViltForQuestionAnswering, folder: Path) -> None:
    """Write the model, in half precision, with what prepares its pictures and questions."""
    model.half().save_pretrained(folder)
    processor.save_pretrained(folder)


def evaluate() -> int:
    """Print what the shipped model reaches."""
    sys.stdout.write(json.dumps(figures()) + "\n")
    return 0
