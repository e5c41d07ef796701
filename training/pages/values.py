"""Values that pages are filled with, ever new ones: names, addresses, amounts, dates, numbers. Knows no page."""

from __future__ import annotations

import random
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from functools import cache
from pathlib import Path
from typing import Any

DATA = Path(__file__).parent / "data"
FIRST_DAY, DAYS = date(2019, 1, 1), 3650
INVENTED = 0.2  # the share of names made of syllables: no list of names is long enough
MONEY = (  # a pattern, and whether thousands are parted as on the continent
    ("${}", False), ("£{}", False), ("€{}", False), ("{} EUR", True), ("{} €", True), ("EUR {}", True),
    ("{}", False), ("{} USD", False), ("CHF {}", False), ("${}", False), ("£{}", False),
)  # fmt: skip
DAY_FORMS = ("{d} {month} {y}", "{d:02}/{m:02}/{y}", "{y}-{m:02}-{d:02}", "{mon} {d}, {y}", "{month} {d}, {y}",
             "{d}.{m}.{y}", "{d:02}-{mon}-{y}", "{m:02}/{d:02}/{y}", "{d:02}.{m:02}.{y}", "{d} {mon} {y}")  # fmt: skip
PHONES = ("+44 {} {}", "+49 {}-{}", "({}) {}", "0{} {}", "{}-{}", "+1 {} {}", "{} {}", "+31 {}{}")


@dataclass(frozen=True, slots=True)
class Manner:
    """How a page writes amounts, days and times."""

    money: int
    day: int
    clock: int
    whole: bool
    """Whether amounts are without cents."""


def draw_manner(rng: random.Random) -> Manner:
    """Draw one."""
    return Manner(rng.randrange(len(MONEY)), rng.randrange(len(DAY_FORMS)), rng.randrange(4), rng.random() < 0.08)


@cache
def read(file: str) -> Mapping[str, Any]:
    """Read `data/FILE.toml`; a text of many words becomes a list."""
    table = tomllib.loads((DATA / f"{file}.toml").read_text())
    return {key: value.split() if isinstance(value, str) else value for key, value in table.items()}


def pick(rng: random.Random, key: str) -> str:
    """Draw a word of `names.toml`."""
    return str(rng.choice(read("names")[key]))


def invent(rng: random.Random) -> str:
    """Make up a word that can be said."""
    parts = ["onset", "vowel", "coda"] * rng.choice((2, 2, 3))
    return "".join(pick(rng, part) for part in parts if part != "coda" or rng.random() < 0.8).capitalize()


def name_of(rng: random.Random, key: str) -> str:
    """Draw a word of `names.toml`, or invent one."""
    return invent(rng) if rng.random() < INVENTED else pick(rng, key)


def person(rng: random.Random) -> str:
    """Draw a full name."""
    title = rng.choice(("Mr ", "Ms ", "Dr ", "Mrs ", "Prof. ")) if rng.random() < 0.12 else ""
    middle = f" {rng.choice('ABCDEFGHJKLMPRSTW')}." if rng.random() < 0.1 else ""
    return f"{title}{pick(rng, 'first')}{middle} {name_of(rng, 'last')}"


def company(rng: random.Random) -> str:
    """Draw the name of a company."""
    if rng.random() < 0.2:
        return f"{name_of(rng, 'last')} & {pick(rng, 'last')} {pick(rng, 'trade')}"
    return f"{name_of(rng, 'business')} {pick(rng, 'trade')} {pick(rng, 'legal')}".strip()


def shop(rng: random.Random) -> str:
    """Draw the name of a shop."""
    owner = rng.choice(("business", "last", "first", "street"))
    return f"{name_of(rng, owner)}{rng.choice(('', '', chr(39) + 's'))} {pick(rng, 'shop')}"


def street(rng: random.Random) -> str:
    """Draw a street with a number."""
    named, number = f"{name_of(rng, 'street')} {pick(rng, 'road')}", rng.randrange(1, 220)
    return f"{named} {number}" if rng.random() < 0.3 else f"{number} {named}"


def postcode(rng: random.Random) -> str:
    """Draw a postal code."""
    letters = "".join(rng.choices("ABCDEGHKLMNPRSTW", k=4))
    forms = (f"{rng.randrange(1000, 10000)}", f"{rng.randrange(10000, 100000)}",
             f"{letters[:2]}{rng.randrange(1, 30)} {rng.randrange(1, 10)}{letters[2:]}")  # fmt: skip
    return rng.choice(forms)


def city(rng: random.Random) -> str:
    """Draw a city."""
    return name_of(rng, "city")


def phone(rng: random.Random) -> str:
    """Draw a telephone number."""
    return rng.choice(PHONES).format(rng.randrange(20, 990), f"{rng.randrange(100, 1000)} {rng.randrange(1000, 10000)}")


def email(rng: random.Random) -> str:
    """Draw an electronic address."""
    user = rng.choice(("info", "office", "hello", "service", "sales", pick(rng, "first").lower()))
    return f"{user}@{name_of(rng, 'business').lower()}.{rng.choice(('com', 'org', 'net', 'de', 'co.uk', 'eu'))}"


def website(rng: random.Random) -> str:
    """Draw the address of a site."""
    name = name_of(rng, "business").lower()
    return f"www.{name}{rng.choice(('', '-shop', 'online'))}.{rng.choice(('com', 'net', 'eu'))}"


def day(rng: random.Random) -> date:
    """Draw a day."""
    return FIRST_DAY + timedelta(rng.randrange(DAYS))


