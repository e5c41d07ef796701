"""Measures answers through the function of the plugin, by kind of question, and finds what score makes them a guess.

What was asked about a scene is put as the world asks it, in other words, about wider pictures, and about strangers.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from statistics import fmean
from typing import Any

import numpy as np
from PIL import Image as Pictures
from PIL.Image import Image

from plugins.answer_about_image import _ask, answerer
from training.drawing import SIDE
from training.sentences import Asked, ask
from training.vqa.questions import TASTE, estranged, typed
from training.world import HELD_OUT, make_scene

QUESTIONS = 4000
FEW = 1000  # questions for a figure beside the main one
ASIDE = 7  # the stream of scenes with which the lowest score of a sure answer is found
WIDER = 3 / 2  # times as wide as high
RELATIONS = ("beside", "compare", "biggest")
STRANGERS = ("elephant", "bicycle", "piano", "candle", "spoon", "lamp", "sock", "ladder", "whale", "robot")
Posed = Iterable[tuple[Image, Asked]]


@dataclass(frozen=True, slots=True)
class Told:
    """An answer of the model: to what kind of question, whether it is right, its score, and how long it took."""

    kind: str
    right: bool
    score: float
    seconds: float


def figures(questions: int = QUESTIONS) -> dict[str, Any]:
    """Return the shares of right answers, all in all and by kind, how sure they are, and the seconds each took."""
    few = min(FEW, questions)
    with answerer() as (processor, model):
        plain = tell(processor, model, posed(questions))
        other = tell(processor, model, posed(few, vendor="fluent"))
        words = tell(processor, model, in_other_words(posed(few)))
        wide = tell(processor, model, widened(posed(few)))
        strange = tell(processor, model, about_strangers(posed(few)))
        least = model.config.abstain_below
    return {
        "accuracy": share(plain),
        "questions": questions,
        "kinds": by_kind(plain),
        "relations": share([one for one in plain if one.kind in RELATIONS]),
        "accuracy, drawings of another style": share(other),
        "kinds, drawings of another style": by_kind(other),
        "accuracy, in other words": share(words),
        "accuracy, pictures half as wide again": share(wide),
        "right answers called a guess": guessed([one for one in plain if one.right], least),
        "wrong answers called a guess": guessed([one for one in plain if not one.right], least),
        "answers about unknown things called a guess": guessed(strange, least),
        "seconds per answer": round(fmean(one.seconds for one in plain), 4),
    }


def posed(count: int, stream: int = HELD_OUT, vendor: str = "noto") -> Iterator[tuple[Image, Asked]]:
    """Yield pictures, each with a question about it."""
    for number in range(count):
        scene = make_scene(number, stream, TASTE, vendor)
        rng = np.random.default_rng([stream, number, 1])  # without the 1 it would draw again what the scene drew
        yield Pictures.fromarray(scene.pixels), ask(scene, rng)


def in_other_words(pairs: Posed) -> Iterator[tuple[Image, Asked]]:
    """Ask the same as somebody might type it, where it still has an answer."""
    rng = np.random.default_rng(0)
    for picture, asked in pairs:
        put = typed(asked, rng)
        if put.answer:
            yield picture, put


def widened(pairs: Posed) -> Iterator[tuple[Image, Asked]]:
    """Put each picture in the middle of a wider one of its own background; asking where things are is no use there."""
    for picture, asked in pairs:
        if asked.kind != "where":
            pixels = np.asarray(picture)
            border = np.concatenate([pixels[0], pixels[-1], pixels[:, 0], pixels[:, -1]])
            ground = Pictures.new("RGB", (round(WIDER * SIDE), SIDE), tuple(np.median(border, 0).astype(int).tolist()))
            ground.paste(picture, ((ground.width - SIDE) // 2, 0))
            yield ground, asked


def about_strangers(pairs: Posed) -> Iterator[tuple[Image, Asked]]:
    """Ask about things that the model has no word for."""
    rng = np.random.default_rng(0)
    for picture, asked in pairs:
        if strange := estranged(asked, STRANGERS[rng.integers(len(STRANGERS))], rng):
            yield picture, strange


def tell(processor: Any, model: Any, pairs: Posed) -> list[Told]:
    """Answer questions one by one, as the plugin does."""
    found = []
    for picture, asked in pairs:
        begin = time.perf_counter()
        scores = _ask(processor, model, picture, asked.question)
        seconds = time.perf_counter() - begin
        best = int(scores.argmax())
        found.append(Told(asked.kind, model.config.id2label[best] == asked.answer, float(scores[best]), seconds))
    return found


def calibrate(processor: Any, model: Any, questions: int = FEW) -> float:
    """Return the score that best parts right answers from wrong ones and from those about unknown things."""
    known = tell(processor, model, posed(questions, ASIDE))
    strange = tell(processor, model, about_strangers(posed(questions, ASIDE)))
    return parting(
        [one.score for one in known if one.right], [one.score for one in (*known, *strange) if not one.right]
    )


def parting(right: list[float], wrong: list[float]) -> float:
    """Return where to part two sets of scores so that the shares on their proper sides are largest (Youden, 1950)."""
    scores = np.unique([*right, *wrong])
    edges = (scores[:-1] + scores[1:]) / 2
    kept = 1 - np.searchsorted(np.sort(right), edges) / len(right)
    dropped = np.searchsorted(np.sort(wrong), edges) / len(wrong)
    return round(float(edges[(kept + dropped).argmax()]), 4)


def share(told: list[Told]) -> float:
    """Return the share of right answers."""
    return round(sum(one.right for one in told) / max(1, len(told)), 4)


def guessed(told: list[Told], least: float) -> float:
    """Return the share of answers that are called a guess."""
    return round(sum(one.score < least for one in told) / max(1, len(told)), 4)


def by_kind(told: list[Told]) -> dict[str, dict[str, float]]:
    """Return for each kind of question the share of right answers, and how many there were."""
    kinds = {kind: [one for one in told if one.kind == kind] for kind in sorted({one.kind for one in told})}
    return {kind: {"accuracy": share(some), "questions": len(some)} for kind, some in kinds.items()}
