"""What several people who talk at once wait: a short question beside a long answer, and answers by turns.

Everything goes through the rounds that the program itself uses.
"""

from __future__ import annotations

import contextlib
import statistics
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from assistant.engine.decode import Count, Engine
from assistant.engine.sample import Sampling
from assistant.rounds import Rounds
from bench._measure import Figure, Seconds, in_turns, milliseconds, ratio
from bench._peers import Embedded, Ours

ROUNDS = 5
LONG = 400  # tokens of the long answer
QUESTION, REPLY = 20, 20  # tokens of the short question and its answer
PROMPT, ANSWER = 200, 80  # tokens of each of several conversations
HISTORY = 1500  # tokens
SWITCHES = 20


@dataclass(frozen=True, slots=True)
class _Told:
    first: float
    whole: float


class _People:
    """Conversations that share one engine."""

    def __init__(self, ours: Ours) -> None:
        self._rounds: Rounds[Engine] = Rounds(lambda: contextlib.nullcontext(ours.engine))

    def ask(self, prompt: list[int], count: int, begun: threading.Event | None = None) -> _Told:
        """Wait for an answer of `count` tokens; `begun` is set after its first."""
        stop = threading.Event()
        started = time.perf_counter()
        first = 0.0
        answer = self._rounds.run(
            lambda engine: engine.stream(prompt, Sampling(count), frozenset(), stop, Count()), stop
        )
        for batch in answer:
            if batch and not first:
                first = time.perf_counter() - started
                if begun:
                    begun.set()
        return _Told(first, time.perf_counter() - started)

    def ask_together(self, prompts: list[list[int]]) -> None:
        """Wait for the answers to all `prompts` at once."""
        threads = [threading.Thread(target=self.ask, args=(prompt, ANSWER)) for prompt in prompts]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()


def run() -> Iterator[Figure]:
    """Yield one figure after another."""
    home = Embedded()
    # loaded on a thread that ends, as the program does: see `LlamaChat.reply` on the helpers that a thread keeps
    with ThreadPoolExecutor(1) as aside:
        ours = aside.submit(home.compiled).result()
    people = _People(ours)
    yield from _short_beside_long(home, ours, people)
    for count in (2, 4):
        yield _together(count, home, ours, people)
    yield _switch(home, ours)


def _short_beside_long(home: Embedded, ours: Ours, people: _People) -> Iterator[Figure]:
    alone: list[_Told] = []
    beside: list[_Told] = []
    for number in range(ROUNDS + 1):
        long, short = home.piece(0, PROMPT), home.piece(1000 + number * QUESTION, QUESTION)
        ours.forget()
        told = people.ask(short, REPLY)
        ours.forget()
        begun = threading.Event()
        other = threading.Thread(target=people.ask, args=(long, LONG, begun))
        other.start()
        begun.wait()
        told_beside = people.ask(short, REPLY)
        if not other.is_alive():
            raise RuntimeError("the long answer was over before the short one")
        other.join()
        if number:  # the first warms up
            alone.append(told)
            beside.append(told_beside)
    which = f"a question of {QUESTION} tokens beside an answer of {LONG} / alone"
    names = ("beside", "alone")
    yield ratio(f"{which}: first token", [t.first for t in beside], [t.first for t in alone], names)
    yield ratio(f"{which}: end", [t.whole for t in beside], [t.whole for t in alone], names)


def _together(count: int, home: Embedded, ours: Ours, people: _People) -> Figure:
    prompts = [home.piece(number * PROMPT, PROMPT) for number in range(count)]

    def one_after_another() -> float:
        ours.forget()
        return sum(people.ask(prompt, ANSWER).whole for prompt in prompts)

    def together() -> float:
        ours.forget()
        started = time.perf_counter()
        people.ask_together(prompts)
        return time.perf_counter() - started

    seconds = in_turns({"apart": one_after_another, "together": together}, ROUNDS)
    figure = f"{count} conversations: one after another / together"
    return ratio(figure, seconds["apart"], seconds["together"], ("apart", "together"))


def _switch(home: Embedded, ours: Ours) -> Figure:
    ours.forget()
    two = [
        ours.engine.stream(home.piece(start, HISTORY), Sampling(LONG), frozenset(), threading.Event(), Count())
        for start in (0, HISTORY)
    ]
    for answer in two:
        while not next(answer):
            pass
    switched: Seconds = []
    stayed: Seconds = []
    for number in range(SWITCHES):
        answer = two[number % 2]
        for told in (switched, stayed):
            started = time.perf_counter()
            next(answer)
            told.append(time.perf_counter() - started)
    for answer in two:
        answer.close()  # type: ignore[attr-defined]  # a generator
    figure = ratio(f"a token after a switch at {HISTORY} tokens / without", switched, stayed, ("switched", "stayed"))
    cost = [one - other for one, other in zip(switched, stayed, strict=True)]
    return figure | {"switch_ms": milliseconds([statistics.median(cost)])}
