"""Letters: five arrangements, of which the last is never trained on. What they tell stands in their sentences."""

from __future__ import annotations

import random

from training.pages.blocks import Pair, lines, paragraph, rows
from training.pages.business import address
from training.pages.lexicon import Key, draw_label, draw_value, keys, of_file
from training.pages.sheet import Said, Sheet, Text
from training.pages.values import Manner, city, company, draw, person, read

MEMOS = ("Memo", "MEMORANDUM", "Message", "Note", "E-mail")


class _Letter:
    """What one letter tells; `body` are its paragraphs."""

    def __init__(self, rng: random.Random, manner: Manner) -> None:
        """Draw it."""
        prose = read("letters")["prose"]
        self.writer = Said(person(rng), "writer")
        self.recipient = Said(person(rng), "recipient")
        self.company = Said(company(rng), "company")
        self.home, self.target = address(rng, manner), address(rng, manner)
        self.place = Said(city(rng), "place")
        self.day = Said(draw(rng, "day", manner), "date")
        self.subject = Said(rng.choice(prose["subjects"]), "subject")
        self.greeting, self.closing = rng.choice(prose["greetings"]), rng.choice(prose["closings"])
        told = [_tell(rng, key, manner) for key in _draw_keys(rng, rng.randrange(1, 5))]
        said = [[text] for text in rng.sample(list(prose["fillers"]), rng.randrange(2, 7))]
        sentences: list[list[Text]] = [*told, *said]
        rng.shuffle(sentences)
        cut = rng.randrange(1, len(sentences))
        self.body = [[part for sentence in some for part in sentence] for some in (sentences[:cut], sentences[cut:])]


def _draw_keys(rng: random.Random, count: int) -> list[Key]:
    """Draw what is told, nothing near to another."""
    chosen: list[Key] = []
    candidates = [key for key in of_file("letters") if key.sentences]
    rng.shuffle(candidates)
    for key in candidates:
        names = {name for other in chosen for name in (other.name, other.sort, *other.near)}
        if len(chosen) < count and not names & {key.name, *key.near}:
            chosen.append(key)
    return chosen


def _tell(rng: random.Random, key: Key, manner: Manner) -> list[Text]:
    """Return a sentence with its fact; a full stop right after a value is part of the word, as the reader has it."""
    before, _, after = rng.choice(key.sentences).partition(f"{{{key.name}}}")
    return [before, Said(draw_value(rng, key, manner), key.name), after]


def _body(sheet: Sheet, y: float, told: _Letter, left: float, width: float, signed: bool = True) -> None:
    """Write the greeting, the paragraphs, and the name below."""
    rng = sheet.rng
    sheet.write(left, y, sheet.look.pen(), told.greeting)
    y += 1.6 * sheet.pitch
    for part in told.body:
        y = paragraph(sheet, left, y, width, part) + 0.6 * sheet.pitch
    if signed:
        sheet.write(left, y, sheet.look.pen(), told.closing)
        sheet.write(left, y + rng.choice((1.2, 2.5)) * sheet.pitch, sheet.look.pen(), told.writer)


def _dated(sheet: Sheet, told: _Letter) -> list[Text]:
    """Return place and date as one line, or the date alone."""
    place = Said(f"{told.place.text},", "place")
    return [place, told.day] if sheet.rng.random() < 0.6 else [told.day]


def classic(sheet: Sheet, manner: Manner) -> None:
    """The company at the right above, then whom it is to, place and date at the right, the subject in bold."""
    told, rng = _Letter(sheet.rng, manner), sheet.rng
    look, (width, _), left = sheet.look, sheet.size, sheet.margin
    sheet.write(width - left, sheet.margin, look.pen(1.2, bold=True), told.company, align="right")
    y = lines(sheet, width - left, sheet.margin + 1.6 * sheet.pitch, told.home, "right") + sheet.pitch
    y = lines(sheet, left, y, [told.recipient, *told.target]) + sheet.pitch
    sheet.write(width - left, y, look.pen(), *_dated(sheet, told), align="right")
    y += 1.8 * sheet.pitch
    if rng.random() < 0.7:
        sheet.write(left, y, look.pen(bold=True), told.subject)
        y += 1.8 * sheet.pitch
    _body(sheet, y, told, left, width - 2 * left)


