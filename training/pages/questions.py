"""Asks about a page, in many ways, only what the page answers in exactly one place, or nowhere. Knows no layout."""

from __future__ import annotations

import random
import re
from collections.abc import Mapping, Sequence
from functools import cache

from training.pages.lexicon import Key, invent_label, keys, phrases
from training.pages.page import Fact, Page, Question
from training.pages.values import goods, invent, person, read

ABSENT = 0.12  # the share of questions that the page does not answer
SHARED = 0.35  # the share of questions put in a way that many keys share, where there is one
SLOT = "{"
ACRONYM = re.compile(r"[A-Z]{2,4}|.{0,3}\d")  # words of labels that keep their capitals


def ask(page: Page, rng: random.Random, count: int, held: bool = False) -> list[Question]:
    """Ask about a page in phrasings that training has, or, if `held`, in those kept from it."""
    return [asked for _ in range(count) if (asked := _ask(page, rng, held)) is not None]


def _ask(page: Page, rng: random.Random, held: bool) -> Question | None:
    """Ask once; every key of the page is as likely as any other, however many facts it has."""
    if rng.random() < ABSENT:
        return _ask_absent(page, rng, held)
    key = rng.choice(list(dict.fromkeys(fact.key for fact in page.facts if fact.key in keys())))
    fact = rng.choice([fact for fact in page.facts if fact.key == key])
    own, shared = _ways(page, fact, held), _shared(fact.about, held)
    ways = shared if shared and rng.random() < SHARED else own or shared
    return Question(_fill(rng.choice(ways), fact.about, rng), key, fact, held) if ways else None


def _ways(page: Page, fact: Fact, held: bool) -> Sequence[str]:
    """Return the phrasings of its key that ask for this fact and no other of the page."""
    key = keys()[fact.key]
    own = _own(key, held)
    others = [other for other in page.facts if (other.first, other.last) != (fact.first, fact.last)]
    if any(other.key == fact.key for other in others):
        own = tuple(way for way in own if SLOT in way)
    if not held and key.alone and not any(_sort(other) == key.sort for other in others):
        return (*own, *key.alone)
    return own


def _own(key: Key, held: bool) -> tuple[str, ...]:
    return key.held if held else key.ask


def _shared(about: Mapping[str, str], held: bool) -> Sequence[str]:
    """Return the phrasings that do for everything with a label, or for every cell of a table."""
    for slot, name in (("label", "label"), ("column", "cell")):
        if slot in about:
            return phrases(name)[held]
    return ()


def _sort(fact: Fact) -> str:
    return keys()[fact.key].sort if fact.key in keys() else fact.key


def _ask_absent(page: Page, rng: random.Random, held: bool) -> Question | None:
    """Ask for what is not there: another fact, another row of the table, or a label that no page has."""
    cells = [fact for fact in page.facts if {"row", "item"} & set(fact.about) and fact.key in keys()]
    if cells and rng.random() < 0.4:
        fact = rng.choice(cells)
        about = _another(page, fact, rng)
        ways = [*_own(keys()[fact.key], held), *_shared(about, held)]
        return Question(_fill(rng.choice(ways), about, rng), fact.key, None, held) if ways else None
    if rng.random() < 0.15:
        label = invent_label(rng)
        if label.lower() in _text(page):
            return None
        return Question(_fill(rng.choice(_shared({"label": label}, held)), {"label": label}, rng), "field", None, held)
    key = rng.choice(_absentees())
    way = rng.choice(_own(key, held))
    if not _is_absent(key, page) or any(_bare(way) in _said(fact.key) for fact in page.facts):
        return None
    return Question(_typed(way, rng), key.name, None, held)


@cache
def _said(name: str) -> frozenset[str]:
    """Return all own phrasings of a key, in small letters."""
    key = keys().get(name)
    return frozenset(_bare(way) for way in (*key.ask, *key.alone, *key.held)) if key else frozenset()


def _bare(way: str) -> str:
    return way.lower().rstrip("?. ")


@cache
def _absentees() -> tuple[Key, ...]:
    """Return the keys that can be asked for without naming a row."""
    return tuple(key for key in keys().values() if key.ask and not any("{" in way for way in (*key.ask, *key.held)))


def _is_absent(key: Key, page: Page) -> bool:
    """Tell whether the page says nothing that could be taken for what the key is, and has no such label."""
    near: set[str] = {key.name, *key.near}
    there = {name for fact in page.facts for name in (fact.key, _sort(fact))}
    labels = {fact.about["label"].lower().rstrip(":. ") for fact in page.facts if "label" in fact.about}
    return not near & there and not labels & {label.lower().rstrip(":. ") for label in key.labels}


def _another(page: Page, fact: Fact, rng: random.Random) -> Mapping[str, str]:
    """Return what a question would name for a row that the page does not have."""
    if fact.key.startswith("nth"):
        last = max(int(other.about["n"]) for other in page.facts if "n" in other.about)
        return {**fact.about, "n": str(last + rng.randrange(1, 5))}
    row = fact.about.get("row", "")
    there = set(_text(page).split())
    while True:
        name = _like(row, rng)
        if not there & set(name.lower().split()):
            break
    if row:
        return {**fact.about, "row": name}
    return {"item": name, "items": f"{name}s", "short": name, "shorts": f"{name}s"}


def _like(row: str, rng: random.Random) -> str:
    """Draw a name like that of a row: of a person, of a place or of a thing."""
    if row.istitle():
        return person(rng) if " " in row else invent(rng)
    return goods(rng, 1, "colour", rng.choice(("goods", "dish")))[0]


def _text(page: Page) -> str:
    return " ".join(word.text for word in page.words).lower()


def _fill(way: str, about: Mapping[str, str], rng: random.Random) -> str:
    """Put the names of rows, columns and labels into a phrasing, as people would write them."""
    slots = dict(about)
    if "item" in slots:
        whole = rng.random() < 0.7
        for slot, short in (("item", "short"), ("items", "shorts")):
            slots[slot] = (slots[slot] if whole else slots[short]).lower()
    if "label" in slots:
        slots["label"] = _label(slots["label"], rng)
    if "column" in slots:
        slots["column"] = _label(slots["column"], rng)
        slots["row"] = _row(slots["row"], rng)
    return _typed(way.format(**slots), rng)


def _label(label: str, rng: random.Random) -> str:
    """Write a label in a sentence: small letters, but for abbreviations and now and then."""
    label = label.strip(":.#? ")
    if rng.random() < 0.15:
        return label
    return " ".join(word if ACRONYM.fullmatch(word) else word.lower() for word in label.split())


def _row(row: str, rng: random.Random) -> str:
    """Write the name of a row in a sentence: things in small letters and mostly with an article."""
    if row.istitle() or not row[0].isupper():
        return row
    return rng.choice(("the ", "the ", "")) + row.lower()


def _typed(text: str, rng: random.Random) -> str:
    """Change a question as people who type do."""
    text = f"{text[0].upper()}{text[1:]}" if text[0].islower() and rng.random() < 0.2 else text
    if rng.random() < 0.2:
        text = text.lower().rstrip("?. ")
    elif rng.random() < 0.08:
        text = text.rstrip("?. ")
    if rng.random() < 0.03:
        text = text.upper()
    if rng.random() < 0.06:
        manner = read("questions")["manner"]
        if rng.random() < 0.5:
            text = rng.choice(manner["before"]) + text
        else:
            text = text.rstrip("?. ") + rng.choice(manner["after"])
    return text
