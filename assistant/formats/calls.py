"""Reads the calls in what a model wrote, in whatever spelling. Knows tool names and text; no token, model or server.

Sources: the model cards of Llama-3.1 (`<|python_tag|>`, `<function=name>`), of Hermes 2 Pro and Qwen2.5 (`<tool_call>`)
and of Mistral 7B v0.3 and Small 3 (`[TOOL_CALLS]`, `[ARGS]`).
"""

from __future__ import annotations

import re
import uuid
from collections.abc import Iterator, Sequence
from typing import Any

from assistant.formats.loose_json import Unreadable, read_value
from assistant.types import ToolCall, ToolSpec

UNREADABLE = "not valid JSON"  # no tool has such an argument, so the check of arguments tells the model what was wrong
SHOWN_CHARACTERS = 40  # of what could not be read
TAGS = ("<tool_call>", "[TOOL_CALLS]", "<|python_tag|>", "<function=")
GIVEN = ("parameters", "arguments")
KEYS = ("name", "function", "type", "id", "tool_calls", *GIVEN)  # that a call may begin with
TAG = re.compile("|".join(map(re.escape, TAGS)))
LINE = re.compile(r"^", re.M)
FENCE = re.compile(r"```\w*\s*")
# what may stand around calls, and between one and the next
AROUND = re.compile(r"(?:\s|[,;]|```\w*|</?tool_call>|\[TOOL_CALLS\]|<\|python_tag\|>|</function>|<\|eo[mt]_id\|>)*")
# a name before its arguments: `<function=name>{}` and `[TOOL_CALLS]name[ARGS]{}`
NAMED = re.compile(
    r"(?:<function=|(?<=\[TOOL_CALLS\])|(?<=<tool_call>))\s*([\w.-]+)\s*(?:>|(?:\[CALL_ID\]\w+)?\[ARGS\])?\s*(?=[{<]|$)"
)
NAME = re.compile(r"""["'](?:name|function)["']\s*:\s*["']([^"']*)["']""")
ARGUMENTS = re.compile(rf"""["'](?:{"|".join(GIVEN)})["']\s*:\s*""")


def find_calls(text: str, tools: Sequence[ToolSpec], behind_words: bool = False) -> list[ToolCall | str]:
    """Read the calls of `tools` in a reply, in order, behind the words before them; what follows the last is dropped.

    A call that cannot be run becomes a sentence, unless its name is known: then its result will tell the model what
    could not be read. Words that merely look like a call stay as they are; `behind_words` some were said before.
    """
    for start in sorted({found.start() for pattern in (TAG, LINE) for found in pattern.finditer(text)}):
        parts, end = _read_all(text, start, {tool.name for tool in tools})
        words = text[:start].rstrip()
        first = not (behind_words or words.strip()) or TAG.match(text, start)
        # an object behind words is a call only if it is the last thing said; else they talk about it
        if parts and (first or (not text[end:].strip() and all(isinstance(part, ToolCall) for part in parts))):
            return [words, *parts] if words.strip() else parts
    return [text]


def may_become_call(text: str) -> bool:
    """Tell whether a text begins like a call, or is still too short to tell."""
    text = text.lstrip()
    if any(text.startswith(tag) or tag.startswith(text) for tag in TAGS) or "```".startswith(text):
        return True
    if fence := FENCE.match(text):
        text = text[fence.end() :]
    text = text.lstrip("[ \t\r\n")
    if not text.startswith("{"):
        return not text
    text = text[1:].lstrip()
    return not text or (text[0] in "\"'" and any(_share_beginning(text[1:], key + text[0]) for key in KEYS))


def read_arguments(given: Any) -> dict[str, Any]:
    """Read arguments that may be JSON, JSON in a string, or cut off, which the check of arguments then refuses."""
    read = given
    for _ in range(2):  # some servers wrap the text of the arguments into a string once more
        if isinstance(read, str) and read.strip():
            try:
                value, end = read_value(read)
            except Unreadable as error:
                return _unreadable(given, read[error.at :])
            if read[end:].strip():
                return _unreadable(given, read[end:])
            read = value
    if isinstance(read, dict):
        return read
    return _unreadable(given, str(given)) if given else {}


