"""Tables: price lists, timetables, results and the like; five arrangements, of which the last is never trained on."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass

from training.pages.blocks import Column, Pair, Ruling, grid, inline
from training.pages.lexicon import Key, draw_label, draw_value, invent_label, keys
from training.pages.sheet import Said, Sheet, Text
from training.pages.values import FREE as FREE_VALUES
from training.pages.values import Manner, company, draw, goods, invent, name_of, person, read

NOTES = ("Subject to change.", "All figures without guarantee.", "As of this month.", "Please ask at the desk.")
FREE = 0.15  # the share of columns with invented heads, whose cells may be anything


@dataclass(frozen=True, slots=True)
class _Told:
    """A table: the name of each row, the heads, and the values of each row."""

    title: str
    head: str
    names: list[str]
    columns: list[tuple[Key, str]]
    cells: list[list[Said]]


def _draw(rng: random.Random, manner: Manner, most: int) -> _Told:
    topic = rng.choice(list(read("tables")["topic"].values()))
    names = ROWS[topic["rows"]](rng, rng.randrange(3, 10))
    columns: list[tuple[Key, str]] = []
    free: dict[str, str] = {}
    taken: set[str] = set()
    for name in rng.sample(topic["columns"], rng.randrange(2, min(most, len(topic["columns"])) + 1)):
        key = keys()["column_free" if rng.random() < FREE else name]
        label = draw_label(rng, key, taken) if key.labels else _head(rng)
        if label.lower() not in taken:
            columns.append((key, label))
            taken.add(label.lower())
            free[label] = "" if key.value else rng.choice(FREE_VALUES)
    cells = [
        [
            Said(_value(rng, manner, key, free[label]), key.name, {"column": label, "row": name})
            for key, label in columns
        ]
        for name in names
    ]
    return _Told(rng.choice(topic["titles"]), rng.choice(topic["heads"]), names, columns, cells)


def _value(rng: random.Random, manner: Manner, key: Key, free: str) -> str:
    return draw(rng, free, manner) if free else draw_value(rng, key, manner)


def _head(rng: random.Random) -> str:
    return invent_label(rng) if rng.random() < 0.5 else invent_label(rng).split()[1].capitalize()


def _different(draw_one: Callable[[random.Random], str]) -> Callable[[random.Random, int], list[str]]:
    """Return a function that draws several names, no two of which end alike."""

    def many(rng: random.Random, count: int) -> list[str]:
        names: dict[str, str] = {}
        while len(names) < count:
            name = draw_one(rng)
            names.setdefault(name.split()[-1], name)
        return list(names.values())

    return many


ROWS: dict[str, Callable[[random.Random, int], list[str]]] = {
    "goods": lambda rng, count: goods(rng, count, "colour", "goods"),
    "dishes": lambda rng, count: goods(rng, count, "treat", "dish"),
    "people": _different(person),
    "cities": _different(lambda rng: name_of(rng, "city")),
    "weekdays": lambda rng, count: list(read("names")["weekday"])[: max(count, 5)],
    "invented": _different(lambda rng: invent(rng) if rng.random() < 0.6 else invent_label(rng)),
}


def _grid(sheet: Sheet, y: float, told: _Told, ruling: Ruling, numbered: bool = False) -> float:
    right = sheet.rng.random() < 0.4
    columns = [Column(told.head, False), *(Column(label, right) for _, label in told.columns)]
    cells: list[list[Text]] = [[name, *row] for name, row in zip(told.names, told.cells, strict=True)]
    if numbered:
        columns.insert(0, Column("No.", False))
        cells = [[f"{place}.", *row] for place, row in enumerate(cells, 1)]
    return grid(sheet, sheet.margin, y, sheet.size[0] - 2 * sheet.margin, columns, cells, ruling)


def _note(sheet: Sheet, y: float) -> None:
    if sheet.rng.random() < 0.5:
        sheet.write(sheet.margin, y + 0.6 * sheet.pitch, sheet.look.pen(0.9), sheet.rng.choice(NOTES))


def lined(sheet: Sheet, manner: Manner) -> None:
    """A title at the left, lines or frames around the cells."""
    told, pen = _draw(sheet.rng, manner, 4), sheet.look.pen(1.5, bold=True)
    sheet.write(sheet.margin, sheet.margin, pen, told.title)
    _note(sheet, _grid(sheet, sheet.margin + 2.6 * sheet.pitch, told, sheet.rng.choice(("ruled", "framed"))))


def opened(sheet: Sheet, manner: Manner) -> None:
    """A title in the middle, no lines between the rows, who it is from above."""
    told, left = _draw(sheet.rng, manner, 4), sheet.margin
    sheet.write(left, left, sheet.look.pen(0.9), Said(company(sheet.rng), "sender"))
    y = left + 1.6 * sheet.pitch
    sheet.write(sheet.size[0] / 2, y, sheet.look.pen(1.5, bold=True), told.title, align="centre")
    _note(sheet, _grid(sheet, y + 2.6 * sheet.pitch, told, "open"))


def banded(sheet: Sheet, manner: Manner) -> None:
    """Every second row on a band; a date and a contact above."""
    told, left, rng = _draw(sheet.rng, manner, 4), sheet.margin, sheet.rng
    sheet.write(left, left, sheet.look.pen(1.3, bold=True), told.title)
    y = left + 2.0 * sheet.pitch
    named = {"date": draw(rng, "day", manner), "contact": person(rng)}
    sorts = {key.sort for key, _ in told.columns}
    pairs = [
        Pair(draw_label(rng, keys()[name], ()), Said(value, name)) for name, value in named.items() if name not in sorts
    ]
    y = inline(sheet, left, y, pairs) + 0.6 * sheet.pitch
    _note(sheet, _grid(sheet, y, told, "banded"))


def numbered(sheet: Sheet, manner: Manner) -> None:
    """Numbered rows in frames, a note above them."""
    told, left = _draw(sheet.rng, manner, 3), sheet.margin
    sheet.write(left, left, sheet.look.pen(1.4, bold=True), told.title)
    sheet.write(left, left + 2 * sheet.pitch, sheet.look.pen(0.9), sheet.rng.choice(NOTES))
    _grid(sheet, left + 3.8 * sheet.pitch, told, sheet.rng.choice(("framed", "open")), numbered=True)


def cards(sheet: Sheet, manner: Manner) -> None:
    """Each row as a block of its own: the name, and below it the columns as labels. Never trained on."""
    told, left, half = _draw(sheet.rng, manner, 4), sheet.margin, sheet.size[0] / 2
    sheet.write(left, left, sheet.look.pen(1.5, bold=True), told.title)
    top = left + 2.6 * sheet.pitch
    height = (len(told.columns) + 2.2) * sheet.pitch
    for place, (name, cells) in enumerate(zip(told.names, told.cells, strict=True)):
        x, y = left + (half - 0.5 * left) * (place % 2), top + height * (place // 2)
        sheet.write(x, y, sheet.look.pen(1.1, bold=True), name)
        pairs = [Pair(label, cell) for (_, label), cell in zip(told.columns, cells, strict=True)]
        inline(sheet, x, y + 1.2 * sheet.pitch, pairs)


ARRANGEMENTS = (lined, opened, banded, numbered)
UNSEEN = (cards,)
