"""cut_out leaves exactly the pixels of the masks, whether objects are named, pointed at, boxed, or all are wanted."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from transformers import SamModel

from assistant import Assistant
from assistant.residents import residents
from assistant.types import ToolResult
from assistant.vision.detection import Found, find
from assistant.vision.segmentation import masks_for_boxes
from tests.vision import toy_sam
from tests.vision.toy_sam import rectangle

SIZE = (128, 64)  # twice what the tiny SAM sees


@pytest.fixture
def cutter(tiny: Callable[..., Assistant]) -> Assistant:
    return tiny("cpu", "detect", "segment")


@pytest.fixture
def toy(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Let SAM answer a box with the box, a point with its 8 x 8 cells."""

    def answer(*prompt: float) -> list[toy_sam.Answer]:
        if len(prompt) == 4:
            return [(rectangle(*prompt), 0.9)]
        left, top = (16 * (int(value) // 16) for value in prompt)
        mask = rectangle(left, top, left + 16, top + 16)
        return [(mask, 0.5), (mask, 0.95), (rectangle(-9, -9, 99, 99), 0.7)]

    return toy_sam.install(monkeypatch, answer)


@pytest.fixture
def photo() -> Image.Image:
    """Noise with a red and a blue cell, which the tiny OWLv2 sees 8 pixels further right and down."""
    grey = np.random.default_rng(0).integers(150, 255, (SIZE[1], SIZE[0], 1), np.uint8).repeat(3, 2)
    picture = Image.fromarray(grey)
    picture.paste("red", (16, 16, 32, 32))
    picture.paste("blue", (80, 16, 96, 32))
    return picture


def saved(picture: Image.Image, path: Path) -> str:
    picture.save(path)
    return str(path)


def opened(assistant: Assistant, result: ToolResult) -> tuple[np.ndarray, np.ndarray]:
    """Return the overlay and the cut-out as they were stored, (height, width, channels)."""
    overlay, cutout = result.artifacts
    assert (result.data["overlay"], result.data["cutout"]) == (overlay.id, cutout.id)
    with Image.open(assistant.path(overlay)) as first, Image.open(assistant.path(cutout)) as second:
        assert (first.mode, second.mode) == ("RGB", "RGBA")
        return np.array(first), np.array(second)


def check_cut(photo: Image.Image, cut: np.ndarray, wanted: np.ndarray) -> None:
    """Check that `cut` shows the pixels of `wanted` as they were and nothing else, and is no larger than they are."""
    rows, columns = np.flatnonzero(wanted.any(1)), np.flatnonzero(wanted.any(0))
    part = np.s_[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    assert cut.shape == (*wanted[part].shape, 4)
    assert (cut[..., 3] == 255 * wanted[part]).all()
    assert (cut[wanted[part]][:, :3] == np.array(photo)[wanted]).all()
    assert not cut[~wanted[part]].any(), "what is transparent must not carry the background along"


def boxed(*boxes: tuple[int, int, int, int]) -> np.ndarray:
    wanted = np.zeros(SIZE[::-1], bool)
    for left, top, right, bottom in boxes:
        wanted[top:bottom, left:right] = True
    return wanted


def test_a_box_is_cut_out_to_the_pixel(
    cutter: Assistant, monkeypatch: pytest.MonkeyPatch, photo: Image.Image, tmp_path: Path
) -> None:
    toy_sam.install(monkeypatch, lambda left, top, right, bottom: [(rectangle(left, -9, right, 99), 0.9)])
    result = cutter.call("cut_out", image=saved(photo, tmp_path / "p.png"), box=[20, 4, 68, 40])
    assert not result.failed, result.text
    assert result.text == "Cut out: 1 object."
    assert result.data["objects"] == [{"label": "object", "score": 0.9, "box": [20, 0, 68, 64], "area": 48 * 64}]
    overlay, cut = opened(cutter, result)
    check_cut(photo, cut, boxed((20, 0, 68, 64)))
    assert overlay.shape == (64, 128, 3)
    assert ((overlay != np.array(photo)).any(2) == boxed((20, 0, 68, 64))).all()
    assert result.receipt is not None
    assert result.receipt.models == (f"SAM ViT-B@{residents().catalog.choose('segment').entry.source.revision}",)


def test_any_shape_is_transparent_where_the_mask_is_not(
    cutter: Assistant, monkeypatch: pytest.MonkeyPatch, photo: Image.Image, tmp_path: Path
) -> None:
    ragged = rectangle(10, 10, 40, 30) + 20 * torch.randn(32, 32, generator=torch.manual_seed(1))
    toy_sam.install(monkeypatch, lambda *_: [(ragged, 0.9)])
    (mask,) = masks_for_boxes(photo, [(1, 1, 99, 60)])
    assert 500 < mask.area < 0.9 * 128 * 64
    result = cutter.call("cut_out", image=saved(photo, tmp_path / "p.png"), box=[1, 1, 99, 60])
    check_cut(photo, opened(cutter, result)[1], mask.mask)
    assert result.data["objects"][0]["area"] == mask.area


def test_named_things_are_found_and_then_cut_out(
    cutter: Assistant, toy: list[int], monkeypatch: pytest.MonkeyPatch, photo: Image.Image, tmp_path: Path
) -> None:
    sure = 0.5  # suits the tiny model on noise
    monkeypatch.setattr("plugins.cut_out.find", lambda *given, stop, progress: find(*given, sure, stop, progress))
    result = cutter.call("cut_out", image=saved(photo, tmp_path / "p.png"), what="the red, the green and the blue")
    assert not result.failed, result.text
    assert result.text in ("Cut out: 1 red, 1 blue. No green was found.", "Cut out: 1 blue, 1 red. No green was found.")
    pieces = {piece["label"]: piece for piece in result.data["objects"]}
    assert pieces["red"]["box"] == pytest.approx([24, 24, 40, 40], abs=1)
    assert pieces["blue"]["box"] == pytest.approx([88, 24, 104, 40], abs=1)
    assert toy == [2], "both boxes in one batch"
    _, cut = opened(cutter, result)
    assert cut.shape[:2] == pytest.approx((16, 80), abs=2)
    assert not cut[:, 20:60, 3].any(), "between the two there is nothing"
    entries = [residents().catalog.choose(role).entry for role in ("detect", "segment")]
    assert result.receipt is not None
    assert result.receipt.models == tuple(f"{entry.name}@{entry.source.revision}" for entry in entries)


def test_the_detector_is_given_back_before_sam_is_taken(
    cutter: Assistant, toy: list[int], monkeypatch: pytest.MonkeyPatch, photo: Image.Image, tmp_path: Path
) -> None:
    taken: list[str] = []
    held: list[str] = []
    lease = type(residents()).lease

    @contextlib.contextmanager
    def watched(self: Any, role: str, *rest: Any) -> Iterator[Any]:
        taken.append(role)
        held.append(role)
        assert len(held) == 1
        try:
            with lease(self, role, *rest) as model:
                yield model
        finally:
            held.remove(role)

    monkeypatch.setattr(type(residents()), "lease", watched)
    result = cutter.call("cut_out", image=saved(photo, tmp_path / "p.png"), what="red")
    assert not result.failed, result.text
    assert taken == ["detect", "segment"]


def test_at_most_ten_named_objects_are_cut_out_the_surest(
    cutter: Assistant, toy: list[int], monkeypatch: pytest.MonkeyPatch, photo: Image.Image, tmp_path: Path
) -> None:
    found = [Found("dog", 1 - number / 20, (8.0 * number, 8, 8 * number + 8, 24)) for number in range(14)]
    monkeypatch.setattr("plugins.cut_out.find", lambda *_, **__: found)
    result = cutter.call("cut_out", image=saved(photo, tmp_path / "p.png"), what="dogs")
    assert result.text == "Cut out: 10 dogs."
    assert [piece["box"][0] for piece in result.data["objects"]] == pytest.approx([8 * n for n in range(10)], abs=2)


def test_what_is_not_in_the_picture_cannot_be_cut_out(cutter: Assistant, tmp_path: Path) -> None:
    path = saved(Image.new("RGB", SIZE, "white"), tmp_path / "p.png")
    result = cutter.call("cut_out", image=path, what="red, blue")
    assert result.failed
    assert result.text == "No red or blue was found. Name something else, or give a point or a box."


def test_the_thing_at_a_point_is_cut_out(cutter: Assistant, toy: list[int], photo: Image.Image, tmp_path: Path) -> None:
    result = cutter.call("cut_out", image=saved(photo, tmp_path / "p.png"), point=[70, 35])
    assert not result.failed, result.text
    (piece,) = result.data["objects"]
    assert piece["score"] == 0.95
    assert piece["box"] == pytest.approx([64, 32, 96, 64], abs=1)


def test_without_a_hint_everything_is_cut_out(
    cutter: Assistant, toy: list[int], photo: Image.Image, tmp_path: Path
) -> None:
    result = cutter.call("cut_out", image=saved(photo, tmp_path / "p.png"))
    assert result.text == "Cut out: 8 objects."
    assert sorted(piece["box"][:2] for piece in result.data["objects"]) == [
        pytest.approx([left, top], abs=2) for left in (0, 32, 64, 96) for top in (0, 32)
    ]
    _, cut = opened(cutter, result)
    assert cut.shape == pytest.approx((64, 128, 4))


def test_nothing_clear_is_a_sentence(
    cutter: Assistant, monkeypatch: pytest.MonkeyPatch, photo: Image.Image, tmp_path: Path
) -> None:
    toy_sam.install(monkeypatch, lambda *prompt: [(rectangle(0, 0, 0, 0), 0.9)] * (3 if len(prompt) == 2 else 1))
    path = saved(photo, tmp_path / "p.png")
    for arguments in ({}, {"point": [3, 3]}, {"box": [0, 0, 9, 9]}):
        result = cutter.call("cut_out", image=path, **arguments)
        assert result.failed
        assert result.text == "No clear outline was found there. Point at the middle of the object, or name it."


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"what": "dog", "point": [1, 1]}, "what and point were given; give only one of what, point and box."),
        ({"point": [1, 1], "box": [0, 0, 5, 5]}, "point and box were given; give only one of what, point and box."),
        ({"point": [40, 3]}, "The point [40, 3] is outside the picture, which is 40 x 20 pixels."),
        ({"point": [-1, 3]}, "The point [-1, 3] is outside the picture, which is 40 x 20 pixels."),
        ({"box": [0, 0, 41, 20]}, "The box [0, 0, 41, 20] is no box inside the picture, which is 40 x 20 pixels."),
        ({"box": [9, 0, 9, 20]}, "The box [9, 0, 9, 20] is no box inside the picture"),
        ({"box": [9, 12, 20, 11]}, "Give left, top, right and bottom."),
        ({"what": " and "}, "Nothing to look for was named."),
        ({"point": [1, 2, 3]}, "'point'"),
        ({"box": [1, 2, 3]}, "'box'"),
    ],
)
def test_hints_that_make_no_sense_are_sentences(
    cutter: Assistant, picture: Path, arguments: dict[str, Any], words: str
) -> None:
    result = cutter.call("cut_out", image=str(picture), **arguments)
    assert result.failed
    assert words in result.text


