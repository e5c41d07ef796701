"""Delivery notes: a kind of page that is never trained on, though each of its facts is known from another kind."""

from __future__ import annotations

from training.pages.blocks import Pair, lines, rows, stacked
from training.pages.business import Deal, address, customer, draw_items
from training.pages.items import Listing, list_items
from training.pages.lexicon import draw_label, keys
from training.pages.sheet import Said, Sheet
from training.pages.values import Manner, company

FACTS = ("order_number", "delivery_date", "customer_number", "contact", "reference")


def note(sheet: Sheet, manner: Manner) -> None:
    """Frames with whom it is to and what it belongs to, goods without prices, the sender at the bottom."""
    rng, look, (width, _), left = sheet.rng, sheet.look, sheet.size, sheet.margin
    deal = Deal(rng, manner, draw_items(rng, rng.randrange(2, 8), 9_000), sent=True)
    inner, y = width - 2 * left, sheet.margin
    sheet.write(width - left, y, look.pen(1.6, bold=True), "DELIVERY NOTE", align="right")
    y += 2.6 * sheet.pitch
    sheet.write(left, y, look.pen(0.9, bold=True), draw_label(rng, keys()["recipient"], ()))
    y = lines(sheet, left, y + sheet.pitch, [Said(customer(rng, manner), "recipient"), *address(rng, manner)])
    pairs = deal.pairs(*deal.some(*FACTS), "date" if rng.random() < 0.3 else "time")
    y = stacked(sheet, left, y + sheet.pitch, inner, 2, pairs, framed=True)
    listing = Listing(("name", "quantity") if rng.random() < 0.5 else ("number", "quantity", "name"), "ruled")
    y = list_items(sheet, left, y + sheet.pitch, inner, deal, listing) + sheet.pitch
    sender = Pair(draw_label(rng, keys()["sender"], ()), Said(company(rng), "sender"))
    y = rows(sheet, left, y, [sender, *deal.pairs("phone", "email")], bold=True)
    sheet.write(left, y + sheet.pitch, look.pen(0.9), "Signature:")


ARRANGEMENTS = ()
UNSEEN = (note,)
