"""Attached pictures are kept once and found again in every conversation of their owner, and of no one else."""

from __future__ import annotations

import threading
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from PIL import Image as Pictures
from PIL import ImageChops, ImageColor, ImageDraw
from PIL.Image import Image

from assistant import Assistant
from assistant.library import images
from assistant.types import Artifact, CallFinished, Message, ToolResult
from plugins.pictures import CAPTION, MARGIN, SIDE, add_image, find_similar_images, search_images
from tests.conftest import ScriptedModel

TOOLS = (add_image, find_similar_images, search_images)
COLOURS = ("red", "blue", "lime", "orange", "purple", "teal")
PICTURE = Artifact("image-1", "image", "image/png", "a.png", "aa", 1)
NOTHING = "There is no picture to compare with. Attach some, then ask again."


@pytest.fixture
def collector(tiny: Callable[..., Assistant]) -> Iterator[Callable[..., Assistant]]:
    """Make an assistant with tiny CLIP, by default for an owner nobody was before."""
    settings = tiny("cpu", "features").settings
    made: list[Assistant] = []

    def make(owner: str = "") -> Assistant:
        model = ScriptedModel(*(["A fine picture."] for _ in range(9)))
        made.append(Assistant(settings, owner or uuid.uuid4().hex, model, TOOLS))
        return made[-1]

    yield make
    for assistant in made:
        assistant.close()


@pytest.fixture
def paint(tmp_path: Path) -> Callable[..., Path]:
    """Save a picture with a dark cross on a colour, wider than high."""

    def make(colour: str, name: str | None = None) -> Path:
        image = Pictures.new("RGB", (400, 100), colour)
        ImageDraw.Draw(image).line((0, 0, 40, 40), "black", 3)
        path = tmp_path / (name or f"{colour}.png")
        image.save(path, "PNG")
        return path

    return make


def attach(assistant: Assistant, *paths: Path, conversation: str | None = None) -> list[ToolResult]:
    """Say something with files and return what the tools said to them."""
    events = list(assistant.chat("Look.", paths, conversation))
    return [event.result for event in events if isinstance(event, CallFinished)]


def sheet_of(assistant: Assistant, result: ToolResult) -> Image:
    (sheet,) = result.artifacts
    assert result.data["sheet"] == sheet.id
    with Pictures.open(assistant.path(sheet)) as image:
        return image.convert("RGB")


def test_an_attached_picture_is_kept_once(collector: Callable[..., Assistant], paint: Callable[..., Path]) -> None:
    assistant = collector()
    (added,) = attach(assistant, paint("red"))
    assert (added.text, added.failed) == ("red.png was added to the pictures.", False)
    assert added.receipt is not None and len(added.receipt.models) == 1
    messages = assistant.model.asked[0][0]
    assert [isinstance(message, Message) and message.result for message in messages][1] == added, "the model is told"
    (again,) = attach(assistant, paint("red", "copy.png"))
    assert (again.text, again.failed) == ("copy.png is among the pictures already.", False)
    found = assistant.call("search_images", query="red", count=20).data["matches"]
    assert [match["name"] for match in found] == ["red.png"]


def test_pictures_are_found_from_another_conversation_and_after_a_restart(
    collector: Callable[..., Assistant], paint: Callable[..., Path]
) -> None:
    owner = uuid.uuid4().hex
    first = collector(owner)
    attach(first, paint("red"))
    attach(first, paint("blue"))
    first.close()
    result = collector(owner).call("find_similar_images", image=str(paint("red", "again.png")), count=20)
    assert [match["name"] for match in result.data["matches"]] == ["blue.png"], "the same content is the picture itself"
    (similarity,) = [match["similarity"] for match in result.data["matches"]]
    assert result.text == f"1. blue.png (similarity {similarity:.2f})"
    assert -1 <= similarity <= 1


def test_the_same_pixels_in_another_file_are_the_most_similar(
    collector: Callable[..., Assistant], paint: Callable[..., Path], tmp_path: Path
) -> None:
    assistant = collector()
    attach(assistant, paint("red"), paint("blue"))
    with Pictures.open(paint("blue")) as image:
        image.save(tmp_path / "blue.bmp")
    result = assistant.call("find_similar_images", image=str(tmp_path / "blue.bmp"), count=1)
    assert result.data["matches"] == [{"name": "blue.png", "similarity": pytest.approx(1, abs=1e-3)}]


def test_another_owner_finds_nothing(collector: Callable[..., Assistant], paint: Callable[..., Path]) -> None:
    attach(collector(), paint("red"))
    result = collector().call("search_images", query="red")
    assert (result.text, result.failed) == (NOTHING, True)


def test_a_single_picture_has_nothing_to_be_compared_with(
    collector: Callable[..., Assistant], paint: Callable[..., Path]
) -> None:
    assistant = collector()
    attach(assistant, paint("red"))
    result = assistant.call("find_similar_images", image=str(paint("red")))
    assert (result.text, result.failed) == (NOTHING, True)


