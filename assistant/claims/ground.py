"""What the answer of a turn may stand on, and how words and numbers are read to compare the two.

Knows results and text; no claim of any kind, no model, no history and no screen.
"""

from __future__ import annotations

import json
import re
import unicodedata
from bisect import bisect_left
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from assistant.types import ToolResult

NUMBER_WORDS = [
    *("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten"),
    *("eleven", "twelve", "thirteen", "fourteen", "fifteen", "sixteen", "seventeen", "eighteen", "nineteen", "twenty"),
]
MONTHS = [
    *("january", "february", "march", "april", "may", "june"),
    *("july", "august", "september", "october", "november", "december"),
]
DAYS = ["monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday"]
SCALES = {"k": 1e3, "thousand": 1e3, "m": 1e6, "million": 1e6, "bn": 1e9, "billion": 1e9}
WORD = r"[^\W\d_]+"
NUMBER = re.compile(
    r"""(?P<code>(?<![^\W_])[^\W\d_]+-?)?                                        # "image-2", "H200"
    (?P<digits>\d{1,3}(?:[\x20\u00a0\u202f'’]\d{3})+(?:[.,]\d+)?(?![.,]?\d)  # 1 200,50
    |\d{1,3}(?P<mark>[.,])\d{3}(?:(?P=mark)\d{3})*(?:[.,]\d+)?(?![.,]?\d)  # 1,200.50
    |(?<!\d[.,])\d+[.,]\d+(?![.,]?\d)                                 # 21.5, but of a date only the parts
    |\d+)
    (?P<tail>\s?(?:%|percent\b|thousand\b|million\b|billion\b|[ap]\.?m\b)|[^\W_]+)?""",
    re.IGNORECASE | re.VERBOSE,
)
LISTED = re.compile(r"^\s*(?:[-*•]|\d+[.)])\s", re.MULTILINE)
QUOTATION = re.compile(r'(?<![\w"])"([^"\n]{3,400})"|“([^”\n]{3,400})”|„([^“”\n]{3,400})[“”]|«([^»\n]{3,400})»')
FICTION = r"\b(?:story|poem|essay|lyrics|song|fiction|imagine|invent|make up|pretend|fairy ?tale|recipe)"
TEXT_WORK = (
    rf"{FICTION}|\b(?:write|writing|draft|compose|translate|rephrase|reword|rewrite|diary|proofread|correct|suggest|"
    r"ideas|(?:a|an|some|good|better|\d) (?:\w+ )?(?:idea|caption|title|slogan)s?|in (?:german|french|spanish))\b"
)


@dataclass(frozen=True)
class Ground:
    """What an answer may stand on: the results of its turn, those of earlier turns, and everything said before it, the
    request last. `abilities` are the tools' descriptions by name."""

    results: Sequence[ToolResult] = ()
    earlier: Sequence[ToolResult] = ()
    said: Sequence[str] = ()
    abilities: Mapping[str, str] = field(default_factory=dict)

    @property
    def request(self) -> str:
        """What the person asked."""
        return self.said[-1] if self.said else ""

    @cached_property
    def asks_for_fiction(self) -> bool:
        """Whether the answer may invent."""
        return bool(re.search(FICTION, self.request, re.IGNORECASE))

    @cached_property
    def asks_for_text(self) -> bool:
        """Whether the answer may be words for somebody else to say."""
        return bool(re.search(TEXT_WORK, self.request, re.IGNORECASE))

    @cached_property
    def text(self) -> str:
        """Everything in one text."""
        return "\n".join([*map(_write, self.results), *map(_write, self.earlier), *self.said])

    @cached_property
    def compact(self) -> str:
        """The letters and digits of everything."""
        return compact(self.text)

    @cached_property
    def words(self) -> frozenset[str]:
        """The words of everything."""
        return frozenset(re.findall(WORD, fold(self.text)))

    @cached_property
    def found(self) -> Counter[str]:
        """How often each word, in the singular, is in the results of the turn."""
        return Counter(singular(word) for r in self.results for word in re.findall(WORD, fold(r.text)))

    @cached_property
    def numbers(self) -> list[float]:
        """The values of everything in order, with those of number words and months, and with counts of what came."""
        values = {value for match in NUMBER.finditer(self.text) for value in _values(match)}
        values |= {float(n) for n, word in enumerate(NUMBER_WORDS) if word in self.words}
        values |= {float(n) for n, month in enumerate(MONTHS, 1) if {month, month[:3]} & self.words}
        counts = [len(self.results), sum(len(result.artifacts) for result in self.results)]
        for result in self.results:
            counts += [len(result.artifacts), len(LISTED.findall(result.text)), *_lengths(result.data)]
        return sorted(values | set(map(float, counts)))

    def knows(self, value: float, slack: float) -> bool:
        """Tell whether a number is `value`, or nearly."""
        at = bisect_left(self.numbers, value - slack - 1e-9)
        return at < len(self.numbers) and self.numbers[at] <= value + slack + 1e-9

    def did(self, needs: str, earlier: bool) -> bool:
        """Tell whether a tool whose name or description has a word beginning like one of `needs` ran well."""
        ran = [*self.results, *(self.earlier if earlier else ())]
        told = [f"{r.call.name} {self.abilities.get(r.call.name, '')}" for r in ran if not r.failed]
        return any(re.search(rf"(?:\b|_)(?:{needs})", each, re.IGNORECASE) for each in told)


