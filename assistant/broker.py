"""Lets the models of a process share one memory budget. Knows sizes and lines, not what a model is for.

A lease waits in the line of its model, then in the one line for room; room is made by letting idle models go, the least
recently used first. Who holds one model and wants a second gets it at once or is refused, so nobody waits for ever.
"""

from __future__ import annotations

import contextlib
import contextvars
import gc
import logging
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from assistant.catalog import Catalog, Entry
from assistant.errors import BadInput, Cancelled, ModelUnavailable
from assistant.footprints import Footprint, Footprints, measure_peak, weights_of
from assistant.lanes import WAIT_SECONDS, Lane
from assistant.parking import Parking
from assistant.settings import GIGABYTE
from assistant.types import Progress
from assistant.weights import Weights

T = TypeVar("T")
log = logging.getLogger(__name__)
used: contextvars.ContextVar[list[str] | None] = contextvars.ContextVar("used", default=None)
"""Collects "name@revision" of every model leased while a tool runs, for its receipt."""
leasing: contextvars.ContextVar[str | None] = contextvars.ContextVar("leasing", default=None)
"""The role that this thread holds."""
LOADING = Lane()
"""One load at a time in this process: transformers and accelerate patch torch while they load, for all threads."""
Loader = Callable[[Weights, Progress], T]


@dataclass
class Seat:
    """A model in memory. `bytes` are its weights; a parked one lies in memory of the host and takes no budget."""

    weights: Weights
    model: Any
    bytes: int
    load_seconds: float
    since: float = field(default_factory=time.time)
    last_used: float = field(default_factory=time.monotonic)
    parking: Parking | None = None
    parked: bool = False


@dataclass(frozen=True, slots=True)
class Status:
    """What `models` shows for one role; `where` is "GPU", "memory", "parked" or "", `since` in seconds since 1970."""

    role: str
    name: str
    profile: str
    licence: str
    bytes: int
    where: str
    since: float | None
    load_seconds: float | None
    reason: str


