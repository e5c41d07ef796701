"""What the shipped model reaches: pages are drawn, read with RapidOCR and asked about through the plugin itself.

Knows the shipped folder, the page world and the plugin; no training.
"""

from __future__ import annotations

import json
import logging
import random
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from string import punctuation
from typing import Any

from assistant.residents import install, residents
from assistant.settings import read_settings
from assistant.tools import Run
from assistant.vision.reading import read_words
from plugins.answer_about_document import answer_about_document
from training.pages.draw import draw
from training.pages.lexicon import keys
from training.pages.page import Question, Split
from training.pages.questions import ask
from training.pages.world import make_page

log = logging.getLogger(__name__)
PAGES = 80  # of each set
QUESTIONS = 8  # about a page, half of them in phrasings kept from training
RUN = Run(0, threading.Event(), lambda fraction, note: None, lambda preview: None)
OUTER = punctuation + " "


@dataclass(frozen=True, slots=True)
class Outcome:
    """A question with what the plugin made of it; `readable` says whether the reader read the right answer at all."""

    question: Question
    kind: str
    right: bool
    readable: bool
    doubted: bool
    score: float
    seconds: float


def figures() -> Iterator[dict[str, Any]]:
    """Yield one figure after another."""
    _use_shipped()
    sets: tuple[tuple[str, Split], ...] = (("known layouts", "test"), ("layouts never trained on", "unseen"))
    for name, split in sets:
        outcomes = list(_ask_all(split))
        told = [outcome for outcome in outcomes if outcome.question.fact is not None]
        absent = [outcome for outcome in outcomes if outcome.question.fact is None]
        yield {"set": name, "pages": PAGES, **_rightness(told)}
        for held, phrasings in ((False, "known phrasings"), (True, "phrasings never trained on")):
            yield {"set": name, "phrasings": phrasings, **_rightness([o for o in told if o.question.held == held])}
        for kind in sorted({outcome.kind for outcome in told}):
            yield {"set": name, "kind of page": kind, **_rightness([o for o in told if o.kind == kind])}
        for sort in sorted({_sort(outcome) for outcome in told}):
            yield {"set": name, "asked for": sort, **_rightness([o for o in told if _sort(o) == sort])}
        yield {"set": name, "figure": "absent facts refused", **_share([o.doubted for o in absent])}
        yield {"set": name, "figure": "right answers doubted", **_share([o.doubted for o in told if o.right])}
        yield {"set": name, "figure": "wrong answers doubted", **_share([o.doubted for o in told if not o.right])}
        seconds = [outcome.seconds for outcome in outcomes]
        yield {"set": name, "figure": "seconds", "median": round(median(seconds), 3), "most": round(max(seconds), 3)}


def calibrate(folder: Path) -> None:
    """Set the score below which the model in `folder` is to doubt its answer.

    It is the one that keeps most right answers and refuses most absent facts, both counting as much, on pages that
    neither training nor `figures` uses.
    """
    _use_shipped()
    outcomes = list(_ask_all("tune"))
    right = sorted(outcome.score for outcome in outcomes if outcome.right)
    absent = sorted(outcome.score for outcome in outcomes if outcome.question.fact is None)

    def gain(threshold: float) -> float:
        kept = sum(score >= threshold for score in right) / max(1, len(right))
        return kept + sum(score < threshold for score in absent) / max(1, len(absent))

    best = max((step / 100 for step in range(1, 100)), key=gain)
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"abstain_below": best}, indent=2) + "\n")
    log.info("doubts below %.2f: right answers kept and absent facts refused add up to %.3f", best, gain(best))


def _use_shipped() -> None:
    """Let this process answer with what is shipped, and refuse to measure anything else."""
    install(read_settings().model_copy(update={"profile": "embedded"}))
    entry = residents().catalog.choose("docqa").entry
    if entry.source.form != "models":
        raise RuntimeError(f"the catalog has no [docqa.embedded] with source models/docqa, but {entry.name}")


def _ask_all(split: Split) -> Iterator[Outcome]:
    """Ask about all pages of a set."""
    for number in range(PAGES):
        page = make_page(number, split)
        picture = draw(page)
        read = normal(" ".join(word.text for word in read_words(picture)))
        rng = random.Random(f"asked {split} {number}")
        for question in [*ask(page, rng, QUESTIONS // 2), *ask(page, rng, QUESTIONS // 2, held=True)]:
            begin = time.perf_counter()
            told = answer_about_document.function(question.text, image=picture, run=RUN)
            seconds = time.perf_counter() - begin
            wanted = normal(page.say(question.fact)) if question.fact else None
            right = normal(told.answer) == wanted
            doubted = told.text != told.answer
            readable = wanted is not None and wanted in read
            yield Outcome(question, page.kind, right, readable, doubted, told.score, seconds)


def normal(text: str) -> str:
    """Return a text without case, spaces and outer punctuation, as answers are compared."""
    return "".join(text.lower().split()).strip(OUTER)


def _sort(outcome: Outcome) -> str:
    return keys()[outcome.question.key].sort


def _rightness(outcomes: Sequence[Outcome]) -> dict[str, Any]:
    """Return how many answers are right, and how many a reader of these words could have got right."""
    return {**_share([o.right for o in outcomes]), "readable": _share([o.readable for o in outcomes])["share"]}


def _share(found: Sequence[bool]) -> dict[str, Any]:
    return {"share": round(sum(found) / max(1, len(found)), 4), "of": len(found)}
