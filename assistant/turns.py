"""A running turn as a front end holds it: events to iterate, and two ways to stop. Knows no model and no tool."""

from __future__ import annotations

import threading
from collections.abc import Callable, Generator, Iterator
from typing import Any

from assistant.types import Event


class Turn(Iterator[Event]):
    """A running turn: iterate it for events, `cancel()` it from any thread, or close it."""

    def __init__(
        self, conversation: str, events: Iterator[Event], stop: threading.Event, ended: Callable[[], None]
    ) -> None:
        """Wrap the events of one turn; `ended` is called once, when the last has come or the turn is closed."""
        self.conversation = conversation
        self._stop = stop
        self._events = self._watch(events, ended)
        next(self._events)  # a generator that never began would not call `ended` when it is closed

    def __next__(self) -> Event:
        """Return the next event."""
        event: Event = next(self._events)
        return event

    @staticmethod
    def _watch(events: Iterator[Event], ended: Callable[[], None]) -> Generator[Any, None, None]:
        try:
            yield None
            yield from events
        finally:
            ended()

    def close(self) -> None:
        """Stop and let go at once; no more events come."""
        self._stop.set()
        self._events.close()

    def cancel(self) -> None:
        """Stop within one token or one tool step; what was said so far is kept."""
        self._stop.set()
