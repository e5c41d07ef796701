"""Sets the numbers with which the adapter's scores are weighed, on the development half of hand-written cases.

Every case is posed as in use and scored once; then a grid of numbers is tried on the scores. Knows no training.
"""

from __future__ import annotations

import json
import logging
import threading
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from itertools import product
from pathlib import Path
from statistics import fmean

from assistant.choosing.choose import score
from assistant.choosing.head import read_head
from assistant.choosing.question import Calibration, Candidate, Share, pose, weigh
from assistant.engine.decode import Count
from assistant.speaker import speaker
from bench._cases import REPLY, Case, Tools, builtin_tools, conversation, read_cases, read_tools

log = logging.getLogger(__name__)
DATA = Path(__file__).parents[2] / "tests" / "data"
NEARNESS = tuple(range(0, 31, 2))
REPLIES = tuple(step / 2 for step in range(-4, 25))
NEUTRAL = Calibration(Share(0, 0), Share(0, 0))
HEADS = tuple(step / 4 for step in range(13))


@dataclass(frozen=True, slots=True)
class Scored:
    """A case with what the adapter finds likely; the last is no tool."""

    case: Case
    candidates: tuple[Candidate, ...]
    likely: tuple[float, ...]
    reply_by_head: float | None

    def is_right(self, calibration: Calibration) -> bool:
        """Tell whether the right tool, or none, would be chosen."""
        best = weigh(self.candidates, self.likely, calibration, self.reply_by_head)
        return (best.tool.name if best else REPLY) == self.case.tool


def sets(half: str) -> Iterator[tuple[str, list[Case], Tools]]:
    """Yield the sets of cases of one half: built-in tools, and tools that no training saw with and without examples."""
    unseen = read_tools(DATA / "unseen_tools.json")
    for name, file, tools in (
        ("built-in tools", "tool_requests", builtin_tools()),
        ("unseen tools, three examples", "unseen_requests", unseen),
        ("unseen tools, no examples", "unseen_requests", unseen.without_examples()),
    ):
        cases = [case for case in read_cases(DATA / f"{file}.jsonl") if case.half == half]
        yield name, [case for case in cases if case.category != "korean"], tools


def score_cases(cases: Sequence[Case], tools: Tools, folder: Path) -> list[Scored]:
    """Score each case once, with the head in `folder`."""
    scored = []
    for case in cases:
        question = pose(list(conversation(case, tools)), tools.describe(case.attachments), read_head(folder))
        if question is not None:
            with speaker(threading.Event()) as model:
                _, likely = score(model, question, question.candidates, Count())
            scored.append(Scored(case, question.candidates, tuple(likely), question.reply_by_head))
    return scored


def calibrate(folder: Path) -> None:
    """Find the numbers of the best mean share over the sets, the middle of what is equally good; write them."""
    _write(folder, NEUTRAL)  # without any numbers the adapter is not loaded
    scored = {name: score_cases(cases, tools, folder) for name, cases, tools in sets("development")}
    known = [part for part in scored.values() if part[0].reply_by_head is not None]
    others = [part for part in scored.values() if part[0].reply_by_head is None]
    best = Calibration(_best(known, HEADS), _best(others, (0.0,)))
    for name, part in scored.items():
        log.info("%s: %.3f right", name, fmean(one.is_right(best) for one in part))
    _write(folder, best)
    log.info("written: %s", best)


def _write(folder: Path, calibration: Calibration) -> None:
    (folder / "calibration.json").write_text(json.dumps(asdict(calibration), indent=2) + "\n")


def _best(scored: Sequence[Sequence[Scored]], heads: Sequence[float]) -> Share:
    points = product(NEARNESS, REPLIES, heads)
    shares = {point: fmean(_share(part, Share(*point)) for part in scored) for point in points}
    smooth = {point: _around(shares, point) for point in shares}
    return Share(*max(smooth, key=smooth.__getitem__))


def _share(scored: Sequence[Scored], share: Share) -> float:
    return fmean(one.is_right(Calibration(share, share)) for one in scored)


def _around(shares: dict[tuple[int, float, float], float], point: tuple[int, float, float]) -> float:
    """Return the mean over the neighbours of a point: a lonely peak is luck."""
    near, reply, head = point
    there = [(near + a, reply + b, head + c) for a in (-2, 0, 2) for b in (-0.5, 0, 0.5) for c in (-0.25, 0, 0.25)]
    return fmean(shares[other] for other in there if other in shares)
