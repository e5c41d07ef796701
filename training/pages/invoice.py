"""Invoices: five arrangements, of which the last is never trained on."""

from __future__ import annotations

import random

from training.pages.blocks import Pair, inline, lines, rows, stacked
from training.pages.business import Deal, address, customer, draw_items, draw_services
from training.pages.items import draw_listing, list_items
from training.pages.lexicon import draw_label, keys
from training.pages.sheet import Said, Sheet
from training.pages.values import Manner, company

TITLES = ("INVOICE", "Invoice", "Tax invoice", "Bill", "INVOICE", "Statement")
NUMBERS = ("invoice_number", "invoice_date", "due_date")
MORE = ("order_number", "customer_number", "delivery_date", "reference", "contact")
REACH = ("phone", "email", "website")
FOOT = ("bank_account", "terms", "payment")
THANKS = ("Thank you for your business.", "We thank you for your order.", "All prices in full.", "No signature needed.")


class _Invoice:
    """What one invoice tells."""

    def __init__(self, rng: random.Random, manner: Manner) -> None:
        """Draw it."""
        count = rng.randrange(2, 8)
        items = draw_services(rng, min(count, 5)) if rng.random() < 0.25 else draw_items(rng, count, 60_000)
        self.deal = Deal(rng, manner, items, sent=True)
        self.title = rng.choice(TITLES)
        self.sender = Said(company(rng), "sender")
        self.place = address(rng, manner)
        self.reach = self.deal.pairs(*self.deal.some(*REACH))
        self.recipient = [Said(customer(rng, manner), "recipient"), *address(rng, manner)]
        self.to = draw_label(rng, keys()["recipient"], ())
        self.meta = self.deal.pairs(*NUMBERS, *self.deal.some(*MORE)[:3])
        self.sums = self.deal.pairs(*self.deal.sums())
        self.foot = self.deal.pairs(*self.deal.some(*FOOT))
        rng.shuffle(self.meta)


def classic(sheet: Sheet, manner: Manner) -> None:
    """The sender at the left, the numbers at the right, goods and sums below."""
    told, rng = _Invoice(sheet.rng, manner), sheet.rng
    look, (width, _), left = sheet.look, sheet.size, sheet.margin
    y = sheet.margin
    sheet.write(width - left, y, look.pen(1.7, bold=True), told.title, align="right")
    sheet.write(left, y, look.pen(1.15, bold=True), told.sender)
    top = y + 2.2 * sheet.pitch
    end = inline(sheet, left, lines(sheet, left, top, told.place), told.reach)
    below = rows(sheet, width * 0.52, top + sheet.pitch, told.meta, rng.choice((None, width - left)))
    y = max(end, below) + sheet.pitch
    sheet.write(left, y, look.pen(0.9, bold=rng.random() < 0.5), told.to)
    y = lines(sheet, left, y + sheet.pitch, told.recipient) + sheet.pitch
    listing = draw_listing(rng, ("ruled", "open", "framed"))
    y = list_items(sheet, left, y, width - 2 * left, told.deal, listing) + 0.7 * sheet.pitch
    y = rows(sheet, width * 0.55, y, told.sums, width - left - 0.6 * look.size) + sheet.pitch
    _foot(sheet, y, told)


def letterhead(sheet: Sheet, manner: Manner) -> None:
    """The sender in the middle above everything, the numbers side by side below, labels above values."""
    told, rng = _Invoice(sheet.rng, manner), sheet.rng
    look, (width, _), left = sheet.look, sheet.size, sheet.margin
    y = sheet.margin
    sheet.write(width / 2, y, look.pen(1.5, bold=True), told.sender, align="centre")
    y = lines(sheet, width / 2, y + 2 * sheet.pitch, told.place, "centre")
    for pair in told.reach:
        sheet.write(width / 2, y, look.pen(0.9), f"{pair.label}:", pair.value, align="centre")
        y += sheet.pitch
    sheet.rule(left, y + 4, width - left, y + 6)
    sheet.write(left, y + sheet.pitch, look.pen(1.4, bold=True), told.title)
    y = stacked(sheet, left, y + 2.8 * sheet.pitch, width - 2 * left, 3, told.meta, framed=rng.random() < 0.4)
    sheet.write(left, y + 0.5 * sheet.pitch, look.pen(bold=True), told.to)
    y = lines(sheet, left, y + 1.5 * sheet.pitch, told.recipient) + sheet.pitch
    y = list_items(sheet, left, y, width - 2 * left, told.deal, draw_listing(rng, ("banded", "ruled")))
    y = rows(sheet, width * 0.5, y + sheet.pitch, told.sums, width - left - 0.6 * look.size, bold=True)
    _foot(sheet, y + sheet.pitch, told)


