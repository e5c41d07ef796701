"""Measures the segmenter through the functions that plugins call: how well masks from a point or a box fit."""

from __future__ import annotations

import numpy as np
from PIL import Image as Pictures

from assistant.vision.segmentation import mask_at_point, masks_for_boxes
from training.world import HELD_OUT, make_scene

SCENES = 150


def figures(scenes: int = SCENES) -> dict[str, float]:
    """Return the mean overlap (IoU) of masks with the things meant, for both vendors' drawings."""
    found: dict[str, float] = {}
    for vendor, style in (("noto", ""), ("fluent", ", drawings of another style")):
        points, boxes = overlaps(scenes, vendor)
        found[f"mean IoU from a point{style}"] = round(float(np.mean(points)), 4)
        found[f"mean IoU from a box{style}"] = round(float(np.mean(boxes)), 4)
    return {**found, "scenes": scenes}


def overlaps(scenes: int, vendor: str) -> tuple[list[float], list[float]]:
    """Return the overlap for every thing of the scenes, from a point drawn on it and from the box around it."""
    points, boxes = [], []
    for number in range(scenes):
        scene = make_scene(number, HELD_OUT, vendor=vendor)
        picture = Pictures.fromarray(scene.pixels)
        rng = np.random.default_rng(number)
        found = masks_for_boxes(picture, [one.box for one in scene.objects])
        for place in range(len(scene.objects)):
            thing = scene.cover == place + 1
            rows, columns = np.nonzero(thing)
            pick = int(rng.integers(len(rows)))
            at_point = mask_at_point(picture, (float(columns[pick]) + 0.5, float(rows[pick]) + 0.5))
            points.append(_overlap(at_point.mask, thing))
            boxes.append(_overlap(found[place].mask, thing))
    return points, boxes


def _overlap(one: np.ndarray, other: np.ndarray) -> float:
    return float((one & other).sum() / max(1, (one | other).sum()))