def test_the_corners_of_the_picture_are_inside_it(cutter: Assistant, toy: list[int], picture: Path) -> None:
    for arguments in ({"point": [0, 0]}, {"point": [39, 19]}, {"box": [0, 0, 40, 20]}):
        assert not cutter.call("cut_out", image=str(picture), **arguments).failed


@pytest.mark.parametrize(("mode", "ending"), [("L", "png"), ("RGBA", "png"), ("CMYK", "tiff"), ("LA", "png")])
def test_pictures_of_other_modes_are_cut_as_they_look(
    cutter: Assistant, toy: list[int], photo: Image.Image, tmp_path: Path, mode: str, ending: str
) -> None:
    path = saved(photo.convert(mode), tmp_path / f"p.{ending}")
    result = cutter.call("cut_out", image=path, box=[20, 0, 68, 64])
    _, cut = opened(cutter, result)
    (piece,) = result.data["objects"]
    looks = np.array(photo.convert(mode).convert("RGB").crop(piece["box"]))
    solid = cut[..., 3] == 255
    assert solid.sum() == piece["area"]
    assert (cut[solid][:, :3] == looks[solid]).all()


@pytest.mark.parametrize("size", [(1, 1), (4000, 3000)])
def test_the_smallest_and_a_large_picture_are_cut(
    cutter: Assistant, toy: list[int], tmp_path: Path, size: tuple[int, int]
) -> None:
    path = saved(Image.new("RGB", size, "red"), tmp_path / "p.png")
    result = cutter.call("cut_out", image=path, box=[0, 0, *size])
    assert not result.failed, result.text
    _, cut = opened(cutter, result)
    assert cut.shape == (size[1], size[0], 4)
    assert cut[cut[..., 3] == 255].shape[0] == result.data["objects"][0]["area"]


