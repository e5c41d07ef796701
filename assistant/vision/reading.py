"""Reads pictures with PP-OCR through RapidOCR: lines, and words with boxes. Knows pictures, no document and no tool.

A picture is read once: what was found is kept in memory, by the hash of its pixels, for the last `PAGES` pictures.
"""

from __future__ import annotations

import hashlib
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from assistant.residents import Weights, resident
from assistant.types import Progress

if TYPE_CHECKING:
    from PIL.Image import Image

Point = tuple[float, float]
PAGES = 64
FAINT = 32  # a difference in brightness, of 255, that is no ink
SURE = 0.85  # mean score of the lines; text that is upside down scores about 0.7
MARGIN = 40  # pixels left around the ink when an empty border is cut off


@dataclass(frozen=True, slots=True)
class Line:
    """A line of text; `box` holds its corners as (x, y) in pixels, clockwise from top left, `score` is in 0..1."""

    text: str
    box: tuple[tuple[int, int], ...]
    score: float


@dataclass(frozen=True, slots=True)
class Word:
    """A word; `box` is (left, top, right, bottom) in pixels, right and bottom excluded, inside the picture.

    `score` is that of its line: RapidOCR's own for words belong to single letters, and not even to letters of the word.
    """

    text: str
    box: tuple[int, int, int, int]
    score: float


@dataclass(frozen=True, slots=True)
class _Reading:
    lines: tuple[Line, ...] = ()
    words: tuple[Word, ...] = ()


_readings: OrderedDict[bytes, _Reading] = OrderedDict()  # least recently asked for first; touched only by who reads


@resident("ocr")
def reader(weights: Weights, progress: Progress) -> Any:
    """Load detection and recognition; their weights lie in the package itself."""
    from rapidocr import RapidOCR

    return RapidOCR(
        params={"Global.log_level": "error", "Global.use_cls": False, "Global.return_word_box": True},
    )


def read_lines(
    image: Image, stop: threading.Event | None = None, progress: Progress = lambda fraction, note: None
) -> tuple[Line, ...]:
    """Return the lines of an RGB picture in reading order; none where there is no text."""
    return _read(image, stop, progress).lines


def read_words(
    image: Image, stop: threading.Event | None = None, progress: Progress = lambda fraction, note: None
) -> tuple[Word, ...]:
    """Return the words of an RGB picture in reading order; a word is what stands between spaces in a line."""
    return _read(image, stop, progress).words


def _read(image: Image, stop: threading.Event | None, progress: Progress) -> _Reading:
    """Read the picture, or remember it; the model is leased either way, so that a receipt names what read it."""
    digest = hashlib.sha256(f"{image.mode} {image.size} ".encode() + image.tobytes()).digest()
    with reader(stop, progress) as model:
        if digest not in _readings:
            _readings[digest] = _run(model, image)
            while len(_readings) > PAGES:
                _readings.popitem(last=False)
        _readings.move_to_end(digest)
        return _readings[digest]


def _run(model: Any, image: Image) -> _Reading:
    """Read the picture, then upside down if that is no good, then without its empty border if nothing was found.

    The detector overlooks a short line on a page that is otherwise empty. RapidOCR's own judge of directions is left
    out: it turns clear lines upside down, and for those that are, words would be placed at the wrong end.
    """
    width, height = image.size
    best = _look(model, image, lambda x, y: (x, y), image.size)
    if _confidence(best) < SURE:
        turned = _look(model, image.rotate(180), lambda x, y: (width - x, height - y), image.size)
        best = max(best, turned, key=_confidence)
    if not best.lines and (inner := _without_border(image)):
        left, top, _, _ = inner
        best = _look(model, image.crop(inner), lambda x, y: (left + x, top + y), image.size)
    return best


def _confidence(found: _Reading) -> float:
    return sum(line.score for line in found.lines) / max(1, len(found.lines))


def _look(model: Any, view: Image, place: Callable[[float, float], Point], size: tuple[int, int]) -> _Reading:
    """Read `view`; `place` tells where its points lie in the picture of `size`."""
    import numpy as np

    # RapidOCR takes arrays in OpenCV's order, blue first
    found = model(np.ascontiguousarray(np.asarray(view)[:, :, ::-1]))
    if not found.txts:
        return _Reading()
    lines: list[Line] = []
    words: list[Word] = []
    for text, box, score, pieces in zip(found.txts, found.boxes, found.scores, found.word_results, strict=True):
        corners = [place(float(x), float(y)) for x, y in box]
        first = 0 if corners[0][1] <= corners[2][1] else 2  # where it is upside down, the line begins bottom right
        clockwise = tuple((round(x), round(y)) for x, y in corners[first:] + corners[:first])
        lines.append(Line(text, clockwise, round(float(score), 4)))
        placed = [(piece, [place(x, y) for x, y in quad]) for piece, _, quad in pieces]
        words += _words(lines[-1], placed, size)
    return _Reading(tuple(lines), tuple(words))


def _without_border(image: Image) -> tuple[int, int, int, int] | None:
    """Return the box, with a margin, of what has not the colour of the first pixel; None where there is no border."""
    from PIL import Image as Pictures
    from PIL import ImageChops

    border = Pictures.new(image.mode, image.size, image.getpixel((0, 0)))
    inner = ImageChops.difference(image, border).convert("L").point(lambda step: 255 * (step > FAINT)).getbbox()
    if inner is None:
        return None
    left, top, right, bottom = inner
    part = (
        max(0, left - MARGIN),
        max(0, top - MARGIN),
        min(image.width, right + MARGIN),
        min(image.height, bottom + MARGIN),
    )
    return None if part == (0, 0, *image.size) else part


def _words(line: Line, pieces: Sequence[tuple[str, Sequence[Point]]], size: tuple[int, int]) -> Iterator[Word]:
    """Put words together from RapidOCR's pieces (text, corners).

    A piece is a word, but each letter is one where the line has a Chinese sign, such as a wide comma, and a wide gap
    cuts a word in two.
    """
    rest = iter(pieces)
    for text in line.text.split():
        corners: list[Point] = []
        letters = 0
        while letters < len(text):
            piece, quad = next(rest)
            letters += len(piece)
            corners += quad
        (left, right), (top, bottom) = (_span(*axis) for axis in zip(zip(*corners, strict=True), size, strict=True))
        yield Word(text, (left, top, right, bottom), line.score)


def _span(places: Sequence[float], length: int) -> tuple[int, int]:
    """Return from where to where `places` reach, within 0 and `length` and at least one pixel."""
    begin = min(max(round(min(places)), 0), length - 1)
    return begin, max(begin + 1, min(round(max(places)), length))
