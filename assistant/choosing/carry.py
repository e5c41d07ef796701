"""Carries what was asked before over to a call of the same tool: "and page 7?", "another with a red roof this time".

Knows words, no tool by name and no model.
"""

from __future__ import annotations

import re
from collections.abc import Collection

SMALL = (
    "a about again also an and at but do does file files first for from go how in is it its last next now of ok on "
    "one ones only or other others page pages picture pictures image images photo photos document documents pdf please "
    "previous same say second so that the their them then these third this those to too try way what with"
)
REFERRING = frozenset(SMALL.split())
"""Words that point at something, or join other words, and mean nothing by themselves."""
EDIT = re.compile(
    r"\b(?:this time|again|once more|another (?:one|try|go|version|with)|try another|do (?:it|that)|the same"
    r"|make (?:it|them)|(?:now|but|and) with)\b",
    re.IGNORECASE,
)
FRESH = re.compile(
    r"\b(?:pictures?|images?|photos?|paintings?|drawings?|portraits?) of\b|\b(?:paint|draw|imagine|search|find|look)\b"
    r"|\?\W*$|^\W*(?:and |so |but )?(?:wh\w*|how)\b",
    re.IGNORECASE,
)


def carry(said: str, text: str, earlier: str, about_files: Collection[str]) -> str:
    """Return what a text of a call should be, given what it was in the last call of the same tool.

    A message that names nothing but files and places repeats the earlier text; one that changes the earlier wish adds
    to it, unless the new text has words of it already. `about_files` are words that tell files apart.
    """
    if not _content(text) - {word.lower() for word in about_files} and _content(earlier):
        return earlier
    if EDIT.search(said) and not FRESH.search(said) and not _content(text) & _content(earlier):
        return f"{earlier.rstrip(' .,;')}, {text}"
    return text


def _content(text: str) -> set[str]:
    """Return the words that mean something by themselves, without numbers."""
    return {word for word in re.findall(r"[^\W\d_]+", text.lower()) if word not in REFERRING}