def test_the_sheet_shows_each_match_at_its_number(
    collector: Callable[..., Assistant], paint: Callable[..., Path]
) -> None:
    assistant = collector()
    attach(assistant, *(paint(colour) for colour in COLOURS))
    result = assistant.call("search_images", query="a ship", count=6)
    order = [match["name"].removesuffix(".png") for match in result.data["matches"]]
    assert sorted(order) == sorted(COLOURS)
    assert [line.split(" (")[0] for line in result.text.splitlines()] == [
        f"{i}. {c}.png" for i, c in enumerate(order, 1)
    ]
    sheet = sheet_of(assistant, result)
    assert sheet.size == (4 * (SIDE + MARGIN) + MARGIN, 2 * (SIDE + CAPTION + MARGIN) + MARGIN)
    for place, colour in enumerate(order):
        left, top = MARGIN + place % 4 * (SIDE + MARGIN), MARGIN + place // 4 * (SIDE + CAPTION + MARGIN)
        cell = sheet.crop((left, top, left + SIDE, top + SIDE))
        seen = ImageChops.difference(cell, Pictures.new("RGB", cell.size, "white")).getbbox()
        assert seen == (0, 75, SIDE, 125), "400 x 100 pixels fit into 200 x 200 as 200 x 50, in the middle"
        assert cell.getpixel((SIDE // 2, SIDE // 2)) == ImageColor.getrgb(colour)
        assert sum(cell.getpixel((2, 77))) < 200, "the cross is in its corner: nothing is turned"
        caption = sheet.crop((left, top + SIDE, left + SIDE, top + SIDE + CAPTION)).convert("L")
        assert caption.getextrema()[0] < 50, "a name stands below"
    captions = [
        sheet.crop((x, MARGIN + SIDE, x + 12, MARGIN + SIDE + CAPTION)).tobytes() for x in (MARGIN, 2 * MARGIN + SIDE)
    ]
    assert captions[0] != captions[1], "the numbers differ"
    nowhere = sheet.crop((MARGIN + 2 * (SIDE + MARGIN), 2 * MARGIN + SIDE + CAPTION, *sheet.size))
    assert nowhere.getextrema() == ((255, 255),) * 3, "the places left over are empty"


def test_few_matches_make_a_small_sheet_and_long_names_stay_in_their_place(
    collector: Callable[..., Assistant], paint: Callable[..., Path]
) -> None:
    assistant = collector()
    attach(assistant, paint("red", "W" * 120 + ".png"), paint("blue", "two\nlines.png"), paint("lime"))
    result = assistant.call("search_images", query="a ship", count=2)
    assert sheet_of(assistant, result).width == 2 * (SIDE + MARGIN) + MARGIN
    result = assistant.call("search_images", query="a ship")
    assert {match["name"] for match in result.data["matches"]} == {"W" * 120 + ".png", "two lines.png", "lime.png"}
    assert len(result.text.splitlines()) == 3
    sheet = sheet_of(assistant, result)
    for place in range(4):
        gap = sheet.crop((place * (SIDE + MARGIN), 0, place * (SIDE + MARGIN) + MARGIN, sheet.height))
        assert gap.getextrema() == ((255, 255),) * 3


@pytest.mark.parametrize("count", [0, 21])
def test_the_number_of_matches_is_bounded(collector: Callable[..., Assistant], count: int) -> None:
    result = collector().call("search_images", query="red", count=count)
    assert result.failed and "'count' is" in result.text


def test_pictures_of_another_model_are_told_and_not_compared(
    collector: Callable[..., Assistant], paint: Callable[..., Path]
) -> None:
    assistant = collector()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(images, "_model_in_use", lambda: "another@1")
        attach(assistant, paint("red"), paint("blue"))
    result = assistant.call("search_images", query="red")
    assert result.failed
    assert result.text == (
        "There is no picture to compare with: 2 added with another model and cannot be compared. Attach them again."
    )
    attach(assistant, paint("red"))
    result = assistant.call("search_images", query="red")
    assert [match["name"] for match in result.data["matches"]] == ["red.png"]
    assert result.text.splitlines()[1].startswith("Of the pictures, 1 added with another model")


def test_a_stopped_call_adds_nothing(collector: Callable[..., Assistant], paint: Callable[..., Path]) -> None:
    assistant, stop = collector(), threading.Event()
    stop.set()
    with pytest.raises(StopIteration) as end:
        while True:
            next(assistant.start_call("add_image", {"image": str(paint("red"))}, stop))
    assert (end.value.value.text, end.value.value.failed) == ("Stopped.", True)
    assert assistant.call("search_images", query="red").text == NOTHING


def test_where_there_is_no_model_nothing_can_be_called_nor_is_set_off(maru: Assistant) -> None:
    told = {spec.name: spec for spec in maru._registry.describe([PICTURE])}
    for name in ("add_image", "find_similar_images", "search_images"):
        assert not told[name].callable and "features" in (told[name].obstacle or "")
    assert maru._registry.on_upload(PICTURE) == []
