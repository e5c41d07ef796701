"""Reads JSON as models write it: single quotes, Python's words, trailing commas, no last brackets. Knows no tool.

It never guesses: what could be read in two ways is refused, with the place.
"""

from __future__ import annotations

import ast
import json
import re
from typing import Any

SPACE = re.compile(r"\s*")
DOUBLE = re.compile(r'"([^"\\]*(?:\\.[^"\\]*)*)"', re.S)
# an apostrophe inside would end the string too early, so only what can follow a string may follow
SINGLE = re.compile(r"'([^'\\]*(?:\\.[^'\\]*)*)'(?=\s*(?:[:,}\]]|$))", re.S)
# at the end of the text a number may be half of one
NUMBER = re.compile(r"-?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?(?=[\s,}\]])")
WORD = re.compile(r"(?:true|false|null|True|False|None)(?![\w.])")
CLOSED = re.compile(r"\Z|```|</|<\|")  # the end of the text, of a fence or of a tag: what is open before it ends there
WORDS = {"true": True, "True": True, "false": False, "False": False, "null": None, "None": None}


class Unreadable(ValueError):
    """What stands at `at` is not JSON, nor nearly."""

    def __init__(self, at: int) -> None:
        """Note the place."""
        super().__init__(f"unreadable from character {at} on")
        self.at = at


def read_value(text: str, at: int = 0) -> tuple[Any, int]:
    """Return the value that begins at `at` and where it ends; the end of the text closes brackets behind a value.

    Raises `Unreadable`.
    """
    reader = _Reader(text, at)
    try:
        value = reader.value()
    except RecursionError:
        raise Unreadable(reader.at) from None
    return value, reader.at


class _Reader:
    def __init__(self, text: str, at: int) -> None:
        self.text, self.at = text, at

    def next(self) -> str:
        """Skip white space and return the next character, "" at the end."""
        if found := SPACE.match(self.text, self.at):
            self.at = found.end()
        return self.text[self.at : self.at + 1]

    def value(self) -> Any:
        first = self.next()
        if first == "{":
            return dict(self.items("}", self.pair))
        if first == "[":
            return self.items("]", self.value)
        if first and first in "\"'":
            return self.string()
        for pattern, read in ((NUMBER, json.loads), (WORD, WORDS.__getitem__)):
            if found := pattern.match(self.text, self.at):
                self.at = found.end()
                return read(found[0])
        raise Unreadable(self.at)

    def items(self, end: str, read: Any) -> list[Any]:
        """Read what stands between brackets; behind a value the last bracket may be missing."""
        self.at += 1
        items: list[Any] = []
        while self.next() != end:
            items.append(read())
            following = self.next()
            if following == ",":
                self.at += 1
            elif following != end and CLOSED.match(self.text, self.at):
                return items
            elif following != end:
                raise Unreadable(self.at)
        self.at += 1
        return items

    def pair(self) -> tuple[str, Any]:
        if self.next() not in ('"', "'"):
            raise Unreadable(self.at)
        key = self.string()
        if self.next() != ":":
            raise Unreadable(self.at)
        self.at += 1
        return key, self.value()

    def string(self) -> str:
        double = self.text[self.at] == '"'
        found = (DOUBLE if double else SINGLE).match(self.text, self.at)
        if found is None:
            raise Unreadable(self.at)
        try:
            read = _double(found[1]) if double else _single(found[1])
        except (ValueError, SyntaxError):
            raise Unreadable(self.at) from None
        self.at = found.end()
        return read


def _double(body: str) -> str:
    # JSON knows no \', which many write; line breaks and tabs as they are do no harm
    body = re.sub(r"\\(.)", lambda pair: "'" if pair[1] == "'" else pair[0], body, flags=re.S)
    return str(json.loads(f'"{body}"', strict=False))


def _single(body: str) -> str:
    return str(ast.literal_eval("'" + body.replace("\n", "\\n").replace("\r", "\\r") + "'"))
