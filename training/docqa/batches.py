"""Numbered batches of questions about pages, as the model takes them; a number always gives the same batch.

Words and boxes come from `misread`, not from a picture. The picture itself is a rough one, grey where words are: to
draw and shrink a true one takes longer than all the rest, and at 64 pixels the two look much the same. Knows pages and
a tokenizer, no model.
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields
from functools import lru_cache
from itertools import count, islice

import numpy as np
import torch
from transformers import LayoutLMv3Tokenizer

from training.pages.lexicon import keys
from training.pages.misread import Reading, misread
from training.pages.page import Page, Question
from training.pages.questions import ask
from training.pages.world import make_page

IGNORED = -100  # the label of what is no word of the page
PAGES, QUESTIONS = 6, 6  # in a batch, and of each of its pages
READINGS = 2  # of a page, each with other mistakes
GROUP = 8  # batches whose pages are shared out by length, so that little is padded
NUMBERS = 200  # page numbers that a group may use
SHORT, LONG = 60, 140  # words of the longest pages at first, and from `GROWN` steps on
GROWN = 3000
LONGEST = 510  # tokens; what is longer is left out, the plugin would cut it
BLANK = 0.2  # the share of pages without a picture
INK = 0.13  # the share of a word's box that is ink, about


@dataclass(frozen=True, slots=True)
class Batch:
    """B questions with their pages, padded to T tokens.

    `ids`, `mask` and `roles` are (B, T), `boxes` (B, T, 4), `pixels` (B, 3, S, S); `starts`, `ends` and `asked` (B,).
    A role is the place of a key, counted from 1, or 0 for words that are no fact.
    """

    ids: torch.Tensor
    boxes: torch.Tensor
    mask: torch.Tensor
    roles: torch.Tensor
    starts: torch.Tensor
    ends: torch.Tensor
    asked: torch.Tensor
    pixels: torch.Tensor

    def to(self, device: torch.device) -> Batch:
        """Return it on a device."""
        return Batch(*(getattr(self, field.name).to(device) for field in fields(self)))


@dataclass(frozen=True, slots=True)
class _Text:
    """A page as it was read, in tokens; `begins` are the first token of each word, and the end."""

    read: Reading
    ids: list[int]
    boxes: list[list[int]]
    roles: list[int]
    begins: list[int]
    pixels: np.ndarray


@dataclass(frozen=True, slots=True)
class _Row:
    """A question with its page."""

    ids: list[int]
    boxes: list[list[int]]
    roles: list[int]
    answer: tuple[int, int]
    asked: int
    pixels: np.ndarray


class Batches:
    """The batches of a training."""

    def __init__(self, tokenizer: LayoutLMv3Tokenizer, size: int) -> None:
        """Encode with `tokenizer`, and draw rough pictures of `size` pixels."""
        self._tokenizer, self._size = tokenizer, size
        self._roles = {name: place for place, name in enumerate(keys())}
        self._group = lru_cache(maxsize=2)(self._make_group)
        self._pieces = lru_cache(maxsize=100_000)(self._cut)

    def batch(self, step: int) -> Batch:
        """Return the batch of a step."""
        group, place = divmod(step, GROUP)
        return self._group(group)[place]

    def of_pages(self, asked: Iterable[tuple[Page, Sequence[Question]]], rng: random.Random) -> Batch:
        """Return questions about some pages; a page is read a few times, with other mistakes each time."""
        rows = []
        for page, questions in asked:
            texts = [self._encode_text(page, misread(page, rng), rng) for _ in range(READINGS)]
            rows += [self._encode(question, texts[place % READINGS]) for place, question in enumerate(questions)]
        return self._pad([row for row in rows if len(row.ids) <= LONGEST])

    def _make_group(self, group: int) -> list[Batch]:
        """Return a group of batches, pages of like length together, in no order."""
        rng = random.Random(f"batches {group}")
        most = min(LONG, SHORT + (LONG - SHORT) * group * GROUP // GROWN)
        made = (make_page(number, "train") for number in count(group * NUMBERS))
        pages = list(islice((page for page in made if len(page.words) <= most), GROUP * PAGES))
        pages.sort(key=lambda page: sum(len(word.text) for word in page.words))
        batches = [
            self.of_pages([(page, ask(page, rng, QUESTIONS)) for page in pages[first : first + PAGES]], rng)
            for first in range(0, len(pages), PAGES)
        ]
        rng.shuffle(batches)
        return batches

    def _encode_text(self, page: Page, read: Reading, rng: random.Random) -> _Text:
        """Encode the words of a page as they were read."""
        scale = page.size * 2
        ids: list[int] = []
        boxes: list[list[int]] = []
        roles: list[int] = []
        begins = []
        for text, box, role in zip(read.texts, read.boxes, self._roles_of(page, read), strict=True):
            pieces = self._pieces(text)
            begins.append(len(ids))
            ids += pieces
            boxes += [[1000 * place // side for place, side in zip(box, scale, strict=True)]] * len(pieces)
            roles += [role] * len(pieces)
        return _Text(read, ids, boxes, roles, [*begins, len(ids)], rough(page.size, read, self._size, rng))

    def _encode(self, question: Question, text: _Text) -> _Row:
        """Encode as the plugin does: <s> question </s></s> page </s>; <s> is pointed at where there is no answer."""
        begin, end = self._tokenizer.cls_token_id, self._tokenizer.sep_token_id
        asked = [piece for word in question.text.split() for piece in self._pieces(word)]
        ids = [begin, *asked, end, end, *text.ids, end]
        before, nothing = len(asked) + 3, [[0] * 4]
        answer = (0, 0)
        if question.fact is not None:
            spans = text.read.spans[question.fact.first : question.fact.last + 1]
            first, last = min(span[0] for span in spans), max(span[1] for span in spans)
            answer = (before + text.begins[first], before + text.begins[last + 1] - 1)
        boxes = [*nothing * before, *text.boxes, *nothing]
        roles = [*[IGNORED] * before, *text.roles, IGNORED]
        return _Row(ids, boxes, roles, answer, self._roles[question.key], text.pixels)

    def _roles_of(self, page: Page, read: Reading) -> list[int]:
        roles = [0] * len(read.texts)
        for fact in page.facts:
            for place in range(fact.first, fact.last + 1):
                first, last = read.spans[place]
                for word in range(first, last + 1):
                    roles[word] = self._roles.get(fact.key, -1) + 1
        return roles

    def _cut(self, word: str) -> tuple[int, ...]:
        encoding = self._tokenizer.backend_tokenizer.encode([word], is_pretokenized=True, add_special_tokens=False)
        return tuple(encoding.ids)

    def _pad(self, rows: Sequence[_Row]) -> Batch:
        shape = (len(rows), max(len(row.ids) for row in rows))
        ids, roles = torch.full(shape, self._tokenizer.pad_token_id), torch.full(shape, IGNORED)
        boxes, mask = torch.zeros(*shape, 4, dtype=torch.long), torch.zeros(shape, dtype=torch.long)
        for place, row in enumerate(rows):
            here = (place, slice(len(row.ids)))
            ids[here], boxes[here] = torch.tensor(row.ids), torch.tensor(row.boxes)
            roles[here], mask[here] = torch.tensor(row.roles), 1
        starts, ends = torch.tensor([row.answer for row in rows]).unbind(1)
        pixels = torch.from_numpy(np.stack([row.pixels for row in rows]))[:, None].repeat(1, 3, 1, 1)
        return Batch(ids, boxes, mask, roles, starts, ends, torch.tensor([row.asked for row in rows]), pixels)


def rough(size: tuple[int, int], read: Reading, side: int, rng: random.Random) -> np.ndarray:
    """Return a page as a grey picture of `side` pixels (S, S), in -1..1: paler where there are fewer words."""
    paper = np.full((side, side), rng.uniform(0.85, 1.0), dtype=np.float32)
    if rng.random() >= BLANK:
        across, down = side / size[0], side / size[1]
        for left, top, right, bottom in read.boxes:
            x, y = int(left * across), int(top * down)
            x2, y2 = max(x + 1, round(right * across)), max(y + 1, round(bottom * down))
            share = min(1.0, (right - left) * across * (bottom - top) * down / ((x2 - x) * (y2 - y)))
            paper[y:y2, x:x2] -= INK * share
    return 2 * paper.clip(0, 1) - 1
