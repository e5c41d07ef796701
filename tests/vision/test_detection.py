"""Detection tells where things are in the picture that was given, whatever its shape. The tiny OWLv2 finds colours."""

from __future__ import annotations

import threading
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from transformers import Owlv2ForObjectDetection

from assistant import Assistant
from assistant.errors import Cancelled, ToolError
from assistant.residents import residents
from assistant.vision.detection import Found, detector, find
from tests.vision.test_boxes import iou

CELLS = 8  # along the square that OWLv2 sees


@pytest.fixture(autouse=True)
def tiny_detector(tiny: Callable[..., Assistant]) -> Assistant:
    return tiny("cpu", "detect")


def scene(size: tuple[int, int], *cells: tuple[str, int, int]) -> Image.Image:
    """Paint cells of the grid over the padded square, each given by colour, column and row."""
    picture = Image.new("RGB", size, "white")
    side = max(size) / CELLS
    for colour, column, row in cells:
        edges = (column * side, row * side, (column + 1) * side, (row + 1) * side)
        picture.paste(colour, tuple(round(edge) for edge in edges))
    return picture


def expected(size: tuple[int, int], column: int, row: int) -> list[float]:
    """Return the box of a cell: as large as the cell, around its lower right corner, cut at the picture's edge."""
    side = max(size) / CELLS
    edges = [(column + 0.5) * side, (row + 0.5) * side, (column + 1.5) * side, (row + 1.5) * side]
    return [min(edge, limit) for edge, limit in zip(edges, size * 2, strict=True)]


def answer(monkeypatch: pytest.MonkeyPatch, boxes: list[list[float]], scores: list[list[float]]) -> None:
    """Let OWLv2 see `boxes` (left, top, right, bottom as shares of the square) with a score for each query."""
    edges = torch.tensor(boxes)
    centred = torch.cat([(edges[:, :2] + edges[:, 2:]) / 2, edges[:, 2:] - edges[:, :2]], 1)
    output = SimpleNamespace(logits=torch.logit(torch.tensor(scores))[None], pred_boxes=centred[None].half())
    monkeypatch.setattr(Owlv2ForObjectDetection, "forward", lambda self, **inputs: output)


SIZES = [(128, 64), (64, 128), (121, 77), (77, 121), (4000, 3000), (3000, 4000)]
SHRUNK_UNEVENLY = [(211, 97), (97, 211)]  # to 128 x 59; what is looked at cannot be told to less than half a pixel


@pytest.mark.parametrize("size", [*SIZES, *SHRUNK_UNEVENLY])
def test_boxes_are_in_pixels_of_pictures_of_any_shape(size: tuple[int, int]) -> None:
    slack = 0.5 * max(size) / 128 if size in SHRUNK_UNEVENLY else 3e-4 * max(size)
    cells = {"red": (2, 1), "blue": (1, 2)}
    picture = scene(size, *((colour, *cell) for colour, cell in cells.items()))
    found = find(picture, ["red", "green", "blue"], 0.5)
    assert sorted(one.label for one in found) == ["blue", "red"]
    for one in found:
        assert one.box == pytest.approx(expected(size, *cells[one.label]), abs=slack)
        assert 0.5 < one.score <= 1


def test_boxes_end_at_the_edge_of_the_picture() -> None:
    (found,) = find(scene((120, 60), ("red", 7, 3)), ["red"], 0.5)
    assert found.box == pytest.approx((112.5, 52.5, 120, 60), abs=0.04)
    assert found.box[2:] == (120, 60)


def test_the_numbers_are_those_of_transformers(tiny_detector: Assistant) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (8, 12, 3), np.uint8)
    picture = Image.fromarray(noise).resize((121, 77), Image.Resampling.NEAREST)
    with detector() as (processor, model):
        inputs = processor(text=[["a photo of a red"]], images=picture, return_tensors="pt")
        with torch.inference_mode():
            outputs = model(**inputs)
        (bare,) = processor.post_process_grounded_object_detection(outputs, 0.0, [(77, 121)])
    found = find(picture, ["red"], 0.0)
    assert len(found) > 10
    for one in found:
        row = int((bare["scores"] - one.score).abs().argmin())
        assert one.score == pytest.approx(float(bare["scores"][row]), abs=1e-6)
        whole = np.clip(bare["boxes"][row].numpy(), 0, [121, 77, 121, 77])
        assert one.box == pytest.approx(whole.tolist(), abs=1e-3)
    assert [one.score for one in found] == sorted((one.score for one in found), reverse=True)