def write_day(when: date, manner: Manner) -> str:
    """Write a day as a page does."""
    month = read("names")["month"][when.month - 1]
    return DAY_FORMS[manner.day].format(d=when.day, m=when.month, y=when.year, month=month, mon=month[:3])


def clock(rng: random.Random, manner: Manner) -> str:
    """Draw a time of the day."""
    hour, minute = rng.randrange(24), rng.choice((0, 5, 10, 15, 20, 30, 45, rng.randrange(60)))
    half = "AM" if hour < 12 else "PM"
    short = f"{hour % 12 or 12}:{minute:02}"
    return (f"{hour:02}:{minute:02}", f"{short} {half}", f"{hour}.{minute:02}", f"{short} {half.lower()}")[manner.clock]


def money(cents: int, manner: Manner) -> str:
    """Write an amount as a page does."""
    pattern, continental = MONEY[manner.money]
    text = f"{cents / 100:,.0f}" if manner.whole else f"{cents / 100:,.2f}"
    return pattern.format(text.translate({44: ".", 46: ","}) if continental else text)


def cents(rng: random.Random, most: int) -> int:
    """Draw an amount below about `most` cents, small ones as often as large ones, and often a price like 4.95."""
    amount = int(100 + most ** rng.random())
    return amount - amount % 100 + rng.choice((95, 99, 50, 0)) if rng.random() < 0.4 else amount


def digits(rng: random.Random, count: int) -> str:
    """Draw so many digits."""
    return "".join(rng.choices("0123456789", k=count))


def number(rng: random.Random, prefix: str) -> str:
    """Draw a number such as an invoice has; `prefix` are letters that fit it."""
    year, short, long = rng.randrange(2019, 2029), digits(rng, rng.choice((3, 4))), digits(rng, rng.choice((5, 6, 8)))
    letter = rng.choice("ABCDEFGHKLMNPRSTWXZ")
    forms = (
        f"{prefix}-{year}-{short}", f"{prefix}-{long}", f"{prefix}{long}", f"{year}/{short}", long, f"#{long}",
        f"{letter}-{short}-{digits(rng, 2)}", f"{letter}{long}", f"{year}-{long}", f"{short}/{digits(rng, 2)}",
    )  # fmt: skip
    return rng.choice(forms)


def account(rng: random.Random) -> str:
    """Draw the number of a bank account."""
    return f"{rng.choice(('DE', 'GB', 'NL', 'FR', 'AT'))}{digits(rng, 2)} {' '.join(digits(rng, 4) for _ in range(4))}"


def measure_of(rng: random.Random) -> str:
    """Draw a quantity with a unit, or a share."""
    unit = rng.choice(("kg", "cm", "mm", "m", "%", "l", "km", "V", "W", "bar", "g", "ml"))
    return f"{rng.randrange(1, 999)}{rng.choice(('', '', '.5'))}{rng.choice((' ', ''))}{unit}"


def code(rng: random.Random) -> str:
    """Draw a short code."""
    letters = "".join(rng.choices("ABCDEFGHKLMNPRSTWXZ", k=2))
    return rng.choice(
        (f"{letters}{digits(rng, 2)}", f"{letters[0]}{digits(rng, 3)}", f"{letters}-{digits(rng, 3)}", digits(rng, 4))
    )


def draw(rng: random.Random, kind: str, manner: Manner) -> str:
    """Draw a value of a kind that `data/` names; "number:K" is a number with the letter K."""
    if kind.startswith("number:"):
        return number(rng, kind.removeprefix("number:"))
    return KINDS[kind](rng, manner)


KINDS: Mapping[str, Callable[[random.Random, Manner], str]] = {
    "account": lambda rng, manner: account(rng),
    "city": lambda rng, manner: city(rng),
    "clock": clock,
    "code": lambda rng, manner: code(rng),
    "company": lambda rng, manner: company(rng),
    "count": lambda rng, manner: str(rng.randrange(0, 60)),
    "day": lambda rng, manner: write_day(day(rng), manner),
    "email": lambda rng, manner: email(rng),
    "energy": lambda rng, manner: f"{rng.randrange(40, 1200)}{rng.choice(('', ' kcal'))}",
    "first": lambda rng, manner: pick(rng, "first"),
    "hours": lambda rng, manner: f"{rng.randrange(4, 42)}{rng.choice(('', ' h', '.5'))}",
    "last": lambda rng, manner: name_of(rng, "last"),
    "measure": lambda rng, manner: measure_of(rng),
    "money": lambda rng, manner: money(cents(rng, 500_000), manner),
    "person": lambda rng, manner: person(rng),
    "phone": lambda rng, manner: phone(rng),
    "price": lambda rng, manner: money(cents(rng, 8_000), manner),
    "postcode": lambda rng, manner: postcode(rng),
    "street": lambda rng, manner: street(rng),
    "website": lambda rng, manner: website(rng),
    "weight": lambda rng, manner: f"{rng.randrange(1, 90)}{rng.choice(('', '.5', '.2'))} {rng.choice(('kg', 'g'))}",
    "word": lambda rng, manner: invent(rng),
}
FREE = ("code", "count", "measure", "measure", "word", "day", "code", "city")  # what stands under a label of no key


def goods(rng: random.Random, count: int, quality: str, thing: str) -> list[str]:
    """Draw different goods: words of the lists `quality` and `thing`; no two are the same thing."""
    names: dict[str, str] = {}
    while len(names) < count:
        last = name_of(rng, thing)
        names.setdefault(last.lower(), f"{pick(rng, quality)} {last}" if rng.random() < 0.7 else last)
    return [name.capitalize() for name in names.values()]
