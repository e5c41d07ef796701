"""What a page of the page world is: words where they stand, ruled lines, facts, and questions about them.

Values only. It knows no fonts, no pixels and no layout.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

Box = tuple[int, int, int, int]
Split = Literal["train", "tune", "test", "unseen"]
"""Where a page belongs: "train", "tune" and "test" have the same arrangements, "unseen" only such as no other has."""


@dataclass(frozen=True, slots=True)
class Pen:
    """How a word is written: `size` is the height of the font in pixels, `shade` is 0 for black ink, 255 for none."""

    family: str
    bold: bool
    size: int
    shade: int


@dataclass(frozen=True, slots=True)
class Word:
    """A word of a page; `box` is (left, top, right, bottom) in pixels of the picture, right and bottom excluded.

    `left` and `top` are where it is written before the page is turned; `run` numbers the piece of line it is part of.
    """

    text: str
    box: Box
    left: float
    top: float
    pen: Pen
    run: int


@dataclass(frozen=True, slots=True)
class Rule:
    """A line, a frame (`hollow`) or a band of colour, before the page is turned."""

    box: Box
    shade: int
    hollow: bool = False


@dataclass(frozen=True, slots=True)
class Fact:
    """Something that can be asked for: words `first` to `last`, both included, say it.

    `key` is its name in `data/`, `about` what a question must name, such as the item that a price belongs to.
    """

    key: str
    first: int
    last: int
    about: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Page:
    """A page with its words in reading order; it is turned by `angle` degrees when it is drawn."""

    number: int
    split: Split
    kind: str
    arrangement: str
    size: tuple[int, int]
    angle: float
    words: tuple[Word, ...]
    rules: tuple[Rule, ...]
    facts: tuple[Fact, ...]

    def say(self, fact: Fact) -> str:
        """Return the words of a fact."""
        return " ".join(word.text for word in self.words[fact.first : fact.last + 1])


@dataclass(frozen=True, slots=True)
class Question:
    """A question about a page, and the fact that answers it, or None where the page does not tell.

    `key` is that of the fact asked for; `held` says that this phrasing is kept from training.
    """

    text: str
    key: str
    fact: Fact | None
    held: bool
