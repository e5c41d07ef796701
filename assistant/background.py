"""Runs work on a thread while the caller iterates its reports. Knows neither the work nor the reports."""

from __future__ import annotations

import contextvars
import queue
import threading
from collections.abc import Callable, Generator
from dataclasses import dataclass
from typing import Generic, TypeVar

from assistant.errors import Cancelled

R = TypeVar("R")
T = TypeVar("T")
POLL_SECONDS = 0.05


@dataclass(frozen=True, slots=True)
class _Ended(Generic[T]):
    value: T | None = None
    error: BaseException | None = None


def run_in_background(work: Callable[[Callable[[R], None]], T], stop: threading.Event) -> Generator[R, None, T]:
    """Yield what `work` reports through the function it is given, and return its value or raise its error.

    Raises `Cancelled` at once when `stop` is set; closing the generator sets it. The thread then runs on until the
    work itself looks at `stop`, and what it makes is dropped.
    """
    reports: queue.SimpleQueue[R | _Ended[T]] = queue.SimpleQueue()

    def body() -> None:
        try:
            reports.put(_Ended(value=work(reports.put)))
        except BaseException as error:
            reports.put(_Ended(error=error))

    threading.Thread(target=contextvars.copy_context().run, args=(body,), daemon=True).start()
    try:
        while not stop.is_set():
            try:
                report = reports.get(timeout=POLL_SECONDS)
            except queue.Empty:
                continue
            if isinstance(report, _Ended):
                if report.error is not None:
                    raise report.error
                return report.value  # type: ignore[return-value]
            yield report
        raise Cancelled("Stopped.")
    except GeneratorExit:
        stop.set()
        raise
