"""Puts numbers that were said in passing into a call: "4 versions of a castle", "768 by 512", "the 5 best passages".

A small model likes to leave out what a tool can do without. Knows schemas and words, no tool by name.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from assistant.nearness import similarities
from assistant.types import ToolSpec

NAMES = "two three four five six seven eight nine ten"
WORDS = {name: value for value, name in enumerate(NAMES.split(), 2)}
NUMBER = re.compile(rf"(?<![\w.,:/€$£-])(\d{{1,6}}|{'|'.join(WORDS)})(?![\w.,:/%-]*\d|\w)", re.IGNORECASE)
SIZE = re.compile(r"\b(\d{2,5})\s*(?:x|×|by)\s*(\d{2,5})\b", re.IGNORECASE)
SIDES = ("width", "height")
FOLLOWING = re.compile(r"(?:\W+[^\W\d]+){0,2}")  # words that tell what a number counts
MEANT_FROM = 0.3  # cosine similarity of such words to what a parameter is for


def passing_numbers(tool: ToolSpec, arguments: Mapping[str, Any], said: str) -> dict[str, int]:
    """Return the parameters without a value that numbers in `said` are plainly for, with these numbers."""
    free = {
        name: node
        for name, schema in tool.parameters.get("properties", {}).items()
        if name not in arguments and (node := _integer(schema)) is not None
    }
    found: dict[str, int] = {}
    size = SIZE.search(said)
    if size and all(name in free for name in SIDES):
        found |= {name: int(value) for name, value in zip(SIDES, size.groups(), strict=True)}
        said = said[: size.start()] + said[size.end() :]
    for value, phrase in _unused(said, arguments):
        fitting = [
            name
            for name, node in free.items()
            if name not in found and node.get("minimum", value) <= value <= node.get("maximum", value)
        ]
        told = similarities(phrase, [f"{name}: {free[name].get('description', '')}" for name in fitting])
        near, best = max(zip(told, fitting, strict=True), key=lambda pair: pair[0], default=(-1.0, ""))
        if near >= MEANT_FROM:
            found[best] = value
    return found


def _unused(said: str, arguments: Mapping[str, Any]) -> Iterator[tuple[int, str]]:
    """Yield numbers that are in no argument, each with the words around it."""
    texts = " ".join(str(value) for value in arguments.values()).lower()
    for match in NUMBER.finditer(said):
        number = match[1].lower()
        if re.search(rf"\b{number}\b", texts):
            continue
        before = said[: match.start()].split()[-1:]
        after = FOLLOWING.match(said, match.end())
        yield WORDS.get(number) or int(number), " ".join([*before, match[1], *(after[0].split() if after else ())])


def _integer(schema: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """Return the part of a schema that takes an integer, with the description of the whole; None if none does."""
    parts = [part for part in (schema, *schema.get("anyOf", ())) if part.get("type") == "integer"]
    return {**parts[0], "description": schema.get("description", "")} if parts else None
