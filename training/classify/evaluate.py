"""Measures the shipped classifier on scenes that no training saw, and on another vendor's drawings."""

from __future__ import annotations

from pathlib import Path

import torch
from PIL import Image as Pictures
from transformers import AutoImageProcessor, ViTForImageClassification

from training.world import HELD_OUT, Taste, make_scene

SCENES = 1000
ALONE = Taste(counts=(1,))


def figures(folder: Path, scenes: int = SCENES) -> dict[str, float]:
    """Return how often the first label is what a picture of one thing shows, for both vendors' drawings."""
    return {
        "accuracy": accuracy(folder, scenes, "noto"),
        "accuracy, drawings of another style": accuracy(folder, scenes, "fluent"),
        "scenes": scenes,
    }


def accuracy(folder: Path, scenes: int, vendor: str) -> float:
    """Return how often the first label is right."""
    processor = AutoImageProcessor.from_pretrained(folder)
    model = ViTForImageClassification.from_pretrained(folder, dtype=torch.float32)
    right = 0
    for number in range(scenes):
        scene = make_scene(number, HELD_OUT, ALONE, vendor)
        pixels = processor(Pictures.fromarray(scene.pixels), return_tensors="pt")["pixel_values"]
        with torch.inference_mode():
            best = int(model(pixel_values=pixels).logits.argmax())
        right += model.config.id2label[best] == scene.objects[0].thing.name
    return round(right / scenes, 4)
