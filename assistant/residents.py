"""Which models are in memory: one budget for all of them, least recently used goes first. Knows no plugin.

First version: sizes come from the catalog, one lock guards loading, and each model serves one caller at a time.
"""

from __future__ import annotations

import contextlib
import contextvars
import gc
import logging
import shutil
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Generic, TypeVar

from assistant.catalog import Catalog, Entry, Machine
from assistant.errors import Cancelled, ModelUnavailable
from assistant.settings import GIGABYTE, Settings
from assistant.types import Progress

T = TypeVar("T")
log = logging.getLogger(__name__)
WAIT_SECONDS = 0.05
SHARE = 0.8  # of a machine's memory; the rest is for activations and everything else that runs
used: contextvars.ContextVar[list[str] | None] = contextvars.ContextVar("used", default=None)
"""Collects "name@revision" of every model leased while a tool runs, for its receipt."""


@dataclass(frozen=True, slots=True)
class Weights:
    """An entry of the catalog whose files are on this machine, at `path`: what a loader gets."""

    entry: Entry
    path: Path

    @property
    def device(self) -> str:
        """Where models run: "cuda" or "cpu"."""
        return "cuda" if _has_gpu() else "cpu"

    def load(self, kind: Any, **options: Any) -> Any:
        """Load a transformers or diffusers class from the weights, on the device and in the catalog's dtype.

        A CPU has no fast half precision for every operation, so float16 becomes float32 there.
        """
        import torch

        dtype = getattr(torch, self.entry.dtype)
        if self.device == "cpu" and dtype is torch.float16:
            dtype = torch.float32
        key = "torch_dtype" if kind.__module__.startswith("diffusers") else "dtype"
        model = kind.from_pretrained(self.path, **{key: dtype}, **options).to(self.device)
        return model.eval() if isinstance(model, torch.nn.Module) else model


@dataclass
class Seat(Generic[T]):
    """A model in memory and who may use it now."""

    weights: Weights
    model: T
    load_seconds: float
    lane: threading.Lock
    last_used: float = field(default_factory=time.monotonic)


@dataclass(frozen=True, slots=True)
class Status:
    """What `models` shows for one role."""

    role: str
    name: str
    profile: str
    licence: str
    bytes: int
    loaded: bool
    reason: str


class Residents:
    """The models of this process. `lease` loads on first use and keeps others from evicting it meanwhile."""

    def __init__(self, catalog: Catalog, budget_bytes: int) -> None:
        """Hold at most `budget_bytes` of weights."""
        self.catalog = catalog
        self._budget = budget_bytes
        self._seats: dict[str, Seat[Any]] = {}
        self._lanes: dict[str, threading.Lock] = {}
        self._loading = threading.Lock()

    @contextlib.contextmanager
    def lease(
        self,
        role: str,
        load: Callable[[Weights, Progress], T],
        stop: threading.Event | None,
        progress: Progress,
    ) -> Iterator[T]:
        """Give the model of `role` to one caller; waits in line, and leaves it with `Cancelled` when `stop` is set."""
        lane = self._lanes.setdefault(role, threading.Lock())
        with _held(lane, stop):
            if role not in self._seats:
                with _held(self._loading, stop):
                    self._seats[role] = self._load(role, load, lane, progress)
            seat = self._seats[role]
            seat.last_used = time.monotonic()
            names = used.get()
            if names is not None:
                names.append(f"{seat.weights.entry.name}@{seat.weights.entry.source.revision}")
            yield seat.model

    def is_loaded(self, role: str) -> bool:
        """Tell whether `role` is in memory."""
        return role in self._seats

    def status(self) -> list[Status]:
        """Describe every role of the catalog."""
        rows = []
        for role in self.catalog.roles:
            try:
                choice = self.catalog.choose(role)
            except ModelUnavailable as error:
                rows.append(Status(role, "none", "-", "-", 0, False, str(error)))
                continue
            entry, why = choice.entry, "; ".join(choice.passed_over)
            rows.append(Status(role, entry.name, entry.profile, entry.licence, entry.bytes, self.is_loaded(role), why))
        return rows

    def _load(
        self, role: str, load: Callable[[Weights, Progress], T], lane: threading.Lock, progress: Progress
    ) -> Seat[T]:
        path = self.catalog.fetch(role, progress)
        weights = Weights(self.catalog.choose(role).entry, path)
        self._make_room(weights.entry.bytes, weights.entry.name)
        started = time.monotonic()
        progress(None, f"loading {weights.entry.name}")
        model = load(weights, progress)
        seconds = time.monotonic() - started
        log.info("loaded %s in %.1f s", weights.entry.name, seconds)
        return Seat(weights, model, seconds, lane)

    def _make_room(self, wanted: int, name: str) -> None:
        while sum(seat.weights.entry.bytes for seat in self._seats.values()) + wanted > self._budget:
            idle = [role for role, seat in self._seats.items() if not seat.lane.locked()]
            if not idle:
                raise ModelUnavailable(
                    f"{name} needs {wanted / GIGABYTE:.1f} GB and the models in use leave no room in "
                    f"{self._budget / GIGABYTE:.1f} GB. Try again when they are done, or raise ASSISTANT_MEMORY_GB."
                )
            self._evict(min(idle, key=lambda role: self._seats[role].last_used))

    def _evict(self, role: str) -> None:
        seat = self._seats[role]
        if not seat.lane.acquire(blocking=False):
            return
        try:
            del self._seats[role]
        finally:
            seat.lane.release()
        log.info("freed %s (%.1f GB)", seat.weights.entry.name, seat.weights.entry.bytes / GIGABYTE)
        del seat
        gc.collect()
        if _has_gpu():
            import torch

            torch.cuda.empty_cache()


