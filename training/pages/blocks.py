"""What pages are put together from: labels with their values, lines, paragraphs and grids. Knows no kind of page.

Every block returns the height at which it ends.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from training.pages.page import Pen
from training.pages.sheet import Said, Sheet, Text, wrap

LEAST_GAP = 1.6  # of the size of the text, between a label and its value or between columns
Ruling = Literal["open", "ruled", "banded", "framed"]


@dataclass(frozen=True, slots=True)
class Pair:
    """A value with its label."""

    label: str
    value: Said


@dataclass(frozen=True, slots=True)
class Column:
    """A column of a grid; `right` says that its cells end together."""

    head: str
    right: bool


def lines(
    sheet: Sheet, x: float, y: float, texts: Sequence[Text], align: Literal["left", "right", "centre"] = "left"
) -> float:
    """Write texts one below the other."""
    pen = sheet.look.pen()
    for text in texts:
        sheet.write(x, y, pen, text, align=align)
        y += sheet.pitch
    return y


def paragraph(sheet: Sheet, x: float, y: float, width: float, parts: Sequence[Text]) -> float:
    """Write a text in lines of at most `width`."""
    pen = sheet.look.pen()
    for line in wrap(sheet, pen, parts, width):
        sheet.write(x, y, pen, *line)
        y += sheet.pitch
    return y


def inline(sheet: Sheet, x: float, y: float, pairs: Sequence[Pair]) -> float:
    """Write each value right after its label."""
    for pair in pairs:
        sheet.write(x, y, sheet.look.pen(), f"{pair.label.rstrip(':')}:", pair.value)
        y += sheet.pitch
    return y


def rows(
    sheet: Sheet, x: float, y: float, pairs: Sequence[Pair], right: float | None = None, bold: bool = False
) -> float:
    """Write labels in one column and values in a second, which ends at `right` or begins after the longest label."""
    plain, heavy = sheet.look.pen(), sheet.look.pen(bold=bold)
    colon = ":" if sheet.rng.random() < 0.4 else ""
    labels = [f"{pair.label.rstrip(':')}{colon}" for pair in pairs]
    column = x + max(sheet.width(heavy, label) for label in labels) + LEAST_GAP * plain.size
    for label, pair in zip(labels, pairs, strict=True):
        sheet.write(x, y, heavy, label)
        if right is None:
            sheet.write(column, y, plain, pair.value)
        else:
            sheet.write(right, y, plain, pair.value, align="right")
        y += sheet.pitch
    return y


def stacked(
    sheet: Sheet, x: float, y: float, width: float, columns: int, pairs: Sequence[Pair], framed: bool = False
) -> float:
    """Write each value below its label, `columns` of them side by side, perhaps each in a frame."""
    small, plain = sheet.look.pen(0.8, faint=40 if not framed else 0), sheet.look.pen(bold=not framed)
    share = width / columns
    height = sheet.pitch * (2.4 if framed else 2.5)
    for place, pair in enumerate(pairs):
        left, top = x + share * (place % columns), y + height * (place // columns)
        if framed:
            sheet.rule(left, top, left + share, top + height, hollow=True)
        sheet.write(left + 8, top + 5, small, pair.label.rstrip(":"))
        sheet.write(left + 8, top + 5 + sheet.pitch * 0.95, fitting(sheet, plain, pair.value, share - 16), pair.value)
    return y + height * -(-len(pairs) // columns)


def fitting(sheet: Sheet, pen: Pen, text: Text, width: float) -> Pen:
    """Return the pen, or a smaller one with which the text is not wider than `width`."""
    wide = sheet.width(pen, text)
    return pen if wide <= width else Pen(pen.family, pen.bold, int(pen.size * width / wide), pen.shade)


def grid(
    sheet: Sheet,
    x: float,
    y: float,
    width: float,
    columns: Sequence[Column],
    cells: Sequence[Sequence[Text]],
    ruling: Ruling,
) -> float:
    """Write a table; what is left of the width goes to the widest column whose cells begin together."""
    pen, heavy = sheet.look.pen(), sheet.look.pen(bold=True)
    edges, scale = _edges(sheet, x, width, columns, cells)
    if scale < 1:
        pen, heavy = sheet.look.pen(scale), sheet.look.pen(scale, bold=True)
    height = sheet.pitch * (1.0 if ruling == "open" else 1.35)
    heads: list[Sequence[Text]] = [[column.head for column in columns]]
    for number, row in enumerate(heads + list(cells)):
        top = y + height * number
        if ruling == "banded" and number % 2 == 0:
            sheet.rule(x, top, x + width, top + height, shade=205 if number == 0 else 232)
        if ruling == "ruled" or (ruling == "open" and number == 1):
            sheet.rule(x, top - 2, x + width, top - 1)
        middle = top + (height - sheet.pitch) / 2 + 1
        for column, cell, left, end in zip(columns, row, edges, edges[1:], strict=False):
            at, align = (end - 0.6 * pen.size, "right") if column.right else (left + 0.6 * pen.size, "left")
            sheet.write(at, middle, heavy if number == 0 else pen, cell, align=align)  # type: ignore[arg-type]
    bottom = y + height * (len(cells) + 1)
    if ruling == "framed":
        for edge in edges:
            sheet.rule(edge, y, edge + 1, bottom)
        for number in range(len(cells) + 2):
            sheet.rule(x, y + height * number, x + width, y + height * number + 1)
    return bottom


def _edges(
    sheet: Sheet, x: float, width: float, columns: Sequence[Column], cells: Sequence[Sequence[Text]]
) -> tuple[list[float], float]:
    """Return where columns begin and the last ends, and by how much the text must shrink to fit."""
    heavy, gap = sheet.look.pen(bold=True), LEAST_GAP * sheet.look.size
    needed = [
        gap + max(sheet.width(heavy, column.head), *(sheet.width(sheet.look.pen(), row[place]) for row in cells))
        for place, column in enumerate(columns)
    ]
    scale = min(1.0, width / sum(needed))
    needed = [scale * need for need in needed]
    begun = [place for place, column in enumerate(columns) if not column.right]
    needed[max(begun, key=needed.__getitem__)] += width - sum(needed)
    edges = [x]
    for need in needed:
        edges.append(edges[-1] + need)
    return edges, scale
