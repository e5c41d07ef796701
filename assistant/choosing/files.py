"""Tells which file of a conversation a request means: "image-2", "the second one", "the receipt, not the photo".

Knows words, handles and what is known of each file; no model. What is said decides, then what was attached with it,
then what the last turn was about, then what is newest.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from assistant.types import Artifact, Kind

NOUNS = "one|image|picture|photo|photograph|pic|document|doc|file|pdf|scan|page|screenshot|drawing"
KIND_WORDS: Mapping[Kind, str] = {
    "image": r"image|picture|photo|photograph|pic|scan|screenshot|drawing|painting",
    "document": r"document|doc|pdf|contract|manual|report|paper|lease",
}
PLACES = ("first", "second", "third", "fourth", "fifth", "sixth", "seventh", "eighth", "ninth", "tenth")
PLACE = re.compile(
    rf"\b(?:({'|'.join(PLACES)})|(\d+)(?:st|nd|rd|th)|(last|latest|newest))\b(?:\s+(?:{NOUNS})\b|\W*$)", re.IGNORECASE
)
OTHER = re.compile(rf"\b(other|another)\b(?:\s+(?:{NOUNS})\b|\W*$)", re.IGNORECASE)
NEXT = re.compile(rf"\b(next|following)\b(?:\s+(?:{NOUNS})\b|\W*$)", re.IGNORECASE)
EARLIER = re.compile(
    rf"\b(previous|earlier|former|original|older|oldest|old|own)\b(?:\s+(?:{NOUNS})\b|\W*$)|\bone before\b",
    re.IGNORECASE,
)
NOT_THIS = re.compile(
    r"(?:,|\band|\bbut)?\s*\b(?:not|rather than|instead of)\s+(?:the|this|that|my|in|on)\b[^,.;]*", re.IGNORECASE
)
WORD = re.compile(r"[a-z0-9]{3,}")
COMMON = (
    "the and for not with from that this what which where who how are is was can could you please image picture photo "
    "file document one now same does show find tell"
)  # words that tell no file from another


@dataclass(frozen=True, slots=True)
class Known:
    """What is known of a file beside its handle: words about it, and its part in the conversation."""

    file: Artifact
    about: str = ""
    """Its name, what it shows, what tools said of it."""
    fresh: bool = False
    """Attached with the message, or made by the last call."""
    used: bool = False
    """What the last call was about."""


def choose_file(said: str, kind: Kind, files: Sequence[Known]) -> str | None:
    """Return the handle of the file of `kind` that `said` means, or None when there is none of that kind."""
    chosen = choose_files(said, kind, files, 1)
    return chosen[0] if chosen else None


def choose_files(said: str, kind: Kind, files: Sequence[Known], count: int) -> list[str]:
    """Return up to `count` handles, the likeliest first; for a tool that takes several files of one kind.

    Args:
        said: The request.
        kind: The kind of file that is wanted.
        files: All files of the conversation, the oldest first.
        count: How many are wanted.
    """
    there = [known for known in files if known.file.kind == kind]
    wanted = NOT_THIS.sub("", said) or said
    named = _named(wanted, kind, there)
    order = named or [*_placed(wanted, there), *_described(wanted, there)]
    order += sorted(there, key=lambda known: (known.fresh, known.used, there.index(known)), reverse=True)
    if count > 1 and not named:  # the two that were sent, in their order
        order = there[-count:]
    return list(dict.fromkeys(known.file.id for known in order))[:count]


def _named(said: str, kind: Kind, files: Sequence[Known]) -> list[Known]:
    """Find handles, also written "image 2" or "picture no 2"."""
    numbers = re.findall(rf"\b(?:{KIND_WORDS[kind]})s?[\s-]*(?:no\.?|number|nr\.?|#)?\s*(\d+)\b", said, re.IGNORECASE)
    return [known for number in numbers for known in files if known.file.id == f"{kind}-{number}"]


def _placed(said: str, files: Sequence[Known]) -> list[Known]:
    """Find "the second one", "the last picture", "the other", "the next", "the one before"."""
    if not files:
        return []
    if place := PLACE.search(said):
        word, digits, _ = place.groups()
        number = PLACES.index(word.lower()) if word else int(digits) - 1 if digits else len(files) - 1
        return [files[number]] if 0 <= number < len(files) else []
    last = next((i for i, known in reversed(list(enumerate(files))) if known.used), len(files) - 1)
    if NEXT.search(said):
        return list(files[last + 1 : last + 2])
    if EARLIER.search(said):
        return list(files[max(last - 1, 0) : max(last, 1)])
    if OTHER.search(said):
        others = [known for i, known in enumerate(files) if i != last]
        return others[-1:]
    return []


def _described(said: str, files: Sequence[Known]) -> list[Known]:
    """Find files of which something is known that was said, only if this tells some from the others."""
    words = set(WORD.findall(said.lower())) - set(COMMON.split())
    counts = [len(words & set(WORD.findall(known.about.lower()))) for known in files]
    most = max(counts, default=0)
    if most == 0 or min(counts) == most:
        return []
    best = [known for known, count in zip(files, counts, strict=True) if count == most]
    return best if len(best) == 1 else []


def mentions_kind(said: str) -> Kind | None:
    """Return the kind of file that `said` names ("this photo", "the pdf"), if it names one only."""
    wanted = NOT_THIS.sub("", said)
    kinds = [kind for kind, words in KIND_WORDS.items() if re.search(rf"\b(?:{words})s?\b", wanted, re.IGNORECASE)]
    return kinds[0] if len(kinds) == 1 else None
