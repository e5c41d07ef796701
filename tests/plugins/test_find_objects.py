"""find_objects counts things, tells where they are and draws them. The tiny OWLv2 finds red, green and blue cells."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

from assistant import Assistant
from assistant.residents import residents
from assistant.vision.detection import Found
from assistant.vision.palette import colour

SURE = 0.5  # the tiny model's answers lie near 0 or 1


@pytest.fixture
def finder(tiny: Callable[..., Assistant]) -> Assistant:
    return tiny("cpu", "detect")


def scene(*cells: tuple[str, int, int], size: tuple[int, int] = (128, 64)) -> Image.Image:
    """Paint cells of 16 pixels, given by colour, column and row; the tiny model sees each 8 further right and down."""
    picture = Image.new("RGB", size, "white")
    for name, column, row in cells:
        picture.paste(name, (16 * column, 16 * row, 16 * column + 16, 16 * row + 16))
    return picture


def saved(picture: Image.Image, path: Path, **options: object) -> str:
    picture.save(path, **options)
    return str(path)


def test_things_are_counted_placed_and_drawn(finder: Assistant, tmp_path: Path) -> None:
    picture = scene(("red", 1, 1), ("red", 6, 2), ("blue", 3, 2))
    result = finder.call(
        "find_objects", image=saved(picture, tmp_path / "scene.png"), what="reds, a blue and a green", threshold=SURE
    )
    assert not result.failed, result.text
    first, *lines = result.text.splitlines()
    assert first == "2 reds, 1 blue. No green was found."
    assert sorted(lines) == ["- blue: small, bottom", "- red: small, bottom right", "- red: small, left"]
    assert result.data["counts"] == {"red": 2, "blue": 1, "green": 0}
    boxes = {(one["label"], *one["box"]) for one in result.data["objects"]}
    assert boxes == {("red", 24, 24, 40, 40), ("red", 104, 40, 120, 56), ("blue", 56, 40, 72, 56)}
    (drawn,) = result.artifacts
    assert result.data["picture"] == drawn.id
    with Image.open(finder.path(drawn)) as seen:
        assert seen.size == picture.size
        assert seen.getpixel((24, 39)) == seen.getpixel((39, 30)) == colour(0)
        assert seen.getpixel((56, 55)) == colour(1)
        assert seen.getpixel((32, 32)) == picture.getpixel((32, 32))
    assert result.receipt is not None
    assert result.receipt.models == (
        f"OWLv2 base ensemble@{residents().catalog.choose('detect').entry.source.revision}",
    )
    assert result.receipt.digests == (drawn.digest,)


def test_nothing_found_is_an_answer_without_a_picture(finder: Assistant, tmp_path: Path) -> None:
    result = finder.call("find_objects", image=saved(scene(), tmp_path / "white.png"), what="red, blue", threshold=SURE)
    assert not result.failed
    assert result.text == "No red or blue was found."
    assert result.data == {"text": result.text, "objects": [], "counts": {"red": 0, "blue": 0}, "picture": None}
    assert result.artifacts == ()


@pytest.mark.parametrize(
    ("size", "box", "words"),
    [
        ((300, 300), (0, 0, 60, 60), "small, top left"),
        ((300, 300), (120, 120, 180, 180), "small, middle"),
        ((300, 300), (200, 110, 300, 190), "medium-sized, right"),
        ((300, 300), (0, 199, 100, 300), "medium-sized, bottom left"),
        ((300, 600), (0, 0, 300, 150), "large, top"),
        ((300, 600), (0, 0, 300, 600), "large, middle"),
    ],
)
def test_size_and_place_are_told_in_words(
    finder: Assistant,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    size: tuple[int, int],
    box: tuple[int, int, int, int],
    words: str,
) -> None:
    monkeypatch.setattr("plugins.find_objects.find", lambda *_: [Found("dog", 0.9, box)])
    result = finder.call("find_objects", image=saved(Image.new("RGB", size), tmp_path / "p.png"), what="dogs")
    assert result.text == f"1 dog.\n- dog: {words}"


def test_a_turned_photo_has_its_boxes_where_it_is_shown(finder: Assistant, tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # shown after a quarter turn to the right
    turned = scene(("red", 5, 1)).transpose(Image.Transpose.ROTATE_90)
    path = saved(turned, tmp_path / "photo.jpg", exif=exif, quality=100, subsampling=0)
    result = finder.call("find_objects", image=path, what="red", threshold=SURE)
    assert [one["box"] for one in result.data["objects"]] == [[88, 24, 104, 40]]
    with Image.open(finder.path(result.artifacts[0])) as drawn:
        assert drawn.size == (128, 64)


@pytest.mark.parametrize("mode", ["RGBA", "CMYK", "P"])
def test_pictures_of_other_modes_are_searched_too(finder: Assistant, tmp_path: Path, mode: str) -> None:
    ending = "tiff" if mode == "CMYK" else "png"
    path = saved(scene(("red", 2, 1)).convert(mode), tmp_path / f"scene.{ending}")
    result = finder.call("find_objects", image=path, what="red", threshold=SURE)
    assert [one["box"] for one in result.data["objects"]] == [[40, 24, 56, 40]]


def test_in_a_grey_picture_there_is_no_red(finder: Assistant, tmp_path: Path) -> None:
    path = saved(scene(("red", 2, 1)).convert("L"), tmp_path / "grey.png")
    assert finder.call("find_objects", image=path, what="red", threshold=SURE).text == "No red was found."


@pytest.mark.parametrize("size", [(1, 1), (3, 3), (4000, 3000)])
def test_pictures_of_any_size_are_drawn_on(finder: Assistant, tmp_path: Path, size: tuple[int, int]) -> None:
    path = saved(Image.new("RGB", size, "red"), tmp_path / "red.png")
    result = finder.call("find_objects", image=path, what="red", threshold=0.1)
    assert not result.failed, result.text
    assert result.data["counts"]["red"] > 0
    with Image.open(finder.path(result.artifacts[0])) as drawn:
        assert drawn.size == size


def test_a_long_list_is_cut_in_the_text_only(finder: Assistant, tmp_path: Path) -> None:
    every_other = [("red", column, row) for column in (0, 2, 4, 6) for row in range(0, 8, 2)]
    more = [("blue", column, row) for column in (1, 3, 5) for row in (1, 3, 5)]
    path = saved(scene(*every_other, *more, size=(128, 128)), tmp_path / "many.png")
    result = finder.call("find_objects", image=path, what="red, blue", threshold=SURE)
    assert len(result.data["objects"]) == 25
    lines = result.text.splitlines()
    assert lines[0] == "16 reds, 9 blues."
    assert len(lines) == 22
    assert lines[-1] == "- and 5 more"


def test_naming_nothing_and_a_wrong_threshold_are_sentences(finder: Assistant, picture: Path) -> None:
    result = finder.call("find_objects", image=str(picture), what=" , ")
    assert result.failed
    assert result.text == "Nothing to look for was named. Name one or more things, such as: dog, red cup."
    result = finder.call("find_objects", image=str(picture), what="red", threshold=2)
    assert result.failed
    assert "'threshold' is 2" in result.text


def test_stop_ends_the_search(finder: Assistant, picture: Path) -> None:
    stop = threading.Event()
    stop.set()
    events = finder.start_call("find_objects", {"image": str(picture), "what": "red"}, stop)
    with pytest.raises(StopIteration) as end:
        while True:
            next(events)
    assert end.value.value.failed
    assert "Stopped" in end.value.value.text
