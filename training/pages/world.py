"""Makes pages: `make_page(number, split)` is the same page every time. Knows all kinds, and no question."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

from training.pages import delivery, form, invoice, letter, receipt, table
from training.pages.fonts import PROPORTIONAL, TYPEWRITERS
from training.pages.page import Page, Split
from training.pages.sheet import Look, Sheet
from training.pages.values import Manner, draw_manner

KINDS = (invoice, receipt, form, letter, table, delivery)
NARROW = "receipt"
TRIES = 20  # sheets that may prove too short for what was written on them
SLANT = 0.35  # degrees by which pages are usually turned; some lie straight, a few more than a degree askew
MOST_SLANT = 1.5
CUT = 0.5  # the share of pages that end where the text does

Arrangement = Callable[[Sheet, Manner], None]


@dataclass(frozen=True, slots=True)
class Sort:
    """A kind of page in one arrangement."""

    kind: str
    name: str
    write: Arrangement


@cache
def sorts(split: Split) -> tuple[Sort, ...]:
    """Return what pages a split has."""
    return tuple(
        Sort(kind.__name__.rpartition(".")[2], write.__name__, write)
        for kind in KINDS
        for write in (kind.UNSEEN if split == "unseen" else kind.ARRANGEMENTS)
    )


def make_page(number: int, split: Split) -> Page:
    """Make a page; the same number gives the same page."""
    rng = random.Random(f"{split} {number}")
    sort = rng.choice(sorts(split))
    for _ in range(TRIES):
        sheet = Sheet(rng, _size(rng, sort.kind), _look(rng, sort.kind))
        sort.write(sheet, draw_manner(rng))
        if sheet.fits():
            if rng.random() < CUT:
                sheet.cut()
            return sheet.finish(number, split, sort.kind, sort.name, _angle(rng))
    raise RuntimeError(f"{sort.kind} {sort.name} {number}: nothing fits on {TRIES} sheets")


def _size(rng: random.Random, kind: str) -> tuple[int, int]:
    """Draw the size of a picture: a strip for a receipt, else a sheet upright or, for a table, across."""
    if kind == NARROW:
        width = rng.randrange(430, 620)
        return width, round(width * rng.uniform(1.3, 2.3))
    width = rng.randrange(760, 1060)
    return width, round(width * (rng.uniform(0.62, 1.42) if kind in ("table", "form") else rng.uniform(1.25, 1.43)))


def _look(rng: random.Random, kind: str) -> Look:
    """Draw how a page is written; shops print with typewriters more than others."""
    typed = rng.random() < (0.5 if kind == NARROW else 0.12)
    family = rng.choice(TYPEWRITERS if typed else PROPORTIONAL)
    return Look(
        family,
        rng.randrange(16, 22) if not typed else rng.randrange(15, 19),
        rng.randrange(0, 70),
        rng.uniform(1.3, 1.75),
    )


def _angle(rng: random.Random) -> float:
    return 0.0 if rng.random() < 0.3 else max(-MOST_SLANT, min(MOST_SLANT, rng.gauss(0, SLANT)))
