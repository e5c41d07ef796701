"""Lets several generators share one thing by turns, on one thread that owns it. Knows neither the thing nor the work.

Who comes later does not wait for the end of what runs: every job gets a slice of time in its round.
"""

from __future__ import annotations

import logging
import queue
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

from assistant.errors import ModelUnavailable

M = TypeVar("M")
T = TypeVar("T")
log = logging.getLogger(__name__)
SLICE_SECONDS = 0.2
MOST = 16  # jobs at a time
POLL_SECONDS = 0.05
Job = Callable[[M], Iterator[T | None]]


@dataclass(frozen=True, slots=True)
class _Ended:
    error: BaseException | None = None


@dataclass(eq=False, slots=True)
class _Place(Generic[M, T]):
    job: Job[M, T]
    stop: threading.Event
    out: queue.SimpleQueue[T | _Ended] = field(default_factory=queue.SimpleQueue)
    left: threading.Event = field(default_factory=threading.Event)
    items: Iterator[T | None] | None = None
    ended: _Ended | None = None


class Rounds(Generic[M]):
    """The jobs that share what `lease` gives; the thread and the lease last for as long as there are any."""

    def __init__(self, lease: Callable[[], AbstractContextManager[M]], most: int = MOST) -> None:
        """Begin with no job; one more than `most` is refused."""
        self._lease = lease
        self._most = most
        self._places: deque[_Place[M, Any]] = deque()
        self._lock = threading.Lock()
        self._running = False

    def run(self, job: Job[M, T], stop: threading.Event) -> Iterator[T]:
        """Yield what `job` yields, but None, which only lets others have a turn; raise what it raises.

        When `stop` is set before its first turn the job never begins; later it is the job that looks at `stop`.
        Closing this iterator closes the job within its current step. `ModelUnavailable` when the rounds are full.
        """
        place: _Place[M, T] = _Place(job, stop)
        self._enter(place)
        try:
            while True:
                try:
                    item = place.out.get(timeout=POLL_SECONDS)
                except queue.Empty:
                    if stop.is_set() and place.items is None:
                        return
                    continue
                if not isinstance(item, _Ended):
                    yield item
                elif item.error is not None:
                    raise item.error
                else:
                    return
        finally:
            place.left.set()

    def _enter(self, place: _Place[M, Any]) -> None:
        with self._lock:
            # who left is still there until the next turn
            if sum(not other.left.is_set() for other in self._places) >= self._most:
                raise ModelUnavailable(
                    f"{self._most} answers are being written already. Wait until one is done and send it again."
                )
            if not self._running:
                threading.Thread(target=self._work, daemon=True).start()
                self._running = True
            # before all who had a turn already, but behind those who wait for their first
            self._places.insert(sum(other.items is None for other in self._places), place)

    def _work(self) -> None:
        """Work for as long as there are jobs; who is last is told only when the lease was given back."""
        going = True
        while going:
            error = None
            try:
                self._take_turns()
            except BaseException as caught:
                error = _Ended(caught)
            with self._lock:
                over = [place for place in self._places if error or place.ended]
                self._places = deque(place for place in self._places if place not in over)
                going = self._running = bool(self._places)
            for place in over:
                place.out.put(error or place.ended)

    def _take_turns(self) -> None:
        with self._lease() as thing:
            while place := self._next():
                self._go_on(place, thing)

    def _next(self) -> _Place[M, Any] | None:
        """Tell those who are over, but the last, and return whose turn it is."""
        with self._lock:
            over = [place for place in self._places if place.ended]
            going = deque(place for place in self._places if not place.ended)
            going.rotate(-1)
            if any(not place.left.is_set() for place in going):
                for place in over:
                    place.out.put(place.ended)
                over = []
            self._places = deque([*over, *going])
            return going[-1] if going else None

    def _go_on(self, place: _Place[M, Any], thing: M) -> None:
        """Run one job for a slice of time."""
        until = time.monotonic() + SLICE_SECONDS
        try:
            if place.items is None:
                gone = place.stop.is_set() or place.left.is_set()
                place.items = iter(()) if gone else place.job(thing)
            items = place.items
            while not place.left.is_set():
                item = next(items)
                if item is not None:
                    place.out.put(item)
                if time.monotonic() > until:
                    return
            if hasattr(items, "close"):
                items.close()
            place.ended = _Ended()
        except StopIteration:
            place.ended = _Ended()
        except BaseException as error:
            if place.left.is_set():
                log.exception("a job broke that nobody waits for")
            place.ended = _Ended(error)