def test_of_boxes_on_one_object_the_best_stays_for_each_label(monkeypatch: pytest.MonkeyPatch) -> None:
    once, again, apart = [0.1, 0.1, 0.3, 0.3], [0.1, 0.1, 0.3, 0.35], [0.5, 0.1, 0.7, 0.3]
    answer(monkeypatch, [once, again, once, apart], [[0.6, 0.1], [0.8, 0.1], [0.1, 0.7], [0.3, 0.2]])
    found = find(Image.new("RGB", (100, 100)), ["cat", "dog"], 0.25)
    assert [(one.label, round(one.score, 3)) for one in found] == [("cat", 0.8), ("dog", 0.7), ("cat", 0.3)]
    for one in found:
        for other in found:
            assert one is other or one.label != other.label or iou(np.array(one.box), np.array(other.box)) <= 0.5


def test_what_is_seen_in_the_padding_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    answer(monkeypatch, [[0.2, 0.6, 0.4, 0.8], [0.2, 0.4, 0.4, 0.8]], [[0.9], [0.8]])
    (found,) = find(Image.new("RGB", (200, 100)), ["cat"], 0.1)
    assert found.score == pytest.approx(0.8, abs=1e-3)
    assert found.box == pytest.approx((40, 80, 80, 100), abs=0.2)


def test_boxes_of_half_precision_are_scaled_in_full(monkeypatch: pytest.MonkeyPatch) -> None:
    answer(monkeypatch, [[0.5, 0.25, 1.0, 0.75]], [[0.9]])
    with detector() as (_, model):
        seen = model.forward().pred_boxes
        seen[0, 0] = torch.tensor([0.7505, 0.5, 0.5, 0.5]).half()
    (found,) = find(Image.new("RGB", (101, 101)), ["cat"], 0.1)
    assert found.box[0] == pytest.approx((float(seen[0, 0, 0]) - 0.25) * 101, abs=1e-3)


def test_scores_must_exceed_the_threshold(monkeypatch: pytest.MonkeyPatch) -> None:
    answer(monkeypatch, [[0.1, 0.1, 0.3, 0.3], [0.5, 0.5, 0.7, 0.7]], [[0.3], [0.2]])
    picture = Image.new("RGB", (50, 50))
    assert [len(find(picture, ["cat"], threshold)) for threshold in (0.1, 0.25, 0.35)] == [2, 1, 0]


@pytest.mark.parametrize("size", [(1, 1), (3, 3), (1, 7), (20000, 1), (3, 9000)])
def test_pictures_of_a_pixel_and_narrow_strips_are_looked_at(size: tuple[int, int]) -> None:
    assert find(Image.new("RGB", size, "white"), ["red"], 0.5) == []
    for one in find(Image.new("RGB", size, "red"), ["red"], 0.1):
        assert 0 <= one.box[0] < one.box[2] <= size[0]
        assert 0 <= one.box[1] < one.box[3] <= size[1]


def test_a_query_too_long_for_the_model_is_a_sentence() -> None:
    with pytest.raises(ToolError, match=r"too long to look for\. Name the thing in a few words"):
        find(Image.new("RGB", (9, 9)), ["ball", "ball " * 20])


def test_stop_comes_before_the_model(monkeypatch: pytest.MonkeyPatch) -> None:
    def forward(*_: Any, **__: Any) -> None:
        raise AssertionError("the model ran")

    monkeypatch.setattr(Owlv2ForObjectDetection, "forward", forward)
    stop = threading.Event()
    stop.set()
    with pytest.raises(Cancelled):
        find(Image.new("RGB", (9, 9)), ["ball"], stop=stop)


def test_the_gpu_row_loads_the_same_model_in_half_precision(tiny: Callable[..., Assistant]) -> None:
    tiny("gpu", "detect")
    entry = residents().catalog.choose("detect").entry
    assert (entry.profile, entry.dtype) == ("gpu", "float16")
    found = find(scene((120, 60), ("green", 3, 2)), ["green"], 0.5)
    assert found == [Found("green", found[0].score, found[0].box)]
    assert found[0].box == pytest.approx(expected((120, 60), 3, 2), abs=0.5)
