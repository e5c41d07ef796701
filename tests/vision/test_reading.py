"""Lines and words stand where they were drawn, and a picture is read once."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import pytest
from PIL import Image, ImageDraw, ImageFont

from assistant import Assistant
from assistant.vision import reading
from assistant.vision.reading import read_lines, read_words
from tests.conftest import LETTER

FOX = "The quick brown fox jumps over the lazy dog and sleeps"


@pytest.fixture
def runs(maru: Assistant, monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, int]]:
    """The size of every picture that is given to the model; nothing has been read before."""
    sizes = []
    true = reading._run

    def counted(model, picture):
        sizes.append(picture.size)
        return true(model, picture)

    monkeypatch.setattr(reading, "_run", counted)
    monkeypatch.setattr(reading, "_readings", type(reading._readings)())
    return sizes


def found(text: str, pieces: list[tuple[str, float, list[list[int]]]]) -> SimpleNamespace:
    """What RapidOCR answers for one line."""
    corners = [[0, 0], [90, 0], [90, 20], [0, 20]]
    return SimpleNamespace(txts=(text,), boxes=[corners], scores=(0.9,), word_results=(tuple(pieces),))


def piece(text: str, left: int, right: int) -> tuple[str, float, list[list[int]]]:
    return text, 0.5, [[left, 5], [right, 5], [right, 15], [left, 15]]


def test_words_are_those_of_the_lines_and_stand_where_they_were_drawn(maru: Assistant, letter: Path) -> None:
    with Image.open(letter) as opened:
        page = opened.convert("RGB")
    words = read_words(page)
    assert [word.text for word in words] == " ".join(LETTER).split()
    font, at = ImageFont.load_default(28), 0
    for number, line in enumerate(LETTER):
        for place, text in enumerate(line.split()):
            word, at = words[at], at + 1
            begin = 40 + font.getlength(" ".join(line.split()[:place]) + (" " if place else ""))
            end = begin + font.getlength(text)
            left, top, right, bottom = word.box
            assert abs(left - begin) < 14 and abs(right - end) < 14, word
            assert 34 <= top - 60 * number <= 50 and 58 <= bottom - 60 * number <= 80, word
            assert 0.9 <= word.score <= 1
    assert [line.text for line in read_lines(page)] == list(LETTER)


def test_a_picture_is_read_once_however_often_it_is_asked_for(runs: list[tuple[int, int]], letter: Path) -> None:
    for _ in range(2):
        with Image.open(letter) as page:
            assert read_words(page.convert("RGB")) and read_lines(page.convert("RGB"))
    assert runs == [(900, 320)]


def test_the_same_pixels_in_another_shape_are_another_picture(runs: list[tuple[int, int]]) -> None:
    for size in ((40, 60), (60, 40), (40, 60)):
        assert read_words(Image.new("RGB", size, "white")) == ()
    assert runs == [(40, 60), (60, 40)]


def test_only_the_pictures_asked_for_last_are_remembered(
    runs: list[tuple[int, int]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reading, "PAGES", 2)
    for width in (30, 31, 30, 32, 30, 31):
        read_lines(Image.new("RGB", (width, 40)))
    assert [width for width, _ in runs] == [30, 31, 32, 31]


def test_a_few_words_on_an_empty_page_are_found_where_they_stand(maru: Assistant) -> None:
    page = Image.new("RGB", (1241, 1754), "white")
    ImageDraw.Draw(page).text((150, 250), "Invoice 4471", fill="black", font=ImageFont.load_default(25))
    (line,), words = read_lines(page), read_words(page)
    assert (line.text, [word.text for word in words]) == ("Invoice 4471", ["Invoice", "4471"])
    (left, top), (right, bottom) = line.box[0], line.box[2]
    assert abs(left - 150) < 8 and abs(right - 296) < 8 and 240 < top < 260 and 270 < bottom < 290
    assert abs(words[0].box[0] - 150) < 10 and abs(words[1].box[2] - 296) < 10
    assert all(240 < word.box[1] < 260 and 270 < word.box[3] < 290 for word in words)


def test_a_page_that_is_upside_down_is_read_with_its_words_where_they_stand(maru: Assistant, letter: Path) -> None:
    with Image.open(letter) as opened:
        page = opened.convert("RGB")
    upright, turned = read_words(page), read_words(page.rotate(180))
    assert [word.text for word in turned] == " ".join(LETTER).split()
    for word, other in zip(upright, turned, strict=True):
        left, top, right, bottom = word.box
        expected = (900 - right, 320 - bottom, 900 - left, 320 - top)
        assert all(abs(a - b) <= 6 for a, b in zip(other.box, expected, strict=True)), other
    for line in read_lines(page.rotate(180)):
        (left, top), (right, bottom) = line.box[0], line.box[2]
        assert left < right and top < bottom


def test_clear_lines_are_not_taken_to_be_upside_down(maru: Assistant) -> None:
    page = Image.new("RGB", (800, 900), "white")
    for line in range(12):
        place = (30, 20 + 70 * line + line % 5)
        ImageDraw.Draw(page).text(place, FOX, fill="black", font=ImageFont.load_default(16 + line))
    assert [line.text for line in read_lines(page)] == [FOX] * 12


def test_letters_and_parts_of_words_are_put_together() -> None:
    letters = [piece(letter, 10 * i, 10 * i + 8) for i, letter in enumerate("Ms，Al")]
    page = Image.new("RGB", (100, 20))
    words = reading._run(lambda picture: found("Ms， Al", letters), page).words
    assert [(word.text, word.box) for word in words] == [("Ms，", (0, 5, 28, 15)), ("Al", (30, 5, 48, 15))]
    parts = [piece("Total", 0, 30), piece("EUR", 60, 80)]
    words = reading._run(lambda picture: found("TotalEUR", parts), page).words
    assert [(word.text, word.box, word.score) for word in words] == [("TotalEUR", (0, 5, 80, 15), 0.9)]


def test_a_box_is_upright_and_inside_the_picture() -> None:
    slanted = [[-4, 3], [60, -2], [62, 9], [-2, 14]]
    inside = [("ab", 0.5, slanted), ("c", 0.5, [[99, 30], [130, 30], [130, 30], [99, 30]])]
    words = reading._run(lambda picture: found("ab c", inside), Image.new("RGB", (100, 20))).words
    assert [word.box for word in words] == [(0, 0, 62, 14), (99, 19, 100, 20)]


def test_words_at_the_edge_of_a_picture_are_inside_it(maru: Assistant) -> None:
    page = Image.new("RGB", (300, 34), "white")
    ImageDraw.Draw(page).text((-3, -2), "Rotterdam on Tuesday", fill="black", font=ImageFont.load_default(32))
    words = read_words(page)
    assert len(words) >= 2
    for left, top, right, bottom in (word.box for word in words):
        assert 0 <= left < right <= 300 and 0 <= top < bottom <= 34
