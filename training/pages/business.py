"""What invoices, receipts and delivery notes tell: who, when, which goods, and amounts that add up. Knows no layout."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta

from training.pages.blocks import Pair
from training.pages.lexicon import draw_label, keys
from training.pages.sheet import Said
from training.pages.values import Manner, cents, clock, draw, goods, money, person, read, write_day
from training.pages.values import day as draw_day

PAYMENTS = ("Visa", "Mastercard", "Cash", "Debit card", "Maestro", "Gift card", "Bank transfer", "Apple Pay", "PayPal")
TERMS = ("14 days net", "30 days net", "Net 30", "Net 15", "10 days 2%", "Due on receipt", "60 days", "21 days net")
TAXES = (0.05, 0.08, 0.19, 0.2, 0.21, 0.25)
INITIALS = {  # what numbers may begin with
    "invoice_number": "INV", "order_number": "PO", "customer_number": "C", "receipt_number": "R", "reference": "REF",
}  # fmt: skip
DRAWN = {  # what kind of value a key has where it is nothing that must fit others
    "bank_account": "account", "cashier": "first", "contact": "person", "email": "email", "phone": "phone",
    "register": "count", "street": "street", "table_number": "count", "website": "website",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Item:
    """One of the goods, with its quantity and its price for one and for all, in cents."""

    name: str
    quantity: int
    unit: int

    @property
    def amount(self) -> int:
        """The price of all."""
        return self.quantity * self.unit


class Deal:
    """A purchase whose parts are written down as they are asked for; no label is used twice."""

    def __init__(self, rng: random.Random, manner: Manner, items: Sequence[Item], sent: bool) -> None:
        """Let `items` be what is bought; if they are `sent`, that may have its price."""
        self._rng, self._manner = rng, manner
        self._taken: set[str] = set()
        self._day = draw_day(rng)
        self._sums = _sums(rng, items, sent)
        self.items = tuple(items)

    def pairs(self, *names: str) -> list[Pair]:
        """Return values with labels for the keys `names`."""
        return [self.pair(name) for name in names]

    def pair(self, name: str) -> Pair:
        """Return the value of a key with a label."""
        label = draw_label(self._rng, keys()[name], self._taken)
        self._taken.add(label.lower())
        return Pair(label, Said(self._value(name), name, {"label": label}))

    def some(self, *names: str) -> list[str]:
        """Return some of the names, in their order."""
        return [name for name in names if self._rng.random() < 0.6]

    def sums(self) -> list[str]:
        """Return the keys of the amounts that lead to the total, with it at the end."""
        return [name for name in ("subtotal", "discount", "shipping", "tax", "total") if name in self._sums]

    def money(self, amount: int) -> str:
        """Write an amount in cents."""
        return money(amount, self._manner)

    def _value(self, name: str) -> str:
        rng = self._rng
        if name in self._sums:
            return self.money(self._sums[name])
        if name in INITIALS:
            return draw(rng, f"number:{INITIALS[name]}", self._manner)
        if name in DRAWN:
            return draw(rng, DRAWN[name], self._manner)
        if name.endswith("date"):
            return write_day(self._when(name), self._manner)
        if name == "time":
            return clock(rng, self._manner)
        return rng.choice(PAYMENTS if name == "payment" else TERMS)

    def _when(self, name: str) -> date:
        later = {"due_date": (7, 61), "delivery_date": (1, 7)}
        return self._day + timedelta(self._rng.randrange(*later[name]) if name in later else 0)


def _sums(rng: random.Random, items: Sequence[Item], sent: bool) -> dict[str, int]:
    """Add up; a subtotal that is the total as well is left out."""
    net = sum(item.amount for item in items)
    sums = {"subtotal": net}
    if rng.random() < 0.3:
        sums["discount"] = net * rng.choice((5, 8, 10, 15)) // 100
    if sent and rng.random() < 0.4:
        sums["shipping"] = rng.choice((395, 490, 599, 750, 1250, 1900))
    if rng.random() < 0.8:
        sums["tax"] = round(net * rng.choice(TAXES))
    sums["total"] = net - sums.get("discount", 0) + sums.get("shipping", 0) + sums.get("tax", 0)
    given = sums["total"] // 1000 * 1000 + rng.choice((1000, 2000, 5000))
    sums |= {"cash": given, "change": given - sums["total"]}
    if sums["total"] == net:
        del sums["subtotal"]
    return sums


def draw_items(rng: random.Random, count: int, most: int, quality: str = "colour", thing: str = "goods") -> list[Item]:
    """Draw goods of up to about `most` cents."""
    names = goods(rng, count, quality, thing)
    return [Item(name, rng.choice((1, 1, 2, 2, 3, 4, 5, 6, 8, 10, 12)), cents(rng, most)) for name in names]


def draw_services(rng: random.Random, count: int) -> list[Item]:
    """Draw work to be paid for."""
    names = rng.sample(list(read("names")["work"]), count)
    return [Item(name, rng.randrange(1, 13), cents(rng, 20_000)) for name in names]


def address(rng: random.Random, manner: Manner) -> list[Said]:
    """Draw the lines of an address below a name; nobody asks for them."""
    place = " ".join(rng.sample([draw(rng, "postcode", manner), draw(rng, "city", manner)], 2))
    return [Said(text, "address") for text in (draw(rng, "street", manner), place)]


def customer(rng: random.Random, manner: Manner) -> str:
    """Draw who buys."""
    return person(rng) if rng.random() < 0.6 else draw(rng, "company", manner)


def about(item: Item, number: int | None = None) -> dict[str, str]:
    """Return what a question may call one of the goods; `number` is set where the page numbers them."""
    last = item.name.split()[-1]
    named = {"item": item.name, "items": plural(item.name), "short": last, "shorts": plural(last)}
    return named | ({"n": str(number)} if number else {})


def plural(name: str) -> str:
    """Return the plural of a thing, as far as the simple rules go."""
    if name.endswith(("sh", "ch", "x")):
        return f"{name}es"
    if name.endswith("y") and name[-2:-1] not in "aeiou":
        return f"{name[:-1]}ies"
    return name if name.endswith("s") else f"{name}s"
