"""read_text finds the words of rendered pages, where they stand, and says so when there are none."""

from __future__ import annotations

from pathlib import Path

from PIL import Image

from assistant import Assistant
from tests.conftest import LETTER


def test_a_rendered_page_is_read_word_for_word(maru: Assistant, letter: Path) -> None:
    result = maru.call("read_text", image=str(letter))
    assert not result.failed, result.text
    assert result.text.splitlines() == list(LETTER)
    assert [line["text"] for line in result.data["lines"]] == list(LETTER)


def test_boxes_lie_on_the_words(maru: Assistant, letter: Path) -> None:
    lines = maru.call("read_text", image=str(letter)).data["lines"]
    for number, line in enumerate(lines):
        top, bottom = min(y for _, y in line["box"]), max(y for _, y in line["box"])
        assert top - 8 <= 40 + 60 * number <= bottom <= 40 + 60 * number + 45
        assert min(x for x, _ in line["box"]) in range(28, 48)
        assert 0.9 <= line["score"] <= 1


def test_the_picture_with_boxes_is_kept_and_the_receipt_names_the_model(maru: Assistant, letter: Path) -> None:
    result = maru.call("read_text", image=str(letter))
    (drawn,) = result.artifacts
    assert result.data["picture"] == drawn.id
    with Image.open(maru.path(drawn)) as picture, Image.open(letter) as page:
        assert picture.size == page.size
        assert picture.convert("RGB").tobytes() != page.convert("RGB").tobytes()
    assert result.receipt is not None
    assert result.receipt.models[0].startswith("PP-OCRv6 small@3.")
    assert result.receipt.digests == (drawn.digest,)


def test_a_turned_photo_is_read_the_way_it_is_shown(maru: Assistant, letter: Path, tmp_path: Path) -> None:
    photo = tmp_path / "photo.jpg"
    exif = Image.Exif()
    exif[0x0112] = 6  # shown after a quarter turn to the right
    with Image.open(letter) as page:
        page.rotate(90, expand=True).save(photo, exif=exif, quality=95)
    assert "parcel 4471" in maru.call("read_text", image=str(photo)).text


def test_a_picture_without_text_is_a_sentence(maru: Assistant, picture: Path) -> None:
    result = maru.call("read_text", image=str(picture))
    assert result.failed
    assert result.text == "No text was found in the picture. A sharper or larger picture may help."
