"""A sheet to write a page on: pieces of line at their places, facts in them, ruled lines. Knows fonts, no layout.

When it is done it puts the words in the order in which RapidOCR reads lines, turned as the page is.
"""

from __future__ import annotations

import math
import random
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from training.pages.fonts import measure
from training.pages.page import Box, Fact, Page, Pen, Rule, Split, Word

SAME_LINE = 10  # pixels; RapidOCR takes what begins less below its neighbour for the same line
ASCENT, DESCENT = -0.12, 1.22  # of the size: from where to where boxes of the reader reach, below the top of a line
SPACE = " "
EDGE = 12  # pixels at least between the edge of the sheet and what is written


@dataclass(frozen=True, slots=True)
class Said:
    """A text that is a fact; `also` is a second key, for what can be asked for in another way."""

    text: str
    key: str
    about: Mapping[str, str] = field(default_factory=dict)
    also: str = ""


Text = str | Said


@dataclass(frozen=True, slots=True)
class Look:
    """How a page is written in general: the family and size of its text, the darkness of its ink, and the leading.

    `leading` is the distance of lines as a multiple of the size.
    """

    family: str
    size: int
    shade: int
    leading: float

    def pen(self, scale: float = 1.0, bold: bool = False, faint: int = 0) -> Pen:
        """Return a pen, larger or paler than that of the text."""
        return Pen(self.family, bold, round(self.size * scale), self.shade + faint)


@dataclass(frozen=True, slots=True)
class _Run:
    """A piece of a line: its top and left before turning."""

    left: float
    top: float
    pen: Pen
    parts: tuple[Text, ...]


class Sheet:
    """A page in the making, `size` pixels large."""

    def __init__(self, rng: random.Random, size: tuple[int, int], look: Look) -> None:
        """Begin with an empty page."""
        self.rng, self.size, self.look = rng, size, look
        self.pitch = look.size * look.leading
        """From line to line, in pixels."""
        self.margin = round(size[0] * rng.uniform(0.05, 0.09))
        self._runs: list[_Run] = []
        self._rules: list[Rule] = []

    def write(
        self, x: float, y: float, pen: Pen, *parts: Text, align: Literal["left", "right", "centre"] = "left"
    ) -> None:
        """Write texts one after the other on one line, whose left end, right end or middle is `x`."""
        width = self.width(pen, *parts)
        left = x - {"left": 0.0, "right": width, "centre": width / 2}[align]
        self._runs.append(_Run(left, y, pen, parts))

    def width(self, pen: Pen, *parts: Text) -> float:
        """Return how wide texts would be."""
        return measure(SPACE.join(plain(part) for part in parts), pen)

    def rule(self, left: float, top: float, right: float, bottom: float, shade: int = 90, hollow: bool = False) -> None:
        """Draw a line, a band or, if `hollow`, a frame."""
        self._rules.append(Rule((round(left), round(top), round(right), round(bottom)), shade, hollow))

    def fits(self) -> bool:
        """Tell whether everything stands on the sheet and nothing on top of another."""
        boxes = sorted(
            (run.top, run.left, run.left + self.width(run.pen, *run.parts), run.top + run.pen.size)
            for run in self._runs
        )
        if any(left < EDGE or right > self.size[0] - EDGE for _, left, right, _ in boxes):
            return False
        if max(bottom for *_, bottom in boxes) > self.size[1] - EDGE:
            return False
        for place, (_, left, right, bottom) in enumerate(boxes):
            for other in boxes[place + 1 :]:
                if other[0] >= bottom:
                    break
                if other[1] < right and left < other[2]:
                    return False
        return True

    def cut(self) -> None:
        """Cut off what is empty at the bottom."""
        lowest = max(run.top + run.pen.size for run in self._runs)
        self.size = (self.size[0], min(self.size[1], round(lowest + self.margin)))

    def finish(self, number: int, split: Split, kind: str, arrangement: str, angle: float) -> Page:
        """Return the page."""
        words: list[Word] = []
        facts: list[Fact] = []
        turn = Turn(self.size, angle)
        for place, run in enumerate(_in_order(self._runs, turn)):
            _put(run, place, turn, words, facts)
        rules = tuple(self._rules)
        return Page(number, split, kind, arrangement, self.size, angle, tuple(words), rules, tuple(facts))


class Turn:
    """Turns points about the middle of a picture, counterclockwise as `PIL.Image.rotate` does."""

    def __init__(self, size: tuple[int, int], angle: float) -> None:
        """Turn by `angle` degrees."""
        self._x, self._y = size[0] / 2, size[1] / 2
        self._cos, self._sin = math.cos(math.radians(angle)), math.sin(math.radians(angle))

    def point(self, x: float, y: float) -> tuple[float, float]:
        """Return where a point goes."""
        x, y = x - self._x, y - self._y
        return self._x + self._cos * x + self._sin * y, self._y - self._sin * x + self._cos * y

    def box(self, left: float, top: float, right: float, bottom: float) -> Box:
        """Return the upright box around a turned one."""
        corners = [self.point(x, y) for x in (left, right) for y in (top, bottom)]
        xs, ys = [x for x, _ in corners], [y for _, y in corners]
        return round(min(xs)), round(min(ys)), round(max(xs)), round(max(ys))


def plain(text: Text) -> str:
    """Return what is written."""
    return text if isinstance(text, str) else text.text


def reading_order(corners: Sequence[tuple[float, float]]) -> list[int]:
    """Return the order in which RapidOCR reads lines whose top left corners are given.

    What begins less than `SAME_LINE` below the one above counts as the same line, and so on in a chain.
    """
    down = sorted(range(len(corners)), key=lambda place: corners[place][1])
    line, lines = 0, {}
    for before, place in zip([None, *down], down, strict=False):
        if before is not None and corners[place][1] - corners[before][1] >= SAME_LINE:
            line += 1
        lines[place] = line
    return sorted(down, key=lambda place: (lines[place], corners[place][0]))


def _in_order(runs: Sequence[_Run], turn: Turn) -> Iterator[_Run]:
    corners = [turn.point(run.left, run.top + ASCENT * run.pen.size) for run in runs]
    return (runs[place] for place in reading_order(corners))


def _put(run: _Run, place: int, turn: Turn, words: list[Word], facts: list[Fact]) -> None:
    """Add the words of a run, and its facts."""
    space = measure(SPACE, run.pen)
    left = run.left
    for part in run.parts:
        first = len(words)
        for text in plain(part).split():
            right = left + measure(text, run.pen)
            top, bottom = run.top + ASCENT * run.pen.size, run.top + DESCENT * run.pen.size
            words.append(Word(text, turn.box(left, top, right, bottom), left, run.top, run.pen, place))
            left = right + space
        if isinstance(part, Said):
            facts += [Fact(key, first, len(words) - 1, part.about) for key in (part.key, part.also) if key]


def wrap(sheet: Sheet, pen: Pen, parts: Iterable[Text], width: float) -> Iterator[tuple[Text, ...]]:
    """Break a text into lines of at most `width`; a fact is never broken."""
    line: list[Text] = []
    for part in parts:
        for piece in [part] if isinstance(part, Said) else part.split():
            if line and sheet.width(pen, *line, piece) > width:
                yield tuple(line)
                line = []
            line.append(piece)
    if line:
        yield tuple(line)
