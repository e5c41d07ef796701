"""Lists of goods as invoices, receipts and delivery notes have them. Knows what is bought, and no page."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass

from training.pages.blocks import Column, Ruling, grid
from training.pages.business import Deal, Item, about
from training.pages.lexicon import keys
from training.pages.sheet import Said, Sheet, Text

NAMES = {"name": "nth_name", "quantity": "item_quantity", "unit": "item_unit", "amount": "item_amount"}
NUMBERED = ("No.", "#", "Pos.", "Item", "Line")
RIGHT = ("quantity", "unit", "amount")


@dataclass(frozen=True, slots=True)
class Listing:
    """Which columns a list has, in their order: "number", "name", "quantity", "unit", "amount"."""

    columns: tuple[str, ...]
    ruling: Ruling


def draw_listing(rng: random.Random, ruling: Sequence[Ruling]) -> Listing:
    """Draw the columns of an invoice."""
    columns = ["name", "quantity", "unit", "amount"]
    if rng.random() < 0.3:
        columns.remove("unit")
        if rng.random() < 0.4:
            columns.remove("quantity")
    elif rng.random() < 0.3:
        columns = ["quantity", "name", "unit", "amount"]
    if rng.random() < 0.55:
        columns.insert(0, "number")
    return Listing(tuple(columns), rng.choice(ruling))


def list_items(sheet: Sheet, x: float, y: float, width: float, deal: Deal, listing: Listing) -> float:
    """Write the list; return the height at which it ends."""
    heads = [_head(sheet.rng, name) for name in listing.columns]
    columns = [Column(head, name in RIGHT) for head, name in zip(heads, listing.columns, strict=True)]
    cells = [
        [cell(deal, item, name, listing.columns, place) for name in listing.columns]
        for place, item in enumerate(deal.items, 1)
    ]
    return grid(sheet, x, y, width, columns, cells, listing.ruling)


def cell(deal: Deal, item: Item, name: str, columns: Sequence[str], place: int) -> Text:
    """Return what stands in a column for one of the goods, the `place`-th."""
    numbered = place if "number" in columns else None
    named = about(item, numbered)
    if name == "number":
        return str(place)
    if name == "name":
        return Said(item.name, "nth_name", named) if numbered else item.name
    if name == "quantity":
        return Said(str(item.quantity), "item_quantity", named)
    if name == "unit":
        return Said(deal.money(item.unit), "item_unit", named)
    if "unit" in columns:
        return Said(deal.money(item.amount), "item_amount", named)
    return Said(deal.money(item.amount), "item_price", named, also="nth_price" if numbered else "")


def _head(rng: random.Random, name: str) -> str:
    return rng.choice(NUMBERED if name == "number" else keys()[NAMES[name]].labels)