class Resident(Generic[T]):
    """A loader tied to a role of the catalog; calling it leases the model: `with captioner() as model:`."""

    def __init__(self, role: str, load: Callable[[Weights, Progress], T]) -> None:
        """Load with `load` whatever the catalog chose for `role`."""
        self.role = role
        self._load = load

    @contextlib.contextmanager
    def __call__(
        self, stop: threading.Event | None = None, progress: Progress = lambda fraction, note: None
    ) -> Iterator[T]:
        """Lease the model from the residents of this process."""
        with residents().lease(self.role, self._load, stop, progress) as model:
            yield model


def resident(role: str) -> Callable[[Callable[[Weights, Progress], T]], Resident[T]]:
    """Declare a function that loads the weights of `role`; it runs at most once at a time."""
    return lambda load: Resident(role, load)


_residents: Residents | None = None
_settings: Settings | None = None


def install(settings: Settings) -> Residents:
    """Make the residents of this process; the same settings again give the same ones, others begin anew."""
    global _residents, _settings
    if _residents is None or settings != _settings:
        machine = measure_machine(settings)
        _residents, _settings = Residents(Catalog(settings, machine), machine.bytes), settings
    return _residents


def residents() -> Residents:
    """Return the residents of this process."""
    if _residents is None:
        raise RuntimeError("install(settings) comes first; Assistant() does it")
    return _residents


def measure_machine(settings: Settings) -> Machine:
    """Measure what the models may share: memory of the GPU if there is one, else of this machine, in bytes."""
    import psutil

    limit = settings.memory_gb * GIGABYTE if settings.memory_gb else float("inf")
    if _has_gpu():
        import torch

        memory = torch.cuda.get_device_properties(0).total_memory
        return Machine(has_gpu=True, bytes=int(min(memory * SHARE, limit)))
    return Machine(has_gpu=False, bytes=int(min(psutil.virtual_memory().total * SHARE, limit)))


def _has_gpu() -> bool:
    """Look for the driver first: importing torch takes seconds."""
    if not shutil.which("nvidia-smi") and not Path("/dev/nvidiactl").exists():
        return False
    import torch

    return bool(torch.cuda.is_available())


@contextlib.contextmanager
def _held(lock: threading.Lock, stop: threading.Event | None) -> Iterator[None]:
    while not lock.acquire(timeout=WAIT_SECONDS):
        if stop is not None and stop.is_set():
            raise Cancelled("Stopped while waiting for a model.")
    try:
        yield
    finally:
        lock.release()
