"""The things a person asks for, one by one, and how many there are of each, in English. Knows no model."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping

from assistant.errors import ToolError

SEPARATORS = re.compile(r"[,;/&\n]|\b(?:and|or)\b")
LEADING = re.compile(
    r"^(?:(?:all|an?|any|both|each|every|her|his|my|our|some|the|their|your|one|two|three|four|five|six|\d+)\s+)+"
)
TAIL = re.compile(r"\s+(?:at|in|of|on|with)\s.*$")  # "cup of tea" is counted by its cup
ODD = {
    "person": "people",
    "child": "children",
    "man": "men",
    "woman": "women",
    "foot": "feet",
    "tooth": "teeth",
    "goose": "geese",
    "mouse": "mice",
    "knife": "knives",
    "leaf": "leaves",
    "loaf": "loaves",
    "shelf": "shelves",
    "wolf": "wolves",
    "bus": "buses",
    "potato": "potatoes",
    "tomato": "tomatoes",
    "cookie": "cookies",
    "movie": "movies",
    "pie": "pies",
    "tie": "ties",
}
SAME = {"canvas", "clothes", "deer", "fish", "gas", "glasses", "headphones", "jeans", "lens", "pants", "scissors"}
SAME |= {"series", "sheep", "shorts", "sunglasses", "trousers"}
SINGLE = {several: one for one, several in ODD.items()}


def named_things(what: str) -> list[str]:
    """Return the things named in `what`, in order, each once and in the singular: "2 dogs and a cat" -> dog, cat."""
    parts = (LEADING.sub("", part.strip(" .!?\"'")) for part in SEPARATORS.split(what.lower()))
    things = list(dict.fromkeys(_in_last_word(part, _singular) for part in map(str.strip, parts) if part))
    if not things:
        raise ToolError("Nothing to look for was named. Name one or more things, such as: dog, red cup.")
    return things


def counted(counts: Mapping[str, int]) -> str:
    """Return "2 dogs, 1 cat" for how many there are of each thing; what there is none of is left out."""
    return ", ".join(
        f"{count} {thing if count == 1 else _in_last_word(thing, _plural)}" for thing, count in counts.items() if count
    )


def missing(counts: Mapping[str, int]) -> str:
    """Return "No dog or cat was found." for the things there is none of; empty where there is some of each."""
    absent = [thing for thing, count in counts.items() if not count]
    return f"No {' or '.join(absent)} was found." if absent else ""


def _in_last_word(thing: str, change: Callable[[str], str]) -> str:
    tail = TAIL.search(thing)
    head, rest = (thing[: tail.start()], tail.group()) if tail else (thing, "")
    before, space, word = head.rpartition(" ")
    return f"{before}{space}{change(word)}{rest}"


def _singular(word: str) -> str:
    if word in SINGLE:
        return SINGLE[word]
    if word in SAME or not word.endswith("s") or word.endswith(("ss", "us", "is")) or len(word) < 4:
        return word
    if word.endswith("ies"):
        return f"{word[:-3]}y"
    return word[:-2] if word.endswith(("sses", "shes", "ches", "xes", "zzes")) else word[:-1]


def _plural(word: str) -> str:
    if word in ODD or word in SAME:
        return ODD.get(word, word)
    if re.search(r"[^aeiou]y$", word):
        return f"{word[:-1]}ies"
    return f"{word}es" if word.endswith(("s", "sh", "ch", "x", "z")) else f"{word}s"