class Draft:
    """A reply on its way: words are passed on at once, what may become a call is held back until the end."""

    def __init__(self, tools: Sequence[ToolSpec]) -> None:
        """Listen for calls of `tools`; without any, everything is words."""
        self._tools = tools
        self._held = ""
        self._said = ""

    def take(self, piece: str) -> str:
        """Take in a piece and return the words that can be said."""
        if not self._tools:
            return piece
        self._held += piece
        at = next((start for start in self._starts() if may_become_call(self._held[start:])), len(self._held))
        said, self._held = self._held[:at], self._held[at:]
        self._said += said
        return said

    def end(self) -> list[ToolCall | str]:
        """Return what was held back: calls, or words that looked like one."""
        return find_calls(self._held, self._tools, bool(self._said.strip())) if self._held else []

    def _starts(self) -> Iterator[int]:
        """Yield where a call may begin: at every line, and at what may be the beginning of a tag."""
        for at in range(len(self._held)):
            before = self._held[at - 1] if at else self._said[-1:]
            if before in ("", "\n") or self._held[at] in "<[":
                yield at


def _share_beginning(one: str, other: str) -> bool:
    return one.startswith(other) or other.startswith(one)


def _read_all(text: str, start: int, names: set[str]) -> tuple[list[ToolCall | str], int]:
    """Read call after call from `start` on; return them and where the last ends."""
    parts: list[ToolCall | str] = []
    end = at = start
    while True:
        around = AROUND.match(text, at)
        at = around.end() if around else at
        named = NAMED.match(text, at)
        if named is None and text[at : at + 1] not in ("{", "["):
            following = TAG.search(text, at) if parts else None  # words between calls are dropped
            if following is None:
                return parts, end
            at = following.start()
            if following[0] == "<function=" and NAMED.match(text, at) is None:
                return parts, end
            continue
        try:
            found, at = _read_named(text, named) if named else _read_objects(text, at, names)
        except Unreadable as error:
            broken = _read_broken(text, at, named, error.at, bool(TAG.match(text, start)))
            return (parts + _told(broken, names), len(text)) if broken else (parts, end)
        if not found:
            return parts, end
        parts += _told(found, names)
        around = AROUND.match(text, at)
        end = around.end() if around else at


Found = list[tuple[str, dict[str, Any]]]


def _told(found: Found, names: set[str]) -> list[ToolCall | str]:
    return [
        ToolCall(uuid.uuid4().hex[:8], name, given)
        if name in names
        else f"The model tried to call {name!r}, which is none of its tools. Ask again in other words."
        if name
        else f"The model began a call that cannot be read from {next(iter(given.values()))!r} on. Ask again."
        for name, given in found
    ]


def _read_named(text: str, named: re.Match[str]) -> tuple[Found, int]:
    if not text[named.end() :].strip():
        raise Unreadable(len(text))
    value, end = read_value(text, named.end())
    return [(named[1], read_arguments(value))], end


def _read_objects(text: str, at: int, names: set[str]) -> tuple[Found, int]:
    value, end = read_value(text, at)
    return _calls_of(value, names, whole=text[end - 1] in "}]"), end


def _calls_of(value: Any, names: set[str], whole: bool) -> Found:
    """Return the calls that an object or a list is; none where it is something else."""
    if isinstance(value, list):
        each = [_calls_of(item, names, whole) for item in value]
        return [call for calls in each for call in calls] if all(each) else []
    if not isinstance(value, dict):
        return []
    if isinstance(value.get("tool_calls"), list):
        return _calls_of(value["tool_calls"], names, whole)
    inner = value.get("function")
    call = inner if isinstance(inner, dict) else value
    name = call.get("name", inner)
    if not isinstance(name, str) or "description" in call:  # that would be a tool
        return []
    for key in GIVEN:
        if key in call:
            return [(name, read_arguments(call[key]))]
    bare = whole and name in names and set(call) <= {"name", "function", "type", "id"}
    return [(name, {})] if bare else []


def _read_broken(text: str, at: int, named: re.Match[str] | None, broken: int, tagged: bool) -> Found:
    """Return what is certain of a call that cannot be read from `broken` on; nothing where it may be something else."""
    rest, lost = text[at:], text[broken:]
    if named:
        return [(named[1], _unreadable(text[named.end() :], lost))]
    name, given = NAME.search(rest), ARGUMENTS.search(rest)
    if name and given:
        return [(name[1], _unreadable(rest[given.end() :], lost))]
    begun = given and not rest[: given.start()].strip("{[ \t\r\n")
    return [("", {UNREADABLE: rest[:SHOWN_CHARACTERS]})] if begun or (tagged and len(rest) > 1) else []


def _unreadable(given: Any, lost: str) -> dict[str, Any]:
    """Make arguments that the check refuses, with the part that could not be read."""
    where = f"from {lost[:SHOWN_CHARACTERS]!r} on" if lost.strip() else "because it is cut off"
    return {f"{UNREADABLE} {where}": given}
