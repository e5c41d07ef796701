"""Turns the words of a page into what RapidOCR might read, without drawing it. Knows pages, and no reader.

Fitted by eye to 18 drawn pages with 954 words: 1 was joined with its neighbour ("POS:45"), 2 had a wrong letter ("0ct",
"vehicle"), 1 line came in another order than that of `reading_order`, and edges of boxes lay 0.12 of the font's size
(standard deviation) from where they were expected. Where letters stood a pixel closer, in 22 pages with 1,330 words,
17 words were joined, nearly always after a figure: "+49 712-486 8636" became "+49712-4868636". Photographs are worse
than drawn pages, so mistakes are more frequent here, and a fifth of the pages is read clumsily.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby

from training.pages.page import Box, Page, Word
from training.pages.sheet import ASCENT, Turn, reading_order

CLUMSY = 0.2  # the share of pages with many mistakes
JOINED = (0.003, 0.04)  # the share of neighbours that are joined, on most pages and on clumsy ones
AFTER_FIGURE = 3.0  # times as often after a figure
MISTAKEN = (0.004, 0.02)  # the share of words with a wrong letter
SPLIT = (0.001, 0.004)  # the share of words split after a sign
JITTER = 0.12  # of the size of the font: the standard deviation of the edges of boxes and of the tops of lines
SIGNS = ":#/-"
ALIKE = {"O": "0", "0": "O", "l": "1", "1": "l", "I": "l", "S": "5", "5": "S", "B": "8", "o": "0", ".": ",", ",": "."}


@dataclass(frozen=True, slots=True)
class Reading:
    """Words as they are read, with their boxes; `spans` are, for each true word, the first and last read ones of it."""

    texts: Sequence[str]
    boxes: Sequence[Box]
    spans: Sequence[tuple[int, int]]


def misread(page: Page, rng: random.Random) -> Reading:
    """Read a page with the mistakes of a reader."""
    clumsy = rng.random() < CLUMSY
    texts: list[str] = []
    boxes: list[Box] = []
    spans: dict[int, tuple[int, int]] = {}
    for run in _lines(page, rng):
        for group in _joined(page, run, JOINED[clumsy], rng):
            read = _spell("".join(page.words[place].text for place in group), clumsy, rng)
            for place in group:
                spans[place] = (len(texts), len(texts) + len(read) - 1)
            texts += read
            boxes += _cut(_around([page.words[place] for place in group], page.size, rng), read)
    return Reading(texts, boxes, [spans[place] for place in range(len(page.words))])


def _lines(page: Page, rng: random.Random) -> Iterator[Sequence[int]]:
    """Return the words of each piece of line, the pieces in the order in which they are read."""
    turn = Turn(page.size, page.angle)
    runs = [list(places) for _, places in groupby(range(len(page.words)), lambda place: page.words[place].run)]
    corners = []
    for run in runs:
        word = page.words[run[0]]
        top = word.top + (ASCENT + rng.gauss(0, JITTER)) * word.pen.size
        corners.append(turn.point(word.left, top))
    return (runs[place] for place in reading_order(corners))


def _joined(page: Page, run: Sequence[int], rate: float, rng: random.Random) -> Iterator[Sequence[int]]:
    """Return words in groups that are read as one."""
    group: list[int] = []
    for place in run:
        after_figure = group and page.words[group[-1]].text[-1].isdigit()
        if group and rng.random() >= rate * (AFTER_FIGURE if after_figure else 1):
            yield group
            group = []
        group.append(place)
    yield group


def _spell(text: str, clumsy: bool, rng: random.Random) -> list[str]:
    """Return a word as it is read: mostly as it is, in two pieces, or with a wrong letter."""
    chance = rng.random()
    if chance < MISTAKEN[clumsy]:
        place = rng.randrange(len(text))
        return [text[:place] + ALIKE.get(text[place], text[place]) + text[place + 1 :]]
    if chance < MISTAKEN[clumsy] + SPLIT[clumsy]:
        place = next((place for place, letter in enumerate(text[:-1], 1) if letter in SIGNS), 0)
        return [text[:place], text[place:]] if place else [text]
    return [text]


def _around(words: Sequence[Word], size: tuple[int, int], rng: random.Random) -> Box:
    """Return the box around words, not quite exactly, inside the picture."""
    lefts, tops, rights, bottoms = zip(*(word.box for word in words), strict=True)
    spread = JITTER * words[0].pen.size
    edges = (min(lefts), min(tops), max(rights), max(bottoms))
    left, top, right, bottom = (round(edge + rng.gauss(0, spread)) for edge in edges)
    left, top = min(max(left, 0), size[0] - 1), min(max(top, 0), size[1] - 1)
    return left, top, max(left + 1, min(right, size[0])), max(top + 1, min(bottom, size[1]))


def _cut(box: Box, read: Sequence[str]) -> list[Box]:
    """Return the boxes of the one or two pieces of a word."""
    if len(read) == 1:
        return [box]
    left, top, right, bottom = box
    middle = max(left + 1, left + (right - left) * len(read[0]) // len("".join(read)))
    return [(left, top, middle, bottom), (min(middle, right - 1), top, right, bottom)]
