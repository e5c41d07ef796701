"""Forms that people filled in: five arrangements, of which the last is never trained on.

A quarter of the labels are put together from words, so that the model learns to find a label by what it says.
"""

from __future__ import annotations

import random

from training.pages.blocks import Column as GridColumn
from training.pages.blocks import Pair, grid, inline, rows, stacked
from training.pages.lexicon import Key, draw_label, draw_value, invent_label, keys, of_file
from training.pages.sheet import Said, Sheet
from training.pages.values import FREE, Manner, company, draw

TITLES = (
    "Application form", "Registration", "Membership form", "Patient form", "Booking form", "Personal details",
    "Rental form", "APPLICATION", "Data sheet", "Enrolment", "Repair order", "Request", "Customer form",
    "Check-in form", "Questionnaire",
)  # fmt: skip
SECTIONS = ("Personal", "Details", "Contact", "More", "Other", "About you", "Part A", "Part B", "For the office")
NOTES = ("Please write in capital letters.", "All fields must be filled in.", "Return it to the office.", "Page 1 of 1")
INVENTED = 0.25  # the share of labels that no key has
COMMON = ("phone", "email", "street", "date")  # fields of forms that other pages have too
KINDS = {"phone": "phone", "email": "email", "street": "street", "date": "day"}  # of values


def draw_fields(rng: random.Random, manner: Manner, count: int) -> list[Pair]:
    """Draw fields with what was filled in; none is near enough to another to be taken for it."""
    pairs: list[Pair] = []
    taken: set[str] = set()
    chosen: set[str] = set()
    near: set[str] = set()
    names = [key.name for key in of_file("fields") if key.labels] + list(COMMON)
    rng.shuffle(names)
    while len(pairs) < count:
        invented = rng.random() < INVENTED
        key = keys()["field" if invented else names.pop()]
        if key.name in near or not chosen.isdisjoint(key.near):
            continue
        label = invent_label(rng) if invented else draw_label(rng, key, taken)
        if label.lower() in taken:
            continue
        taken.add(label.lower())
        chosen.add(key.name)
        near.update(key.near)
        pairs.append(Pair(label, Said(_value(rng, manner, key), key.name, {"label": label})))
    return pairs


def _value(rng: random.Random, manner: Manner, key: Key) -> str:
    kind = KINDS.get(key.name) or ("" if key.value else rng.choice(FREE))
    return draw(rng, kind, manner) if kind else draw_value(rng, key, manner)


def _head(sheet: Sheet) -> float:
    """Write the title, and perhaps who the form is from."""
    rng, look, left = sheet.rng, sheet.look, sheet.margin
    y = float(sheet.margin)
    if rng.random() < 0.4:
        sheet.write(left, y, look.pen(0.9), Said(company(rng), "sender"))
        y += 1.3 * sheet.pitch
    if rng.random() < 0.5:
        sheet.write(left, y, look.pen(1.5, bold=True), rng.choice(TITLES))
    else:
        sheet.write(sheet.size[0] / 2, y, look.pen(1.5, bold=True), rng.choice(TITLES), align="centre")
    return y + 2.6 * sheet.pitch


def _note(sheet: Sheet, y: float) -> None:
    if sheet.rng.random() < 0.4:
        sheet.write(sheet.margin, y + sheet.pitch, sheet.look.pen(0.85), sheet.rng.choice(NOTES))


def listed(sheet: Sheet, manner: Manner) -> None:
    """One field a line, values in a second column or right after the label."""
    rng, left = sheet.rng, sheet.margin
    pairs = draw_fields(rng, manner, rng.randrange(5, 17))
    y = _head(sheet)
    block = rng.choice((rows, rows, inline))
    _note(sheet, block(sheet, left, y, pairs))


def paired(sheet: Sheet, manner: Manner) -> None:
    """Two fields a line."""
    rng, left, half = sheet.rng, sheet.margin, sheet.size[0] / 2
    pairs = draw_fields(rng, manner, rng.randrange(6, 17))
    y = _head(sheet)
    middle = -(-len(pairs) // 2)
    block = rng.choice((rows, inline))
    end = block(sheet, left, y, pairs[:middle])
    block(sheet, half + 0.3 * left, y, pairs[middle:])
    _note(sheet, end)


def boxed(sheet: Sheet, manner: Manner) -> None:
    """Labels above values, two or three side by side, in frames or not."""
    rng, left = sheet.rng, sheet.margin
    pairs = draw_fields(rng, manner, rng.randrange(5, 17))
    framed = rng.random() < 0.6
    end = stacked(sheet, left, _head(sheet), sheet.size[0] - 2 * left, rng.choice((2, 2, 3)), pairs, framed)
    _note(sheet, end)


def sections(sheet: Sheet, manner: Manner) -> None:
    """Fields under headings, each part in its own way."""
    rng, look, left = sheet.rng, sheet.look, sheet.margin
    pairs, width = draw_fields(rng, manner, rng.randrange(8, 17)), sheet.size[0] - 2 * sheet.margin
    y, cut = _head(sheet), rng.randrange(3, 6)
    parts = (pairs[:cut], pairs[cut : 2 * cut], pairs[2 * cut :])
    for heading, part in zip(rng.sample(SECTIONS, 3), parts, strict=True):
        if not part:
            continue
        if rng.random() < 0.5:
            sheet.rule(left, y - 3, left + width, y + sheet.pitch - 3, shade=220)
        sheet.write(left + 4, y, look.pen(1.05, bold=True), heading)
        y += 1.4 * sheet.pitch
        way = rng.randrange(3)
        if way == 0:
            y = stacked(sheet, left, y, width, 2, part)
        else:
            y = rows(sheet, left, y, part, left + width if way == 1 and rng.random() < 0.3 else None)
        y += 0.7 * sheet.pitch
    _note(sheet, y)


def numbered(sheet: Sheet, manner: Manner) -> None:
    """A table of numbered questions and entries. Never trained on."""
    rng, left = sheet.rng, sheet.margin
    pairs = draw_fields(rng, manner, rng.randrange(6, 14))
    columns = [GridColumn(head, False) for head in ("No.", rng.choice(("Field", "Question", "Detail")), "Entry")]
    cells = [[f"{place}.", pair.label, pair.value] for place, pair in enumerate(pairs, 1)]
    _note(sheet, grid(sheet, left, _head(sheet), sheet.size[0] - 2 * left, columns, cells, "framed"))


ARRANGEMENTS = (listed, paired, boxed, sections)
UNSEEN = (numbered,)
