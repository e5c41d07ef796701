"""Measures the detector through the function that plugins call: mean average precision, and what a person would see."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator

import numpy as np
from PIL import Image as Pictures

from assistant.vision.boxes import overlaps
from assistant.vision.detection import THRESHOLD, Found, find
from training.world import HELD_OUT, Scene, make_scene, shapes, things

SCENES = 300
FAINTEST = 0.005  # what scores less is not looked at
OVERLAP = 0.5  # from which on a box is right


def figures(scenes: int = SCENES) -> dict[str, float]:
    """Return the figures for both vendors' drawings."""
    found = {}
    for vendor, style in (("noto", ""), ("fluent", ", drawings of another style")):
        ranked, counts = ranking(scenes, vendor)
        found[f"mAP@0.5{style}"] = mean_precision(ranked, counts)
        shown = [right for rows in ranked.values() for score, right in rows if score >= THRESHOLD]
        found[f"boxes shown that are right{style}"] = round(sum(shown) / max(1, len(shown)), 4)
        found[f"things shown{style}"] = round(sum(shown) / sum(counts.values()), 4)
    return {**found, "scenes": scenes, "labels asked for": len(labels())}


def labels() -> list[str]:
    """Return what is asked for in every picture."""
    return [thing.label for thing in (*things(), *shapes())]


def ranking(scenes: int, vendor: str) -> tuple[dict[str, list[tuple[float, bool]]], dict[str, int]]:
    """Return for each label what was found as (score, whether it is right), and how many things there are."""
    ranked: dict[str, list[tuple[float, bool]]] = defaultdict(list)
    counts: dict[str, int] = defaultdict(int)
    for number in range(scenes):
        scene = make_scene(number, HELD_OUT, vendor=vendor)
        for one in scene.objects:
            counts[one.thing.label] += 1
        seen = find(Pictures.fromarray(scene.pixels), labels(), FAINTEST)
        for label, score, right in _judged(scene, seen):
            ranked[label].append((score, right))
    return ranked, counts


def _judged(scene: Scene, seen: list[Found]) -> Iterator[tuple[str, float, bool]]:
    """Yield label, score and whether it is right, best first; each thing is found by one box only."""
    free = list(scene.objects)
    for found in seen:
        fitting = [one for one in free if one.thing.label == found.label]
        shared = overlaps(np.array(found.box), np.array([one.box for one in fitting], float).reshape(-1, 4))
        right = bool(fitting) and float(shared.max()) >= OVERLAP
        if right:
            free.remove(fitting[int(shared.argmax())])
        yield found.label, found.score, right


def mean_precision(ranked: dict[str, list[tuple[float, bool]]], counts: dict[str, int]) -> float:
    """Return the mean over labels of the area under precision and recall, as COCO has it but at one overlap."""
    areas = []
    for label, count in counts.items():
        rows = sorted(ranked.get(label, []), reverse=True)
        right = np.array([hit for _, hit in rows], float)
        precision = np.cumsum(right) / np.arange(1, len(right) + 1)
        best = np.maximum.accumulate(precision[::-1])[::-1] if len(right) else precision
        areas.append(float((best * right).sum()) / count)
    return round(float(np.mean(areas)), 4)
