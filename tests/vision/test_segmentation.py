"""Segmentation gives masks that lie on the pixels they are of, each once. The network is tiny or its output known."""

from __future__ import annotations

import threading
from collections.abc import Callable

import numpy as np
import pytest
import torch
from PIL import Image
from transformers import SamModel
from transformers.models.sam.image_processing_pil_sam import _compute_stability_score

from assistant import Assistant
from assistant.errors import Cancelled, ToolError
from assistant.vision import segmentation
from assistant.vision.palette import colour
from assistant.vision.segmentation import Mask, all_masks, draw_masks, mask_at_point, masks_for_boxes, segmenter
from tests.little_memory import always, once, run_out
from tests.vision import toy_sam
from tests.vision.toy_sam import rectangle

RESIZED = {(128, 64): (64, 32), (64, 128): (32, 64), (64, 64): (64, 64), (101, 67): (64, 42), (30, 47): (41, 64)}
RESIZED |= {(1, 1): (64, 64), (2, 1): (64, 32)}  # what SAM's input is of pictures of these sizes


@pytest.fixture(autouse=True)
def tiny_segmenter(tiny: Callable[..., Assistant]) -> Assistant:
    return tiny("cpu", "segment")


def noise(size: tuple[int, int]) -> Image.Image:
    return Image.fromarray(np.random.default_rng(0).integers(0, 256, (size[1], size[0], 3), np.uint8))


def stretched(values: np.ndarray, length: int) -> np.ndarray:
    """Scale the first axis linearly, each value standing for the middle of its cell."""
    at = ((np.arange(length) + 0.5) * len(values) / length - 0.5).clip(0, len(values) - 1)
    low = np.floor(at).astype(int)
    share = (at - low)[:, None]
    return values[low] * (1 - share) + values[np.minimum(low + 1, len(values) - 1)] * share


