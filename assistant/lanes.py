"""Waiting in line: who came first goes first, is told the place, and may leave. Knows nothing of what is waited for."""

from __future__ import annotations

import contextlib
import threading
from collections import deque
from collections.abc import Callable, Iterator

from assistant.errors import Cancelled

WAIT_SECONDS = 0.05  # how often somebody in line looks whether they were stopped


class Lane:
    """A line with one place at its head."""

    def __init__(self) -> None:
        """Begin with nobody in line."""
        self._line: deque[object] = deque()
        self._moved = threading.Condition()

    @contextlib.contextmanager
    def turn(self, stop: threading.Event | None, tell: Callable[[int], None]) -> Iterator[None]:
        """Hold the head of the line; `tell` is given the number still before us whenever it changes.

        Raises `Cancelled` when `stop` is set while waiting.
        """
        me = object()
        told = 0
        with self._moved:
            self._line.append(me)
            try:
                while (before := self._line.index(me)) > 0:
                    if before != told:
                        told = before
                        tell(before)
                    self._moved.wait(WAIT_SECONDS)
                    if stop is not None and stop.is_set():
                        raise Cancelled("Stopped while waiting in line.")
            except BaseException:
                self._leave(me)
                raise
        try:
            yield
        finally:
            self._leave(me)

    def is_busy(self) -> bool:
        """Tell whether somebody holds the head or waits for it."""
        return bool(self._line)

    def _leave(self, me: object) -> None:
        with self._moved:
            self._line.remove(me)
            self._moved.notify_all()
