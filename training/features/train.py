"""Trains the built-in CLIP (role "features") on scenes of the small world and sentences about them, and ships it."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import torch
from transformers import CLIPImageProcessorPil, CLIPModel, CLIPProcessor, CLIPTokenizer

from assistant.vision.features import PROMPT
from training.drawing import SIDE
from training.eyes import body
from training.features.evaluate import figures
from training.features.model import build, loss
from training.pieces import Plan, report
from training.pieces import train as train_pieces
from training.sentences import caption, plural
from training.world import Scene, Taste, scenes_of

SEED = 11
BATCH = 64
PLAN = Plan(steps=6000, rate=6e-4, averaged=0.999)
TASTE = Taste(counts=(3, 2, 1, 1, 1))
LABELLED = 0.7  # how often a picture of one thing goes with its label instead of a caption
STREAM = 2  # of scenes; 0 is the classifier's
SHIPPED = Path(__file__).parents[2] / "models" / "features"


def train(work: Path, minutes: float) -> int:
    """Train for `minutes`, going on from the checkpoint in `work`; at the end write `models/features`."""
    torch.manual_seed(SEED)
    tokenizer, model = build(body())

    def one_step(step: int) -> torch.Tensor:
        scenes = scenes_of(step, BATCH, STREAM, TASTE)
        rng = np.random.default_rng([SEED, step])
        return loss(model, tokenizer, scenes, [text_of(scene, rng) for scene in scenes])

    if not train_pieces(model, one_step, PLAN, work, minutes):
        return 0
    ship(tokenizer, model, SHIPPED)
    report(work, SHIPPED)
    return 0


def text_of(scene: Scene, rng: np.random.Generator) -> str:
    """Write a sentence for a scene; for one thing mostly as a plugin asks for a label, sometimes of another number."""
    if len(scene.objects) > 1 or rng.random() > LABELLED:
        return caption(scene, rng)
    thing = scene.objects[0].thing
    name = thing.label if rng.random() < 0.8 else thing.name
    return (PROMPT.format(name), name, PROMPT.format(plural(name)))[rng.choice(3, p=(0.7, 0.2, 0.1))]


def ship(tokenizer: CLIPTokenizer, model: CLIPModel, folder: Path) -> None:
    """Write the model, in half precision, with what prepares its pictures and sentences."""
    model.half().save_pretrained(folder)
    half = [0.5] * 3
    size = {"height": SIDE, "width": SIDE}
    images = CLIPImageProcessorPil(size={"shortest_edge": SIDE}, crop_size=size, image_mean=half, image_std=half)
    CLIPProcessor(images, tokenizer).save_pretrained(folder)


def evaluate() -> int:
    """Print what the shipped model reaches."""
    sys.stdout.write(json.dumps(figures()) + "\n")
    return 0
