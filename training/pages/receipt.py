"""Receipts of shops: four arrangements, of which the last is never trained on."""

from __future__ import annotations

import random

from training.pages.blocks import inline, lines, rows
from training.pages.business import Deal, Item, about, address, draw_items
from training.pages.items import Listing, list_items
from training.pages.sheet import Said, Sheet, Text
from training.pages.values import Manner, shop

META = ("receipt_number", "cashier", "register", "table_number")
THANKS = (
    "Thank you!",
    "Thank you for shopping with us",
    "Please come again",
    "Have a nice day",
    "THANK YOU",
    "Goodbye!",
)


class _Receipt:
    """What one receipt tells."""

    def __init__(self, rng: random.Random, manner: Manner) -> None:
        """Draw it."""
        count = rng.randrange(1, 9)
        food = rng.random() < 0.6
        items = draw_items(rng, count, 3_000, "treat", "dish") if food else draw_items(rng, count, 12_000)
        self.deal = Deal(rng, manner, items, sent=False)
        self.store = Said(shop(rng), "store")
        self.place: list[Text] = list(address(rng, manner)) if rng.random() < 0.8 else []
        self.reach = self.deal.pairs(*self.deal.some("phone", "website"))
        self.when = self.deal.pairs("date", *self.deal.some("time"))
        self.meta = self.deal.pairs(*self.deal.some(*META))
        self.sums = self.deal.pairs(*self.deal.sums())
        paid = ("cash", "change") if rng.random() < 0.5 else ("payment",)
        self.paid = self.deal.pairs(*paid) if rng.random() < 0.8 else []


def till(sheet: Sheet, manner: Manner) -> None:
    """The shop in the middle above, prices in a column at the right, sums below."""
    told, rng = _Receipt(sheet.rng, manner), sheet.rng
    look, (width, _), left = sheet.look, sheet.size, sheet.margin
    sheet.write(width / 2, sheet.margin, look.pen(1.35, bold=True), told.store, align="centre")
    y = _head(sheet, sheet.margin + 1.8 * sheet.pitch, told) + 0.5 * sheet.pitch
    if rng.random() < 0.5:
        day, *time = (Said(pair.value.text, pair.value.key) for pair in told.when)  # without labels
        sheet.write(left, y, look.pen(), day)
        if time:
            sheet.write(width - left, y, look.pen(), *time, align="right")
        y = inline(sheet, left, y + sheet.pitch, told.meta) + 0.5 * sheet.pitch
    else:
        y = inline(sheet, left, y, [*told.when, *told.meta]) + 0.5 * sheet.pitch
    sheet.rule(left, y - 6, width - left, y - 5)
    y = _goods(sheet, y, told)
    sheet.rule(left, y + 2, width - left, y + 3)
    y = rows(sheet, left, y + 0.5 * sheet.pitch, told.sums, width - left, bold=rng.random() < 0.5)
    _end(sheet, rows(sheet, left, y, told.paid, width - left) if told.paid else y)


def cafe(sheet: Sheet, manner: Manner) -> None:
    """Goods first, a large total, the rest below."""
    told, rng = _Receipt(sheet.rng, manner), sheet.rng
    look, (width, _), left = sheet.look, sheet.size, sheet.margin
    sheet.write(left, sheet.margin, look.pen(1.5, bold=True), told.store)
    y = _goods(sheet, sheet.margin + 2.6 * sheet.pitch, told) + 0.6 * sheet.pitch
    *before, total = told.sums
    if before:
        y = rows(sheet, left, y, before, width - left)
    sheet.write(left, y, look.pen(1.4, bold=True), total.label)
    sheet.write(width - left, y, look.pen(1.4, bold=True), total.value, align="right")
    y += 2 * sheet.pitch
    pairs = [*told.paid, *told.meta, *told.when]
    y = inline(sheet, left, y, pairs) if rng.random() < 0.6 else rows(sheet, left, y, pairs, bold=True)
    y = lines(sheet, left, y + 0.5 * sheet.pitch, told.place)
    _end(sheet, inline(sheet, left, y, told.reach))


def slip(sheet: Sheet, manner: Manner) -> None:
    """Labels and values only above the goods, all in two columns."""
    told = _Receipt(sheet.rng, manner)
    look, (width, _), left = sheet.look, sheet.size, sheet.margin
    sheet.write(width / 2, sheet.margin, look.pen(1.3, bold=True), told.store, align="centre")
    y = _head(sheet, sheet.margin + 1.8 * sheet.pitch, told)
    y = rows(sheet, left, y + 0.6 * sheet.pitch, [*told.when, *told.meta], width - left) + 0.6 * sheet.pitch
    y = list_items(sheet, left, y, width - 2 * left, told.deal, Listing(("quantity", "name", "amount"), "open"))
    y = rows(sheet, left, y + 0.6 * sheet.pitch, [*told.sums, *told.paid], width - left)
    _end(sheet, y)


def strip(sheet: Sheet, manner: Manner) -> None:
    """A framed list with prices for one, sums written out as lines, the shop below everything. Never trained on."""
    told = _Receipt(sheet.rng, manner)
    look, (width, _), left = sheet.look, sheet.size, sheet.margin
    y = inline(sheet, left, sheet.margin, [*told.meta, *told.when]) + sheet.pitch
    columns = ("name", "unit", "quantity", "amount")
    y = list_items(sheet, left, y, width - 2 * left, told.deal, Listing(columns, "framed")) + sheet.pitch
    for pair in [*told.sums, *told.paid]:
        sheet.write(width - left, y, look.pen(), f"{pair.label}:", pair.value, align="right")
        y += sheet.pitch
    sheet.write(width / 2, y + 0.6 * sheet.pitch, look.pen(1.2, bold=True), told.store, align="centre")
    _end(sheet, _head(sheet, y + 2.2 * sheet.pitch, told))


def _head(sheet: Sheet, y: float, told: _Receipt) -> float:
    """Write in the middle where the shop is."""
    y = lines(sheet, sheet.size[0] / 2, y, told.place, "centre")
    for pair in told.reach:
        sheet.write(sheet.size[0] / 2, y, sheet.look.pen(), f"{pair.label}:", pair.value, align="centre")
        y += sheet.pitch
    return y


def _goods(sheet: Sheet, y: float, told: _Receipt) -> float:
    """Write a line for each of the goods: perhaps how many, what, and at the right the price."""
    counted = sheet.rng.choice(("", "x", " x", "none"))
    pen, right = sheet.look.pen(), sheet.size[0] - sheet.margin
    for item in told.deal.items:
        sheet.write(sheet.margin, y, pen, *_counted(item, counted), item.name)
        sheet.write(right, y, pen, Said(told.deal.money(item.amount), "item_price", about(item)), align="right")
        y += sheet.pitch
    return y


def _counted(item: Item, manner: str) -> list[Text]:
    """Return how many there are: "2", "2x" or "2 x", or nothing."""
    if manner == "none":
        return []
    if manner == "x":  # the sign is one word with the number, so that nobody asks for it
        return [f"{item.quantity}x"]
    count = Said(str(item.quantity), "item_quantity", about(item))
    return [count, "x"] if manner else [count]


def _end(sheet: Sheet, y: float) -> None:
    """Write a kind word."""
    if sheet.rng.random() < 0.7:
        words = sheet.rng.choice(THANKS)
        sheet.write(sheet.size[0] / 2, y + 0.8 * sheet.pitch, sheet.look.pen(), words, align="centre")


ARRANGEMENTS = (till, cafe, slip)
UNSEEN = (strip,)
