"""How long a person waits in a conversation that goes on: what is kept between turns, and what guessing saves.

A turn of 1,500 tokens of history, 40 new ones and 60 of answer; a conversation of fifty small turns; a quotation.
"""

from __future__ import annotations

import statistics
from collections.abc import Iterator, Mapping
from typing import Any

from bench._llama31 import LLAMA31, Random8B
from bench._measure import Figure, Seconds, in_turns, left_out, ratio
from bench._peers import NO_LLAMA_CPP, Embedded, Ours

ROUNDS = 5
HISTORY, NEW, ANSWER = 1500, 40, 60  # tokens
SMALL_ANSWER = 16  # tokens, of the conversation of fifty turns
BEGUN, QUOTED = 8, 142  # tokens of a passage of 150 that the prompt begins to quote, and that are left


def run() -> Iterator[Figure]:
    """Yield one figure after another."""
    home = Embedded()
    ours = home.compiled()
    yield _first_token(home, ours)
    yield _whole_turn(home, ours)
    yield _long_conversation(home, ours)
    yield _quotation(home, ours)


class _Questions:
    """Prompts that go on from the same history with something new each time."""

    def __init__(self, home: Embedded) -> None:
        self.history = home.piece(0, HISTORY)
        self._home = home
        self._asked = 0

    def next(self) -> list[int]:
        self._asked += 1
        return self.history + self._home.piece(HISTORY + self._asked * 7, NEW)


def _first_token(home: Embedded, ours: Ours) -> Figure:
    questions = _Questions(home)

    def reused() -> float:
        ours.begin(questions.history)
        return ours.answer(questions.next(), 1).first

    def anew() -> float:
        ours.forget()
        return ours.answer(questions.next(), 1).first

    seconds = in_turns({"ours": reused, "anew": anew}, ROUNDS)
    figure = f"first token after {HISTORY} + {NEW} tokens: nothing kept / ours"
    return ratio(figure, seconds["anew"], seconds["ours"], ("anew", "ours"))


def _whole_turn(home: Embedded, ours: Ours) -> Figure:
    figure = f"turn of {HISTORY} + {NEW} in, {ANSWER} out: llama.cpp / ours"
    llama = home.llama_cpp()
    if llama is None:
        return left_out(figure, NO_LLAMA_CPP)
    questions = _Questions(home)

    def mine() -> float:
        ours.begin(questions.history)
        return ours.answer(questions.next(), ANSWER).whole

    # it goes back to the history by itself
    seconds = in_turns({"ours": mine, "peer": lambda: llama.answer(questions.next(), ANSWER).whole}, ROUNDS)
    return ratio(figure, seconds["peer"], seconds["ours"])


def _long_conversation(home: Embedded, ours: Ours) -> Figure:
    early: Seconds = []
    late: Seconds = []
    for _ in range(ROUNDS):
        ours.forget()
        ids: list[int] = []
        firsts: Seconds = []
        for number in range(51):
            ids += home.piece(number * NEW, NEW)
            timing = ours.answer(ids, SMALL_ANSWER)
            ids += timing.ids
            firsts.append(timing.first)
        # a turn is short: its neighbours say how much of it is chance
        early.append(statistics.median(firsts[1:4]))
        late.append(statistics.median(firsts[48:51]))
    return ratio(f"first token of turn 50 / turn 2, {NEW} new tokens each", late, early, ("turn_50", "turn_2"))


def _quotation(home: Embedded, ours: Ours) -> Figure:
    passage, gap = home.piece(400, BEGUN + QUOTED), home.tokenizer.encode("\n\n")
    # a model this small quotes when it sees that it has quoted before
    prompt = [*passage, *gap, *passage, *gap, *passage[:BEGUN]]
    guessed, plain = ours.answer(prompt, QUOTED, copies=True), ours.answer(prompt, QUOTED)
    seconds = in_turns(
        {
            "ours": lambda: ours.answer(prompt, QUOTED, copies=True).whole,
            "plain": lambda: ours.answer(prompt, QUOTED).whole,
        },
        ROUNDS,
    )
    figure = ratio(f"quoting {QUOTED} tokens: no guesses / ours", seconds["plain"], seconds["ours"], ("plain", "ours"))
    quoted = sum(one == other for one, other in zip(guessed.ids, passage[BEGUN:], strict=True))
    return figure | {"passes": guessed.passes, "quoted": quoted, "same_text": guessed.ids == plain.ids}


def run_on_gpu(shape: Mapping[str, Any] = LLAMA31, device: str = "cuda") -> Iterator[Figure]:
    """Yield the figures of a GPU; another `shape` and `device` try out this code where there is none."""
    same = Random8B(shape, device)
    history, asked = same.ids(0, HISTORY), iter(range(1, 1000))

    def mine(count: int) -> tuple[float, float]:
        same.ours.begin(history)
        timing = same.ours.answer(history + same.ids(next(asked), NEW), count)
        return timing.first, timing.whole

    def anew() -> float:
        same.ours.forget()
        return same.ours.answer(history + same.ids(next(asked), NEW), 1).first

    def bare() -> float:
        return same.bare.answer(history + same.ids(next(asked), NEW), ANSWER).whole

    seconds = in_turns({"ours": lambda: mine(1)[0], "anew": anew}, ROUNDS)
    figure = f"first token after {HISTORY} + {NEW} tokens: nothing kept / ours"
    yield ratio(figure, seconds["anew"], seconds["ours"], ("anew", "ours"))
    seconds = in_turns({"ours": lambda: mine(ANSWER)[1], "peer": bare}, ROUNDS)
    yield ratio(f"turn of {HISTORY} + {NEW} in, {ANSWER} out: generate NF4 / ours", seconds["peer"], seconds["ours"])