def enlarged(values: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    return stretched(stretched(values, size[1]).T, size[0]).T


@pytest.mark.parametrize("size", RESIZED)
def test_a_mask_is_scaled_to_the_picture_without_the_padding(
    monkeypatch: pytest.MonkeyPatch, size: tuple[int, int]
) -> None:
    logits = torch.randn(32, 32, generator=torch.manual_seed(3))
    toy_sam.install(monkeypatch, lambda *box: [(logits, 0.7)])
    (mask,) = masks_for_boxes(noise(size), [(0, 0, *size)])
    width, height = RESIZED[size]
    values = enlarged(enlarged(logits.numpy().astype(float), (64, 64))[:height, :width], size)
    clear = np.abs(values) > 1e-4
    assert mask.mask.shape == (size[1], size[0])
    assert (mask.mask == (values > 0))[clear].all()
    assert mask.score == pytest.approx(0.7)


@pytest.mark.parametrize(
    ("size", "edges"), [((128, 64), (40, 88)), ((512, 256), (160, 352)), ((4000, 3000), (1250, 2750))]
)
def test_upright_edges_lie_on_the_pixel(
    monkeypatch: pytest.MonkeyPatch, size: tuple[int, int], edges: tuple[int, int]
) -> None:
    toy_sam.install(monkeypatch, lambda left, top, right, bottom: [(rectangle(left, -9, right, 99), 1.0)])
    left, right = edges
    (mask,) = masks_for_boxes(noise(size), [(left, 0, right, size[1])])
    assert mask.box == (left, 0, right, size[1])
    assert mask.inside.all()
    assert mask.area == (right - left) * size[1]


def test_level_edges_lie_on_the_pixel(monkeypatch: pytest.MonkeyPatch) -> None:
    toy_sam.install(monkeypatch, lambda left, top, right, bottom: [(rectangle(-9, top, 99, bottom), 1.0)])
    (mask,) = masks_for_boxes(noise((96, 192)), [(0, 30, 96, 120)])
    assert mask.box == (0, 30, 96, 120)
    assert mask.inside.all()


def test_masks_come_in_the_order_of_their_boxes_from_one_look_at_the_picture(monkeypatch: pytest.MonkeyPatch) -> None:
    looks = []
    look = SamModel.get_image_embeddings
    monkeypatch.setattr(SamModel, "get_image_embeddings", lambda self, pixels: looks.append(1) or look(self, pixels))
    asked = toy_sam.install(monkeypatch, lambda left, top, right, bottom: [(rectangle(left, -9, right, 99), left)])
    boxes = [(4 * number, 0, 4 * number + 4, 64) for number in range(32)]
    masks = masks_for_boxes(noise((128, 64)), boxes)
    assert [mask.box for mask in masks] == boxes
    assert [mask.score for mask in masks] == [2 * number for number in range(32)]
    assert (len(looks), asked) == (1, [16, 16])


def test_boxes_and_points_are_those_of_transformers() -> None:
    picture = noise((101, 67))
    boxes, point = [(10.5, 5, 60, 40), (50, 20, 101, 67)], (70, 33)
    with segmenter() as (processor, model), torch.inference_mode():
        given = processor(images=picture, input_boxes=[[list(box) for box in boxes]], return_tensors="pt")
        sizes = given.pop("original_sizes"), given.pop("reshaped_input_sizes")
        bare = model(**given, multimask_output=False)
        (boxed,) = processor.post_process_masks(bare.pred_masks, *sizes)
        given = processor(images=picture, input_points=[[[list(point)]]], return_tensors="pt")
        sizes = given.pop("original_sizes"), given.pop("reshaped_input_sizes")
        pointed = model(**given)
        (parts,) = processor.post_process_masks(pointed.pred_masks, *sizes)
    masks = masks_for_boxes(picture, boxes)
    for mask, expected, score in zip(masks, boxed[:, 0].numpy(), bare.iou_scores[0, :, 0].tolist(), strict=True):
        assert mask.score == pytest.approx(score, abs=1e-5)
        assert (mask.mask == expected).mean() > 0.999
    best = int(pointed.iou_scores[0, 0].argmax())
    mask = mask_at_point(picture, point)
    assert mask.score == pytest.approx(float(pointed.iou_scores[0, 0, best]), abs=1e-5)
    assert (mask.mask == parts[0, best].numpy()).mean() > 0.999


def test_of_the_masks_at_a_point_the_surest_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []
    parts = [(rectangle(-9, -9, 20, 99), 0.6), (rectangle(-9, -9, 30, 99), 0.8), (rectangle(-9, -9, 40, 99), 0.7)]
    toy_sam.install(monkeypatch, lambda *point: asked.append(point) or parts)
    mask = mask_at_point(noise((128, 64)), (100, 30))
    assert asked == [(50, 15)]
    assert mask.box == (0, 0, 60, 64)
    assert mask.score == pytest.approx(0.8)


REGIONS = {(0, 0, 20, 32): 0.95, (24, 0, 40, 16): 0.91, (44, 20, 64, 32): 0.93}


def everything(x: float, y: float) -> list[toy_sam.Answer]:
    """Answer with the region at a point and two masks that are none: one that wavers and one of all the 64 x 32."""
    wavering, whole = (rectangle(10, 10, 50, 30, sure=0.5), 0.99), (rectangle(-9, -9, 99, 32), 0.99)
    for (left, top, right, bottom), score in REGIONS.items():
        if left <= x < right and top <= y < bottom:
            return [(rectangle(left, top, right, bottom), score), wavering, whole]
    return [(rectangle(22, 18, 42, 30), 0.5), wavering, whole]


def test_everything_in_a_picture_is_found_once_best_first(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = toy_sam.install(monkeypatch, everything)
    masks = all_masks(noise((128, 64)), 50)
    assert [round(mask.score, 2) for mask in masks] == [0.95, 0.93, 0.91]
    for mask, (left, top, right, bottom) in zip(masks, sorted(REGIONS, key=lambda box: -REGIONS[box]), strict=True):
        assert mask.box == pytest.approx((2 * left, 2 * top, 2 * right, 2 * bottom), abs=2)
        assert mask.area > 0.95 * 4 * (right - left) * (bottom - top)
    assert asked == [16] * 64
    assert [round(mask.score, 2) for mask in all_masks(noise((128, 64)), 2)] == [0.95, 0.93]


def test_points_without_room_together_are_answered_one_by_one(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = toy_sam.install(monkeypatch, everything)
    run_out(monkeypatch, SamModel, "forward", lambda self, input_points, **_: input_points.shape[1] > 1)
    assert [round(mask.score, 2) for mask in all_masks(noise((128, 64)), 50)] == [0.95, 0.93, 0.91]
    assert asked == [1] * 1024


def test_a_picture_without_room_is_looked_at_once_more_and_then_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    picture = noise((64, 64))
    expected = mask_at_point(picture, (30, 30))
    run_out(monkeypatch, SamModel, "get_image_embeddings", once())
    assert (mask_at_point(picture, (30, 30)).mask == expected.mask).all()
    run_out(monkeypatch, SamModel, "get_image_embeddings", always)
    with pytest.raises(ToolError, match="not enough memory"):
        mask_at_point(picture, (30, 30))


def test_the_points_of_the_grid_are_those_of_transformers(monkeypatch: pytest.MonkeyPatch) -> None:
    points: list[tuple[float, float]] = []
    toy_sam.install(monkeypatch, lambda *point: points.append(point) or everything(*point))
    picture = noise((101, 67))
    all_masks(picture, 1)
    with segmenter() as (processor, _):
        _, grid, _, _ = processor.image_processor.generate_crop_boxes(picture, 64)
    assert np.array(points) == pytest.approx(grid[0, :, 0].numpy(), abs=1e-4)


def test_stability_is_that_of_transformers() -> None:
    draw = torch.manual_seed(0)
    logits = torch.stack([rectangle(10, 10, 50, 50) + 6 * torch.randn(32, 32, generator=draw) for _ in range(60)])
    logits += torch.linspace(-3, 9, 60)[:, None, None]
    scores = _compute_stability_score(logits, 0, 1)
    middle = float(scores.median())
    for mask, score in zip(logits, scores, strict=True):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(segmentation, "LEAST_STABILITY", middle)
            patch.setattr(segmentation, "MOST_COVERED", 1)
            assert segmentation._is_an_object(mask) == (float(score) > middle)
    assert not segmentation._is_an_object(torch.full((4, 4), -9.0))


def test_a_picture_where_nothing_is_sure_has_no_masks(monkeypatch: pytest.MonkeyPatch) -> None:
    toy_sam.install(monkeypatch, lambda *_: [(rectangle(0, 0, 9, 9), 0.88)] * 3)
    assert all_masks(noise((64, 64)), 50) == []


def test_stop_comes_between_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    stop = threading.Event()
    asked = toy_sam.install(monkeypatch, everything)
    told: list[float | None] = []

    def progress(fraction: float | None, note: str) -> None:
        told.append(fraction)
        if len(asked) == 3:
            stop.set()

    with pytest.raises(Cancelled):
        all_masks(noise((64, 64)), 50, stop, progress)
    assert asked == [16] * 4, "the batch that was under way is the last"
    assert told[-4:] == [0, 16 / 1024, 32 / 1024, 48 / 1024]


def test_stop_comes_between_masks_that_are_scaled_up(monkeypatch: pytest.MonkeyPatch) -> None:
    stop = threading.Event()
    toy_sam.install(monkeypatch, everything)
    with segmenter() as (processor, _):
        kind = type(processor.image_processor)
    scale = kind.post_process_masks
    scaled: list[int] = []

    def watched(self: object, *given: object, **named: object) -> object:
        scaled.append(1)
        stop.set()
        return scale(self, *given, **named)

    monkeypatch.setattr(kind, "post_process_masks", watched)
    with pytest.raises(Cancelled):
        all_masks(noise((64, 64)), 50, stop)
    assert len(scaled) == 1


def test_stop_comes_before_the_picture_is_looked_at(monkeypatch: pytest.MonkeyPatch) -> None:
    stop = threading.Event()
    stop.set()
    monkeypatch.setattr(SamModel, "get_image_embeddings", lambda *_: pytest.fail("the model ran"))
    with pytest.raises(Cancelled):
        mask_at_point(noise((64, 64)), (1, 1), stop)


def test_an_empty_mask_has_no_pixels(monkeypatch: pytest.MonkeyPatch) -> None:
    toy_sam.install(monkeypatch, lambda *_: [(torch.full((32, 32), -1.0), 0.1)])
    (mask,) = masks_for_boxes(noise((40, 30)), [(0, 0, 9, 9)])
    assert (mask.box, mask.area, mask.mask.shape, mask.mask.any()) == ((0, 0, 0, 0), 0, (30, 40), False)


def test_a_picture_too_narrow_for_sam_is_a_sentence() -> None:
    with pytest.raises(ToolError, match="300 x 1 pixels, too narrow"):
        mask_at_point(noise((300, 1)), (0, 0))
    mask_at_point(noise((128, 1)), (0, 0))


def test_masks_are_tinted_the_small_ones_on_top() -> None:
    picture = noise((20, 10))
    small = Mask((4, 2, 6, 4), np.array([[True, False], [True, True]]), (20, 10), 0.9)
    large = Mask((2, 0, 10, 10), np.ones((10, 8), bool), (20, 10), 0.9)
    drawn = draw_masks(picture, [small, large])
    before, after = np.array(picture), np.array(drawn)
    tinted = before // 2 + np.array(colour(1), np.uint8) // 2
    assert (after[~large.mask] == before[~large.mask]).all()
    assert (after[large.mask & ~small.mask] == tinted[large.mask & ~small.mask]).all()
    assert (after[small.mask] == (tinted // 2 + np.array(colour(0), np.uint8) // 2)[small.mask]).all()
