"""Rectangles in a picture: how far they overlap, and which of many are one thing seen twice. Knows no model.

A box is (left, top, right, bottom) in pixels; right and bottom lie just outside.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np

Box = tuple[float, float, float, float]


def overlaps(box: np.ndarray, boxes: np.ndarray) -> np.ndarray:
    """Return the intersection over union, in 0..1, of one box of shape (4,) with each of (n, 4)."""
    import numpy as np

    shared = np.minimum(box[2:], boxes[:, 2:]) - np.maximum(box[:2], boxes[:, :2])
    intersection = shared.clip(min=0).prod(1)
    union = (box[2:] - box[:2]).prod() + (boxes[:, 2:] - boxes[:, :2]).prod(1) - intersection
    ratio: np.ndarray = intersection / np.where(union > 0, union, 1)
    return ratio


def without_repeats(boxes: np.ndarray, scores: np.ndarray, limit: float) -> list[int]:
    """Return the rows of `boxes` (n, 4) that remain after non-maximum suppression, best first.

    Greedy: the best box stays, and every other that overlaps it by more than `limit` (an IoU) goes; then the best
    of the rest, and so on.
    """
    import numpy as np

    kept: list[int] = []
    left = np.argsort(-scores, kind="stable")
    while len(left):
        best, left = left[0], left[1:]
        kept.append(int(best))
        left = left[overlaps(boxes[best], boxes[left]) <= limit]
    return kept
