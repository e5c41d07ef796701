"""Works through many things a batch at a time, one by one once memory runs out. Knows no model."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from typing import TypeVar

from assistant.errors import Cancelled
from assistant.residents import retry_smaller

T = TypeVar("T")
R = TypeVar("R")


def in_batches(
    items: Sequence[T], size: int, work: Callable[[Sequence[T]], R], stop: threading.Event | None
) -> Iterator[R]:
    """Yield what `work` makes of each batch of at most `size` items, in order; `Cancelled` between them on `stop`.

    Out of memory frees idle models, and from that batch on every item goes alone; an item for which there is no room
    even so is a `ToolError`.
    """
    done = 0

    def next_batch(smaller: bool) -> R:
        nonlocal size
        if stop is not None and stop.is_set():
            raise Cancelled("Stopped.")
        if smaller:
            size = 1
        return work(items[done : done + size])

    while done < len(items):
        yield retry_smaller(next_batch)
        done += size
