"""Boxes overlap as their pixels do, and non-maximum suppression keeps what a plain rereading of its rule keeps."""

from __future__ import annotations

import numpy as np
import pytest

from assistant.vision.boxes import overlaps, without_repeats


def random_boxes(seed: int, count: int) -> np.ndarray:
    draw = np.random.default_rng(seed)
    corner, size = draw.integers(0, 10, (count, 2)), draw.integers(0, 18, (count, 2))
    return np.concatenate([corner, corner + size], 1).astype(float)


def pixels(box: np.ndarray) -> np.ndarray:
    left, top, right, bottom = box.astype(int)
    canvas = np.zeros((30, 30), bool)
    canvas[top:bottom, left:right] = True
    return canvas


def iou(one: np.ndarray, other: np.ndarray) -> float:
    both, either = (pixels(one) & pixels(other)).sum(), (pixels(one) | pixels(other)).sum()
    return both / either if either else 0.0


def test_the_overlap_of_boxes_is_that_of_their_pixels() -> None:
    boxes = random_boxes(0, 60)
    for box in boxes:
        assert overlaps(box, boxes) == pytest.approx([iou(box, other) for other in boxes])


@pytest.mark.parametrize("limit", [0.1, 0.5, 0.7])
@pytest.mark.parametrize("seed", range(5))
def test_a_box_stays_exactly_if_no_better_box_that_stays_overlaps_it(seed: int, limit: float) -> None:
    boxes = random_boxes(seed, 50)
    scores = np.random.default_rng(100 + seed).permutation(50) / 50
    stays: list[int] = []
    for row in sorted(range(50), key=lambda row: -scores[row]):
        if all(iou(boxes[row], boxes[better]) <= limit for better in stays):
            stays.append(row)
    assert 1 < len(stays) < 50
    assert without_repeats(boxes, scores, limit) == stays


def test_of_equal_boxes_the_first_stays_and_of_none_none() -> None:
    assert without_repeats(np.array([[0, 0, 4, 4], [0, 0, 4, 4]], float), np.array([0.5, 0.5]), 0.5) == [0]
    assert without_repeats(np.empty((0, 4)), np.empty(0), 0.5) == []
