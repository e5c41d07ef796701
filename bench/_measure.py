"""How peers are compared: by turns in one run, as ratios of turns that stood side by side. Knows no model."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Mapping, Sequence
from typing import Any

Figure = dict[str, Any]
Seconds = list[float]


def in_turns(works: Mapping[str, Callable[[], float]], rounds: int) -> dict[str, Seconds]:
    """Let each of `works` have its turn, `rounds` times after one that warms up; return the seconds they tell."""
    told: dict[str, Seconds] = {name: [] for name in works}
    for number in range(rounds + 1):
        for name, work in works.items():
            seconds = work()
            if number:
                told[name].append(seconds)
    return told


def ratio(figure: str, upper: Seconds, lower: Seconds, names: Sequence[str] = ("peer", "ours")) -> Figure:
    """Make the line of one figure: the median of `upper` / `lower` over the rounds, how far the rounds lay apart, and
    the median milliseconds of both by their `names`.

    Seconds of a peer over ours is how many times as fast ours is.
    """
    ratios = [one / other for one, other in zip(upper, lower, strict=True)]
    return {
        "figure": figure,
        "ratio": round(statistics.median(ratios), 3),
        "lowest": round(min(ratios), 3),
        "highest": round(max(ratios), 3),
        f"{names[0]}_ms": milliseconds(upper),
        f"{names[1]}_ms": milliseconds(lower),
    }


def milliseconds(seconds: Seconds) -> float:
    """Return the median."""
    return round(statistics.median(seconds) * 1000, 2)


def left_out(figure: str, why: str) -> Figure:
    """Make the line of a figure that cannot be had here."""
    return {"figure": figure, "left_out": why}
