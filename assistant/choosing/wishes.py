"""Splits a message into the wishes it holds: "read this and look it up" are two. Knows words, no tool and no model.

A message is split only where something to do, or a question, follows something to do: "a fox and a hare" is one thing.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

JOINT = re.compile(
    r"(?:\s*[,;.!?])?\s+(?:and\s+then|and\s+afterwards|and\s+after\s+that|after\s+that|afterwards|then|and|also|oh,?\s+and)"
    r"[,\s]+|\s*[;.!?]\s+(?:when\s+(?:that's|that\s+is|you're)\s+done,?\s+)?|\s*,\s+",
    re.IGNORECASE,
)
POLITE = re.compile(
    r"(?:please|also|just|now|kindly|then|afterwards|(?:can|could|would|will) you|i(?: want|'d like) you to)"
    r"[,\s]+",
    re.IGNORECASE,
)
EMPTY = re.compile(r"(?:have|take)\s+a\s+look|look\s+at\s+(?:this|it|that)\b|listen|let me|tell you", re.IGNORECASE)
BEGINNINGS = (
    "add answer ask blur book bring build calculate call change check choose classify clean close compare convert copy "
    "count create crop cut define delete describe detect do does draw email erase estimate explain extract fetch file "
    "fill find fix get give group highlight how identify imagine is are keep label list locate look make mark measure "
    "memorise mention name number open paint pick play print put read recognise redo remember remind remove rename "
    "repaint repeat replace rotate save say scan search send set show sketch sort spell store sum summarise summarize "
    "take tell throw transcribe translate turn type use what when where which who whose why write"
)
FEWEST = 2  # words of a wish


def split_wishes(said: str, beginnings: Iterable[str] = ()) -> list[str]:
    """Return the wishes in `said`, in their order and words; at least one.

    Args:
        said: The message.
        beginnings: More words in lower case that begin a wish, such as the verbs of the tools' names.
    """
    known = frozenset(BEGINNINGS.split()) | frozenset(beginnings)
    wishes, start = [], 0
    for joint in JOINT.finditer(said):
        before, after = said[start : joint.start()], said[joint.end() :]
        if _is_wish(before, known) and _is_wish(after, known):
            wishes.append(before.strip())
            start = joint.end()
    return [*wishes, said[start:].strip()]


def _is_wish(text: str, known: frozenset[str]) -> bool:
    text = text.strip()
    while polite := POLITE.match(text):
        text = text[polite.end() :]
    first = re.match(r"[A-Za-z]+", text)
    if first is None or first[0].lower() not in known:
        return False
    return len(text.split()) >= FEWEST and not EMPTY.match(text)
