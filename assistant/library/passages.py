"""Cuts the pages of a document into passages fit for an embedding. Knows no index and no model."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

PASSAGE_CHARACTERS = 500  # well within the 256 tokens that all-MiniLM-L6-v2 reads
SHORT_PARAGRAPH = 120  # characters; a shorter one is joined to the next
SECTION, PARAGRAPH = "\f", "\n"
_HEADING = re.compile(r"^#{1,6} .*$", re.MULTILINE)
_SENTENCE_END = re.compile(r"(?<=[.!?])\s+")
_BLANK_LINE = re.compile(r"\n\s*\n")


@dataclass(frozen=True, slots=True)
class Passage:
    """A few sentences; `page` counts from 1."""

    page: int
    text: str


def split_pages(pages: Sequence[str]) -> list[Passage]:
    """Cut at headings, blank lines and sentence ends into passages of at most `PASSAGE_CHARACTERS`.

    A Markdown heading begins a passage and goes with what follows it; short paragraphs are kept together.
    """
    return [Passage(number, text) for number, page in enumerate(pages, 1) for text in _pack(_pieces(page))]


def _pieces(page: str) -> Iterator[str]:
    """Yield sentences, `PARAGRAPH` after each paragraph and `SECTION` before each heading."""
    for paragraph in _BLANK_LINE.split(_HEADING.sub(r"\n\n\g<0>\n\n", page)):
        if _HEADING.match(paragraph):
            yield SECTION
        for sentence in _SENTENCE_END.split(" ".join(paragraph.lstrip("#").split())):
            for start in range(0, len(sentence), PASSAGE_CHARACTERS):
                yield sentence[start : start + PASSAGE_CHARACTERS]
        if not _HEADING.match(paragraph):
            yield PARAGRAPH


def _pack(pieces: Iterator[str]) -> Iterator[str]:
    """Join pieces while they fit."""
    text = ""
    for piece in pieces:
        closes = piece == SECTION or (piece == PARAGRAPH and len(text) >= SHORT_PARAGRAPH)
        if text and (closes or len(text) + 1 + len(piece) > PASSAGE_CHARACTERS):
            yield text
            text = ""
        if piece not in (SECTION, PARAGRAPH):
            text = f"{text} {piece}".strip()
    if text:
        yield text