def block(sheet: Sheet, manner: Manner) -> None:
    """Everything at the left: the sender's address, the date, whom it is to."""
    told, rng = _Letter(sheet.rng, manner), sheet.rng
    look, (width, _), left = sheet.look, sheet.size, sheet.margin
    y = lines(sheet, left, sheet.margin, told.home) + 0.7 * sheet.pitch
    sheet.write(left, y, look.pen(), *_dated(sheet, told))
    y = lines(sheet, left, y + 1.7 * sheet.pitch, [told.recipient, *told.target]) + 0.8 * sheet.pitch
    if rng.random() < 0.5:
        label = draw_label(rng, keys()["subject"], ())
        sheet.write(left, y, look.pen(), f"{label}:", told.subject)
        y += 1.7 * sheet.pitch
    _body(sheet, y, told, left, width - 2 * left)


def memo(sheet: Sheet, manner: Manner) -> None:
    """From, to, date and subject as labels with values, a line, the text; no name below."""
    told, rng = _Letter(sheet.rng, manner), sheet.rng
    look, (width, _), left = sheet.look, sheet.size, sheet.margin
    sheet.write(left, sheet.margin, look.pen(1.5, bold=True), rng.choice(MEMOS))
    pairs = [Pair("From", told.writer), Pair("To", told.recipient)]
    named = {"date": told.day, "subject": told.subject}
    pairs += [Pair(draw_label(rng, keys()[name], ()), said) for name, said in named.items()]
    if rng.random() < 0.5:
        pairs[0], pairs[1] = pairs[1], pairs[0]
    y = rows(sheet, left, sheet.margin + 2.4 * sheet.pitch, pairs, bold=rng.random() < 0.5)
    sheet.rule(left, y + 2, width - left, y + 4)
    _body(sheet, y + sheet.pitch, told, left, width - 2 * left, signed=False)


def centred(sheet: Sheet, manner: Manner) -> None:
    """The company in the middle above a line, the date below it, the subject in the middle."""
    told = _Letter(sheet.rng, manner)
    look, (width, _), left = sheet.look, sheet.size, sheet.margin
    sheet.write(width / 2, sheet.margin, look.pen(1.4, bold=True), told.company, align="centre")
    y = lines(sheet, width / 2, sheet.margin + 1.9 * sheet.pitch, told.home, "centre")
    sheet.rule(left, y + 4, width - left, y + 6)
    sheet.write(left, y + sheet.pitch, look.pen(), *_dated(sheet, told))
    y = lines(sheet, left, y + 2.6 * sheet.pitch, [told.recipient, *told.target]) + sheet.pitch
    sheet.write(width / 2, y, look.pen(1.1, bold=True), told.subject, align="centre")
    _body(sheet, y + 2.2 * sheet.pitch, told, left, width - 2 * left)


def window(sheet: Sheet, manner: Manner) -> None:
    """For an envelope with a window: whom it is to at the left, company and date at the right. Never trained on."""
    told = _Letter(sheet.rng, manner)
    look, (width, _), left = sheet.look, sheet.size, sheet.margin
    x, y = 0.62 * width, sheet.margin + 2 * sheet.pitch
    lines(sheet, left, y, [told.recipient, *told.target])
    sheet.write(x, y, look.pen(bold=True), told.company)
    y = lines(sheet, x, y + 1.4 * sheet.pitch, told.home) + 0.6 * sheet.pitch
    sheet.write(x, y, look.pen(), told.day)
    sheet.write(left, y + 2 * sheet.pitch, look.pen(bold=True), told.subject)
    _body(sheet, y + 3.8 * sheet.pitch, told, left, width - 2 * left)


ARRANGEMENTS = (classic, block, memo, centred)
UNSEEN = (window,)