def test_a_turned_photo_is_cut_the_way_it_is_shown(
    cutter: Assistant, monkeypatch: pytest.MonkeyPatch, photo: Image.Image, tmp_path: Path
) -> None:
    toy_sam.install(monkeypatch, lambda left, top, right, bottom: [(rectangle(left, -9, right, 99), 0.9)])
    exif = Image.Exif()
    exif[0x0112] = 8  # shown after a quarter turn to the left
    photo.transpose(Image.Transpose.ROTATE_270).save(tmp_path / "photo.jpg", exif=exif, quality=100)
    result = cutter.call("cut_out", image=str(tmp_path / "photo.jpg"), box=[20, 0, 68, 64])
    overlay, cut = opened(cutter, result)
    assert overlay.shape == (64, 128, 3)
    assert np.abs(cut[..., :3].astype(int) - np.array(photo)[:, 20:68]).mean() < 12


def test_stop_ends_the_work_within_a_batch(
    cutter: Assistant, toy: list[int], monkeypatch: pytest.MonkeyPatch, photo: Image.Image, tmp_path: Path
) -> None:
    stop = threading.Event()
    forward = SamModel.forward
    done = threading.Event()

    def watched(self: SamModel, **inputs: Any) -> Any:
        if len(toy) == 2:
            stop.set()
            done.set()
        return forward(self, **inputs)

    monkeypatch.setattr(SamModel, "forward", watched)
    events = cutter.start_call("cut_out", {"image": saved(photo, tmp_path / "p.png")}, stop)
    with pytest.raises(StopIteration) as end:
        while True:
            next(events)
    assert end.value.value.failed
    assert end.value.value.text == "Stopped."
    assert done.wait(10)
    with residents().lease("segment", lambda *_: pytest.fail("loaded anew"), None, lambda *_: None):
        assert len(toy) == 3, "the lane is free once the batch under way is done"