def strip_markup(answer: str) -> str:
    """Leave out of an answer what claims nothing: code, links, headings, numbers of lists and sources."""
    text = re.sub(r"(?s)```.*?(?:```|$)", " ", answer)
    text = re.sub(r"!?\[([^\]]*)\]\([^)]*\)", r"\1", text)
    text = re.sub(r"\b(Mrs?|Ms|Dr|Prof)\.", r"\1", text)
    text = re.sub(r"https?://\S+|\S+@\S+|\[\d{1,2}\]|\b100 ?%|\b24/7\b", "", text)
    text = re.sub(r"(?m)^#+ .*$|^.*\|.*\n(?=[ |:-]*---)|^\*\*[^*\n]+\*\*:?$|^[ |:-]*---[ |:-]*$", "", text)
    text = re.sub(r"(?m)^\s*(?:[-*•>]\s+|(?:\*\*)?\d+[.)](?:\*\*)?\s+)+", "", text)
    return re.sub(r"(?i)\b(?:step|option|point|example|item|idea|tip) \d+", "", text)


def split_sentences(text: str) -> list[str]:
    """Split text at the ends of sentences and lines."""
    return [each.strip() for each in re.split(r"(?<=[.!?])[\"”*)]*\s+(?=[\"“*(]*[A-Z])|\n+", text) if each.strip()]


def _write(result: ToolResult) -> str:
    """Write everything of a result that an answer may repeat."""
    files = [f"{artifact.id} {artifact.name} {artifact.alt}" for artifact in result.artifacts]
    models = result.receipt.models if result.receipt else ()
    data = json.dumps([dict(result.call.arguments), result.data], ensure_ascii=False, default=str)
    return "\n".join([result.text, data, *files, *models])


def _lengths(data: Any) -> Iterator[int]:
    """Yield the lengths of the lists in `data`."""
    if isinstance(data, list | tuple):
        yield len(data)
    for part in data.values() if isinstance(data, Mapping) else data if isinstance(data, list | tuple) else ():
        yield from _lengths(part)


def read_number(digits: str) -> list[tuple[float, int]]:
    """Read a number with its count of decimals; "1,200" may be either of two."""
    *whole, last = re.split("[.,]", re.sub(r"[\x20\u00a0\u202f'’]", "", digits))
    if not whole:
        return [(float(last), 0)]
    readings = [(float("".join(whole) + "." + last), len(last))]
    separators = re.findall("[.,]", digits)
    if len(last) == 3 and len(set(separators)) == 1 and whole[0] != "0":
        readings.append((float("".join([*whole, last])), 0))
    return readings[-1:] if len(separators) > 1 and len(set(separators)) == 1 else readings


def _values(match: re.Match[str]) -> Iterator[float]:
    """Yield what a number in a ground may be."""
    scale = SCALES.get((match["tail"] or "").strip().lower(), 1.0)
    for value, _ in read_number(match["digits"]):
        yield from (value, value * scale)
    yield from map(float, re.findall(r"\d+", f"{match['tail'] or ''} {match['digits']}"))


def fold(text: str) -> str:
    """Write small and without accents."""
    return "".join(c for c in unicodedata.normalize("NFKD", text.casefold()) if not unicodedata.combining(c))


def compact(text: str) -> str:
    """Leave only small letters and digits."""
    return re.sub(r"[\W_]+", "", fold(text))


def singular(word: str) -> str:
    """Take the ending of the plural off."""
    return word.removesuffix("s")
