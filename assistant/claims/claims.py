"""Finds what an answer claims without ground: values that no tool returned, and work that no tool did.

Knows English words, numbers and results; no model, no history, no screen. In doubt it is silent: a warning on an
honest answer does more harm than a missed one. So questions, offers, denials, sums and the like are not judged.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from assistant.claims.deeds import find_deeds
from assistant.claims.ground import (
    DAYS,
    LISTED,
    MONTHS,
    NUMBER,
    NUMBER_WORDS,
    QUOTATION,
    SCALES,
    WORD,
    Ground,
    compact,
    fold,
    read_number,
    singular,
    split_sentences,
    strip_markup,
)

CONVERSIONS = (  # units, and the factors between them
    (r" ?(?:ms|s|sec\w*|min\w*|h|hours?|days?|weeks?)\b", (60, 3600, 24, 7, 1000)),
    (r" ?(?:mm|cm|km|m|met\w+|kilomet\w+|mg|g|kg|grams?|kilo\w*|tons?|ml|l)\b", (10, 100, 1000, 1e6)),
    (r" ?[kKMGT]i?B\b", (1e3, 1e6, 1e9, 2**10, 2**20, 2**30)),
)
COUNTED = re.compile(rf"\b(?:{'|'.join(NUMBER_WORDS[2:])})\b", re.IGNORECASE)
GROUPED = r"(?<!\w)\+?\d(?:[ ().,/:\u00a0-]*\d){4,}(?!\w)"  # such as a telephone number
NUMBERED = r"\b(?:page|desk|room|floor|chapter|section|figure|version|number|no\.|gate|platform|row|level|article|day)$"
ABOUT = r"(?:about|around|roughly|nearly|almost|approximately|over|under|than|least|~|≈)\s*$"
COMPUTED = (
    r"\b(?:total|sum|altogether|together|combined|average|mean|difference|remaining|divided|times|plus|minus)\b|="
)
SUGGESTED = re.compile(
    r"\b(?:try|ask\w*|say|type|prompt|suggest\w*|ideas?|captions?|slogans?|like|called|such as|could be|mean\w*|"
    r"translat\w*|in (?:german|french|spanish|italian|english|dutch)|example|rephras\w*|version)\b",
    re.IGNORECASE,
)
NOT_FOUND = r"(?:\w+ )?(?:mention|say|name|contain|include|state|find|found|list|see)"
PASSED_OVER = re.compile(
    r"\?[\s\"”*)]*$|\b(?:let me know|would you|if you(?:['’]d)? (?:like|want|wish|need|prefer)|nothing about|"
    rf"no mention|(?:do|does|did|is|was|could|can)(?: not|n['’]t) {NOT_FOUND}|cannot|for (?:example|instance)|e\.g\.)",
    re.IGNORECASE,
)
ORDINARY_WORDS = """
the and but for you your yes not maru okay mrs miss prof sir god earth sun moon english german french spanish italian
dutch chinese japanese latin internet web wifi bluetooth page figure table chapter section part step option document
image picture library invoice markdown python celsius fahrenheit euro euros dollar dollars
"""
ORDINARY = frozenset(ORDINARY_WORDS.split())
JOINT = r"(?: |-| (?:of|the|van|von|de|der|di|du|la) )+"
LONGEST = 15  # digits that a float holds; more are a code
MOST_TOLD = 5
GERMAN = {"der", "das", "und", "ist", "nicht", "ein", "eine", "mit", "auf", "im", "zu", "den", "ich", "sie", "von"}
FILLERS = re.compile(r"the|these|those|them|are|were|was|and|that|which|with|from|there|more|..?")  # before a noun
DATE = r"\d{4}-\d\d-\d\d|\d{1,2}[./]\d{1,2}[./]\d{2,4}"


@dataclass(frozen=True, slots=True)
class Claim:
    """Something without ground, as the answer puts it; of an action, what was not done ("painted")."""

    kind: Literal["number", "name", "quotation", "action"]
    text: str


def find_unsupported(answer: str, ground: Ground) -> list[Claim]:
    """Return what `answer` claims without `ground`, each claim once; values only where a tool returned something."""
    claims = [Claim("action", done) for done in find_deeds(answer, ground)]
    if ground.results and not ground.asks_for_fiction:
        prose = strip_markup(answer)
        claims += _quotations(prose, ground)
        listed = {len(LISTED.findall(answer))}
        for sentence in split_sentences(_drop_labels(QUOTATION.sub('""', prose))):
            if not PASSED_OVER.search(sentence):
                claims += [*_numbers(sentence, ground, listed), *_names(sentence, answer, ground)]
    return list(dict.fromkeys(claims))


def tell(claims: Sequence[Claim]) -> str:
    """Say what a person should know about the claims of an answer."""
    done = " or ".join(claim.text for claim in claims if claim.kind == "action")
    values = [f"“{claim.text}”" for claim in claims if claim.kind != "action"]
    more = f" and {len(values) - MOST_TOLD} more" if len(values) > MOST_TOLD else ""
    sentences = [
        f"Nothing was {done}: no tool did that." if done else "",
        f"Not found in the tools' results: {', '.join(values[:MOST_TOLD])}{more}. Check it before you rely on it."
        if values
        else "",
    ]
    return " ".join(filter(None, sentences))


def _quotations(prose: str, ground: Ground) -> Iterator[Claim]:
    if ground.asks_for_text:
        return
    for match in QUOTATION.finditer(prose):
        quoted = next(filter(None, match.groups()))
        before = prose[: match.start()]
        intro = [line for line in before.split("\n") if line.rstrip(" *").endswith(":")][-1:]
        if len(quoted.split()) < 2 or SUGGESTED.search(" ".join([*intro, before.rpartition("\n")[2]])):
            continue
        pieces = re.split(r"\.\.\.|…|\[[^\]]*\]", quoted)
        if not all(compact(piece) in ground.compact for piece in pieces):
            yield Claim("quotation", quoted.strip(" .,!?"))


def _numbers(sentence: str, ground: Ground, listed: set[int]) -> Iterator[Claim]:
    for word in re.findall(COMPUTED, sentence, re.IGNORECASE):
        if word == "=" or word.lower() not in ground.words:
            return
    sentence = re.sub(GROUPED, lambda run: "" if compact(run[0]) in ground.compact else run[0], sentence)
    for match in NUMBER.finditer(sentence):
        if not _is_known(match, ground, listed):
            yield Claim("number", match[0].strip())
    for match in COUNTED.finditer(sentence):
        value = NUMBER_WORDS.index(match[0].lower())
        if not ground.knows(value, 0) and not _is_count(value, match, ground, listed, most=10):
            yield Claim("number", match[0])


def _is_known(match: re.Match[str], ground: Ground, listed: set[int]) -> bool:
    """Tell whether a number has ground, whatever its unit and rounding, or is no claim."""
    token, digits, tail = match[0].strip(), match["digits"], (match["tail"] or "").strip().lower()
    if match["code"] or re.search(r"\d", tail) or len(digits) > LONGEST:
        is_code = len(re.findall(r"\d", token)) > 2 or re.match(r"(?:image|document)-", token)
        parts = () if match["code"] else re.findall(r"\d+", token)
        known = len(digits) <= LONGEST and bool(parts) and all(ground.knows(float(part), 0) for part in parts)
        return not is_code or known or compact(token) in ground.compact
    before, after = match.string[: match.start()], match.string[match.end("digits") :]
    about = re.search(ABOUT, before, re.IGNORECASE)
    for value, decimals in read_number(digits):
        rounded = 0.5 * 10.0**-decimals if decimals or tail else 0.0  # a whole number without unit is meant exactly
        slack = max(rounded, value / 10 if about else 0.0)
        factors = [*_factors(tail, after), *([100.0] if 0.01 <= value < 1 else [])]
        if any(ground.knows(value * factor, slack * factor) for factor in factors):
            return True
        if re.match(r"(?:[:.]\d\d)?\s?p\.?m\b", after, re.IGNORECASE) and ground.knows(value + 12, 0):
            return True
        bare = not tail and not decimals and not re.search(r"[$€£¥~≈]\s*$", before)
        bare = bare and not re.search(NUMBERED, before.rstrip(), re.IGNORECASE)
        if bare and _is_count(round(value), match, ground, listed, most=3):
            return True
    return False


def _factors(tail: str, after: str) -> list[float]:
    """Return by what a number may be multiplied to be one of the ground."""
    converted = [factor for unit, factors in CONVERSIONS if re.match(unit, after) for factor in factors]
    share = [0.01] if tail in ("%", "percent") else []
    return [1.0, SCALES.get(tail, 1.0), *share, *converted, *(1 / factor for factor in converted)]


def _is_count(value: int, match: re.Match[str], ground: Ground, listed: set[int], most: int) -> bool:
    """Tell whether a number may count what is told: the things in a list, or what no result has under that name."""
    clause, *rest = re.split(r"[:(,–—]", match.string[match.end() :], maxsplit=1)
    if value in listed or any(value == len(re.split(r",\s*(?:and |or )?|\s(?:and|or)\s", told)) for told in rest):
        return True
    nouns = [singular(word) for word in re.findall(WORD, fold(clause)) if not FILLERS.fullmatch(word)]
    counts = [ground.found[noun] for noun in nouns[:2]]
    return value <= most and (value in counts or not any(counts))


def _names(sentence: str, answer: str, ground: Ground) -> Iterator[Claim]:
    words = re.findall(WORD, fold(answer))
    if sum(word in GERMAN for word in words) > len(words) / 10:  # where every noun has a capital
        return
    begin = end = -1
    for match in re.finditer(WORD, sentence):
        word = match[0]
        begins = not re.search(r"[\w,&][ *_]*$", sentence[: match.start()])
        named = len(word) > 2 and word[0].isupper() and not word.rstrip("s").isupper() and not begins
        if named and word.lower() not in answer and not _is_named(fold(word), ground):
            if end >= 0 and not re.fullmatch(JOINT, sentence[end : match.start()]):
                yield Claim("name", sentence[begin:end])
                end = -1
            begin, end = match.start() if end < 0 else begin, match.end()
    if end >= 0:
        yield Claim("name", sentence[begin:end])


def _is_named(name: str, ground: Ground) -> bool:
    """Tell whether a name has ground, in another form or spelling too, as a reader of pictures may misread it."""
    if name in ORDINARY or name in ground.words or singular(name) in ground.words:
        return True
    if name in MONTHS:
        return name[:3] in ground.words or float(MONTHS.index(name) + 1) in ground.numbers
    if singular(name) in DAYS:  # of a date, or of "Tue - Sun", it can be worked out
        given = {day for day in DAYS if {day, day[:3]} & ground.words}
        dated = not given and (set(MONTHS) & ground.words or re.search(DATE, ground.text))
        return singular(name) in given or len(given) > 1 or bool(dated)
    near = [word for word in ground.words if word[:1] == name[:1]]
    stems = name[:5] if len(name) >= 5 else name + " "
    return any(word.startswith(stems) for word in near) or bool(
        len(name) >= 5 and difflib.get_close_matches(name, near, 1, 0.84)
    )


def _drop_labels(prose: str) -> str:
    """Leave out what stands before a colon at the beginning of a line."""
    return re.sub(
        r"(?m)^[\s|]*(?:\*\*)?[^\W\d][\w/&'’-]*(?: [^\W\d][\w/&'’-]*){0,2} ?(?:\*\*)?:(?:\*\*)?(?=\s)", "", prose
    )
