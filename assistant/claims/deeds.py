"""Finds the work an answer claims to have done that no tool did: "I painted", "it has been saved".

Knows English verbs and the tools that ran; none of them by name, no model and no screen.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple

from assistant.claims.ground import QUOTATION, Ground, compact, split_sentences, strip_markup


class Action(NamedTuple):
    """Work an answer may claim: forms of the verb, what has to follow, and how words of tools that do it begin."""

    forms: str
    object: str
    needs: str


PICTURES = "(?:picture|image|painting|drawing|illustration|portrait|photo|photograph|artwork|logo|poster)s?"
FILES = f"(?:{PICTURES}|(?:e-?mail|message|file|document|pdf|report|note|change|preference)s?)"
# not "a list of pictures", "the big picture", "an image prompt", "a picture of health"
WHOLE = (
    r"(?=[.,!;:)*]|$| (?!of (?:health|what|how))(?:of|for|you|that|in|with|from|to|as|by|and|based|showing|I|\w+ly)\b)"
)
A_PICTURE = rf"(?: (?!(?:of|for|about|from|in|with|big|clear|full|overall)\b)[\w-]+){{0,4}}? {PICTURES}\b{WHOLE}"
A_FILE = rf" (?:the|your|all|both|this|that|these|a|an)(?: \w+)? {FILES}\b{WHOLE}"
IT = r" (?:it|them|this|that)\b(?![^.!?]*\b(?:last|variable|list|array|dict\w*|function|cell|column|string)\b)"
PLACE = r"[^.!?]{0,60}? your (?:\w+ )?(?:library|collection|folder|album|calendar|contacts|drive|disk)\b"
SHELF = rf"(?: (?:it|them|this|that)| (?:the|your)(?: \w+)? {FILES}) (?:to|in|into) the (?:library|collection)\b"
SOURCES = "web|internet|library|collection|documents?|files?|pictures?|photos?"
SOURCE = rf"[^.!?]{{0,60}}? (?:online|(?:the|your) (?:\w+ )?(?:{SOURCES}))\b"
# not "drew up a plan", "drew that conclusion", "sketched out an idea"
FIGURE = r"(?! (?:up|on|out|from|upon|inspiration|(?:\w+ ){1,3}(?:attention|conclusion|comparison|plan|idea|line))\b)"
MEETING = r" (?:a|an|the|your)(?: \w+)? (?:meeting|appointment|call|event|reminder|alarm|timer)\b"
MAKES = "paint|draw|sketch|illustrat"
CHANGES = f"{MAKES}|cut|fill|turn|rotat|crop|resiz|flip|edit|chang|remov"
KEEPS = f"{CHANGES}|sav|stor|add|keep|mov|cop|upload"
ACTIONS = (
    Action("painted|repainted", "", MAKES),
    Action("drawn|drew|sketched", FIGURE, MAKES),
    Action("created|made|generated|produced|designed|rendered", A_PICTURE, CHANGES),
    Action("cropped|rotated|resized|flipped|edited|retouched|recolored|brightened", A_PICTURE, CHANGES),
    Action("removed|erased", f"(?:{PLACE}| the background)", f"{CHANGES}|delet|eras"),
    Action("deleted|downloaded", f"(?:{PLACE}|{A_FILE})", "delet|remov|download"),
    Action("saved|stored|uploaded", f"(?:{PLACE}|{IT}|{A_FILE})", KEEPS),
    Action("added|put|moved|copied", f"(?:{PLACE}|{SHELF})", KEEPS),
    Action("sent|emailed|e-mailed|mailed|forwarded|texted", "(?! my)", "send|e?-?mail|post|forward|messag"),
    Action("scheduled|set", MEETING, "schedul|book|calendar|reserv|remind|alarm|timer"),
    Action("booked", "", "book|reserv"),
    Action("searched|browsed|googled", SOURCE, "search|find|look|brows"),
)
IRREGULAR = {"drew": "drawn"}
HOW = r"(?: (?:now|just|already|also|then|finally|successfully|(?:gone|went) ahead and))*"
BY_ME = rf"\bI(?:['’]ve| have)?{HOW} (?P<done>%s)\b%s"
PASSIVE = (
    rf"\b(?P<subject>it|they|(?:your|the)(?: \w+)? {FILES}) (?:ha(?:s|ve){HOW} been|(?P<past>was|were)){HOW} "
    r"(?P<done>%s)\b(?(past)(?= (?:to|in|into|from) your)|(?=[.!]*$| successfully| for you| (?:to|in|into|from) your))"
)
SHOWN = "(?:picture|image|painting|drawing|photo|photograph|artwork|logo|poster)s?"
HERE_IS = (
    rf"\bhere(?:['’]s| is| are) (?:the|a|an|your|my)\b(?! (?:big|clear|full)\b)(?: \w+){{0,2}}? {SHOWN}\b{WHOLE}"
    r"(?! (?:that )?you (?!asked|want|request))"
)
CLAIMED = [
    *((re.compile(BY_ME % (action.forms, action.object), re.IGNORECASE), action) for action in ACTIONS),
    *((re.compile(PASSIVE % action.forms, re.IGNORECASE), action) for action in ACTIONS),
    (re.compile(HERE_IS, re.IGNORECASE), Action("made", A_PICTURE, CHANGES)),
]
NOT_DONE = r"\b(?:if|when|once|after|until|unless|whether|would|could|said|claimed|thought|wish|imagine|not|never)\b"
EARLIER = rf"\b(?:already|earlier|before|previous(?:ly)?|again|above|that I|which I|{PICTURES} I)\b"


def find_deeds(answer: str, ground: Ground) -> Iterator[str]:
    """Yield what an answer says was "painted", "sent" and so on, where no tool ran well that could have done it."""
    if "```" in answer:  # text work: a drawing in letters, a program
        return
    shown = any(artifact.kind == "image" for r in ground.results if not r.failed for artifact in r.artifacts)
    for sentence in split_sentences(QUOTATION.sub('""', strip_markup(answer))):
        earlier = bool(re.search(EARLIER, sentence, re.IGNORECASE))
        for pattern, action in CLAIMED:
            match = pattern.search(sentence)
            if match is None or ground.did(action.needs, earlier) or (shown and action.object == A_PICTURE):
                continue
            if _is_claim(match, action, ground):
                done = match.groupdict().get("done", action.forms).lower()
                yield IRREGULAR.get(done, done)


def _is_claim(match: re.Match[str], action: Action, ground: Ground) -> bool:
    """Tell whether the words are meant, and of the assistant's own work."""
    asked = rf"(?:and|then|also|please|,) (?:{action.needs})"
    if ground.asks_for_text and not re.search(asked, ground.request, re.IGNORECASE):
        return False
    clause = re.split(r"[,;:—]", match.string[: match.start()])[-1]
    asked_or_denied = match.string.endswith("?") or re.search(NOT_DONE, clause, re.IGNORECASE)
    return not asked_or_denied and not _is_news(match, ground)


def _is_news(match: re.Match[str], ground: Ground) -> bool:
    """Tell whether the words are those of a result, or tell of something done by anybody."""
    subject = match.groupdict().get("subject")
    if subject is None:
        return compact(match[0]) in compact(" ".join([ground.request, *(r.text for r in ground.results)]))
    told = " ".join([subject, match.string[match.end() :]]).lower()
    if re.search(r"\byour\b|^ successfully|\bfor you\b", told):
        return match["done"].lower() in ground.words
    # "has been" alone tells news of any kind
    return bool(ground.results) or match.start() > 0 or subject.lower() in ("it", "they")