class Broker:
    """The models of this process under one budget."""

    def __init__(self, catalog: Catalog, budget_bytes: int, footprints: Footprints) -> None:
        """Hold at most `budget_bytes` of weights and of what running models take on top."""
        self.catalog = catalog
        self.budget = budget_bytes
        self._footprints = footprints
        self._seats: dict[str, Seat] = {}
        self._reserved: dict[str, int] = {}  # by role: what a lease may take beyond the seats
        self._lanes: dict[str, Lane] = {}
        self._admission = Lane()
        self._changed = threading.Condition()  # guards seats and reservations

    @contextlib.contextmanager
    def lease(self, role: str, load: Loader[T], stop: threading.Event | None, progress: Progress) -> Iterator[T]:
        """Give the model of `role` to one caller at a time, loading it first; `Cancelled` when `stop` is set."""
        with self._changed:
            lane = self._lanes.setdefault(role, Lane())
        name = self.catalog.choose(role).entry.name
        with lane.turn(stop, lambda before: progress(None, f"waiting for {name}: {before} before you")):
            path = self.catalog.fetch(role, progress)
            seat = self._admit(role, path, load, stop, progress)
            token = leasing.set(role)
            try:
                with self._measured(seat):
                    yield seat.model
            finally:
                with contextlib.suppress(ValueError):  # a generator may end in another thread than it began in
                    leasing.reset(token)
                seat.last_used = time.monotonic()
                self._release(role)

    def is_loaded(self, role: str) -> bool:
        """Tell whether `role` is in memory."""
        return role in self._seats

    def used_bytes(self) -> int:
        """Return what models in memory and running leases take of the budget."""
        with self._changed:
            return self._used()

    def unload(self, role: str) -> None:
        """Let a model go; `BadInput` when somebody is using it."""
        with self._changed:
            if role in self._reserved:
                raise BadInput(f"{self.catalog.choose(role).entry.name} is in use. Try again when it is done.")
            if role in self._seats:
                self._drop(role)

    def unload_idle(self, seconds: float = 0.0) -> None:
        """Let every model go that nobody has used for `seconds`."""
        with self._changed:
            now = time.monotonic()
            for role in [r for r in self._idle() if now - self._seats[r].last_used >= seconds]:
                self._drop(role)

    def status(self) -> list[Status]:
        """Describe every role of the catalog."""
        return [self._status(role) for role in self.catalog.roles]

    def _status(self, role: str) -> Status:
        if obstacle := self.catalog.obstacle(role):
            return Status(role, "none", "-", "-", 0, "", None, None, obstacle)
        choice = self.catalog.choose(role)
        entry, why, seat = choice.entry, "; ".join(choice.passed_over), self._seats.get(role)
        if seat is None:
            expected = self._footprints.expect(_key(entry), entry.bytes).weights
            return Status(role, entry.name, entry.profile, entry.licence, expected, "", None, None, why)
        where = "parked" if seat.parked else "GPU" if seat.weights.device == "cuda" else "memory"
        return Status(
            role, entry.name, entry.profile, entry.licence, seat.bytes, where, seat.since, seat.load_seconds, why
        )

    def _admit(self, role: str, path: Path, load: Loader[T], stop: threading.Event | None, progress: Progress) -> Seat:
        """Wait for room, reserve it, and return the seat, loaded."""
        entry = self.catalog.choose(role).entry
        expected = self._footprints.expect(_key(entry), entry.bytes)
        if expected.weights > self.budget:
            raise ModelUnavailable(
                f"{entry.name} needs {expected.weights / GIGABYTE:.1f} GB; all models together may take "
                f"{self.budget / GIGABYTE:.1f} GB here. Choose a smaller one, or raise ASSISTANT_MEMORY_GB."
            )
        in_line = self._admission.turn(stop, lambda before: progress(None, "waiting for room in memory"))
        # who holds a model must not wait in line behind somebody who waits for that very room
        with contextlib.nullcontext() if leasing.get() else in_line:
            self._reserve(role, expected, stop)
        try:
            seat = self._seats.get(role) or self._load(role, Weights(entry, path), load, stop, progress)
            if seat.parked and seat.parking:
                seat.parking.come_back()
                seat.parked = False
        except BaseException:
            self._release(role)
            raise
        with self._changed:
            self._reserved[role] = max(0, min(expected.activation, self.budget - seat.bytes))
        return seat

    def _reserve(self, role: str, expected: Footprint, stop: threading.Event | None) -> None:
        with self._changed:
            while True:
                seat = self._seats.get(role)
                weights = 0 if seat and not seat.parked else expected.weights
                # a run that once took more than there is gets everything rather than nothing
                need = weights + min(expected.activation, self.budget - expected.weights)
                if self._make_room(role, need):
                    self._reserved[role] = need
                    return
                if leasing.get():
                    raise ModelUnavailable(
                        f"There is no room for another model beside {leasing.get()!r}. Finish with that one first."
                    )
                self._changed.wait(WAIT_SECONDS)
                if stop is not None and stop.is_set():
                    raise Cancelled("Stopped while waiting for room in memory.")

    def _make_room(self, role: str, need: int) -> bool:
        while self._used() + need > self.budget:
            idle = [other for other in self._idle() if other != role]
            if not idle:
                return False
            self._leave(min(idle, key=lambda other: self._seats[other].last_used))
        return True

    def _used(self) -> int:
        return sum(seat.bytes for seat in self._seats.values() if not seat.parked) + sum(self._reserved.values())

    def _idle(self) -> list[str]:
        return [role for role, seat in self._seats.items() if role not in self._reserved and not seat.parked]

    def _load(
        self, role: str, weights: Weights, load: Loader[T], stop: threading.Event | None, progress: Progress
    ) -> Seat:
        with LOADING.turn(stop, lambda before: progress(None, "waiting for another model to load")):
            started = time.monotonic()
            progress(None, f"loading {weights.entry.name}")
            model = load(weights, progress)
        seat = Seat(weights, model, weights_of(model, weights.entry.bytes), time.monotonic() - started)
        log.info("loaded %s in %.1f s", weights.entry.name, seat.load_seconds)
        self._footprints.remember(_key(weights.entry), seat.bytes, 0)
        with self._changed:
            self._reserved[role] = 0  # the seat counts from now on
            self._seats[role] = seat
        return seat

    def _leave(self, role: str) -> None:
        """Move an idle model out of the budget: to memory of the host where there is room, else out of memory."""
        if not self._can_park(role):
            self._drop(role)
            return
        seat = self._seats[role]
        seat.parking = seat.parking or Parking(seat.model, seat.weights.device)
        seat.parking.leave()
        seat.parked = True
        log.info("parked %s (%.1f GB)", seat.weights.entry.name, seat.bytes / GIGABYTE)

    def _can_park(self, role: str) -> bool:
        """Tell whether coming back from the host's memory beats loading anew: on a GPU, while the host has room."""
        seat = self._seats[role]
        return seat.weights.device == "cuda" and _host_bytes() > 2 * seat.bytes

    def _drop(self, role: str) -> None:
        seat = self._seats.pop(role)
        log.info("freed %s (%.1f GB)", seat.weights.entry.name, seat.bytes / GIGABYTE)
        device = seat.weights.device
        del seat
        gc.collect()  # a SentenceTransformer points at itself, and what does would stay in memory
        if device == "cuda":
            import torch

            torch.cuda.empty_cache()

    def _release(self, role: str) -> None:
        with self._changed:
            self._reserved.pop(role, None)
            self._changed.notify_all()

    @contextlib.contextmanager
    def _measured(self, seat: Seat) -> Iterator[None]:
        """Note the model on the receipt, and what the run takes if no other runs at the same time."""
        names = used.get()
        if names is not None:
            names.append(_key(seat.weights.entry))
        alone = len(self._reserved) == 1
        with measure_peak(seat.weights.device) as peak:
            yield
        if alone and len(self._reserved) == 1:
            self._footprints.remember(_key(seat.weights.entry), seat.bytes, peak.bytes)


def _key(entry: Entry) -> str:
    return f"{entry.name}@{entry.source.revision}"


def _host_bytes() -> int:
    import psutil

    return int(psutil.virtual_memory().available)