def sidebar(sheet: Sheet, manner: Manner) -> None:
    """Who and when in a column at the left, goods and sums beside it."""
    told, rng = _Invoice(sheet.rng, manner), sheet.rng
    look, (width, height), left = sheet.look, sheet.size, sheet.margin
    side = 0.31 * width
    if rng.random() < 0.6:
        sheet.rule(0, 0, side + 0.5 * left, height, shade=225)
    y = lines(sheet, left, sheet.margin, [told.to, *told.recipient]) + sheet.pitch
    y = stacked(sheet, left - 8, y, side - left, 1, told.meta)
    stacked(sheet, left - 8, y + sheet.pitch, side - left, 1, [*told.reach, *told.foot])
    x, y = side + left, sheet.margin
    sheet.write(x, y, look.pen(1.3, bold=True), told.sender)
    y = lines(sheet, x, y + 1.8 * sheet.pitch, told.place) + sheet.pitch
    sheet.write(x, y, look.pen(1.6, bold=True), told.title)
    listing = draw_listing(rng, ("open", "ruled", "banded"))
    y = list_items(sheet, x, y + 2.6 * sheet.pitch, width - x - left, told.deal, listing)
    rows(sheet, x + 0.25 * (width - x), y + sheet.pitch, told.sums, width - left - 0.6 * look.size)


def plain(sheet: Sheet, manner: Manner) -> None:
    """One line after the other, as a program prints it; the total may come first."""
    told, rng = _Invoice(sheet.rng, manner), sheet.rng
    look, (width, _), left = sheet.look, sheet.size, sheet.margin
    y = sheet.margin
    sheet.write(left, y, look.pen(1.3, bold=True), told.title)
    y += 2.2 * sheet.pitch
    early = rng.random() < 0.4
    if early:
        total = told.sums.pop()
        sheet.write(left, y, look.pen(1.3), f"{total.label}:", total.value)
        y += 2 * sheet.pitch
    pairs = [Pair(draw_label(rng, keys()["sender"], ()), told.sender), *told.meta, *told.reach]
    y = inline(sheet, left, y, pairs) if rng.random() < 0.5 else rows(sheet, left, y, pairs)
    y = inline(sheet, left, y + sheet.pitch, [Pair(told.to, told.recipient[0])])
    y = lines(sheet, left, y, told.recipient[1:]) + sheet.pitch
    y = list_items(sheet, left, y, width - 2 * left, told.deal, draw_listing(rng, ("open",))) + sheet.pitch
    if told.sums:
        y = (inline if rng.random() < 0.5 else rows)(sheet, left, y, told.sums) + sheet.pitch
    _foot(sheet, y, told)


def boxes(sheet: Sheet, manner: Manner) -> None:
    """Framed boxes: who and whom side by side, numbers, goods, and the sums in a grid at the left. Never trained on."""
    told, rng = _Invoice(sheet.rng, manner), sheet.rng
    look, (width, _), left = sheet.look, sheet.size, sheet.margin
    inner, y = width - 2 * left, sheet.margin
    sheet.write(left, y, look.pen(1.5, bold=True), told.title)
    y += 2.2 * sheet.pitch
    tall = 5 * sheet.pitch
    for x in (left, left + inner / 2):
        sheet.rule(x, y, x + inner / 2 - 8, y + tall, hollow=True)
    sheet.write(left + 10, y + 6, look.pen(bold=True), told.sender)
    lines(sheet, left + 10, y + 6 + 1.2 * sheet.pitch, told.place)
    lines(sheet, left + inner / 2 + 10, y + 6, [told.to, *told.recipient])
    y = list_items(sheet, left, y + tall + sheet.pitch, inner, told.deal, draw_listing(rng, ("framed",)))
    y = stacked(sheet, left, y + sheet.pitch, inner, len(told.sums), told.sums, framed=True)
    y = rows(sheet, left, y + sheet.pitch, [*told.meta, *told.reach], bold=True)
    _foot(sheet, y + sheet.pitch, told)


def _foot(sheet: Sheet, y: float, told: _Invoice) -> None:
    """Write how to pay, and a kind word."""
    y = inline(sheet, sheet.margin, y, told.foot)
    if sheet.rng.random() < 0.6:
        sheet.write(sheet.margin, y + 0.5 * sheet.pitch, sheet.look.pen(0.9), sheet.rng.choice(THANKS))


ARRANGEMENTS = (classic, letterhead, sidebar, plain)
UNSEEN = (boxes,)
