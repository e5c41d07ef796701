"""The models of this process, and how a loader becomes one of them. Knows no plugin; `broker` does the sharing."""

from __future__ import annotations

import contextlib
import logging
import sys
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any, Generic, TypeVar

from assistant.broker import Broker, Loader, Status, used
from assistant.catalog import Catalog, Machine
from assistant.errors import BadInput, ToolError
from assistant.footprints import Footprints
from assistant.settings import GIGABYTE, Settings
from assistant.types import Progress
from assistant.weights import Weights, has_gpu
from assistant.zerogpu import is_zerogpu

__all__ = [
    "Resident",
    "Status",
    "Weights",
    "install",
    "measure_machine",
    "resident",
    "residents",
    "retry_smaller",
    "used",
]

T = TypeVar("T")
log = logging.getLogger(__name__)
SHARE = 0.8  # of a machine's memory; the rest is for everything else that runs


class Resident(Generic[T]):
    """A loader tied to a role of the catalog; calling it leases the model: `with captioner() as model:`."""

    def __init__(self, role: str, load: Loader[T]) -> None:
        """Load with `load` whatever the catalog chose for `role`."""
        self.role = role
        self._load = load
        declared[role] = self

    @contextlib.contextmanager
    def __call__(
        self, stop: threading.Event | None = None, progress: Progress = lambda fraction, note: None
    ) -> Iterator[T]:
        """Lease the model from the residents of this process."""
        with residents().lease(self.role, self._load, stop, progress) as model:
            yield model


def resident(role: str) -> Callable[[Loader[T]], Resident[T]]:
    """Declare a function that loads the weights of `role`; it runs at most once at a time."""
    return lambda load: Resident(role, load)


declared: dict[str, Resident[Any]] = {}
"""Every loader of this process by its role, so that a model can be loaded by name."""
_residents: Broker | None = None
_settings: Settings | None = None


def install(settings: Settings) -> Broker:
    """Make the residents of this process; the same settings again give the same ones, others begin anew."""
    global _residents, _settings
    if _residents is None or settings != _settings:
        machine = measure_machine(settings)
        footprints = Footprints(settings.data / "footprints.json")
        _residents, _settings = Broker(Catalog(settings, machine), machine.bytes, footprints), settings
        if is_zerogpu():
            _place_all(_residents)
        elif settings.idle_minutes:
            threading.Thread(target=_watch, args=(_residents, settings.idle_minutes * 60), daemon=True).start()
    return _residents


def _place_all(mine: Broker) -> None:
    """Load every model that can be had: on ZeroGPU they must be there before the first call, and none may leave."""
    mine.budget = sys.maxsize
    for role in sorted(declared):
        if mine.catalog.obstacle(role) is None:
            load(role, lambda fraction, note: log.info(note))


def _watch(mine: Broker, seconds: float) -> None:
    """Let idle models go, for as long as `mine` are the residents of this process."""
    while _residents is mine:
        mine.unload_idle(seconds)
        time.sleep(min(30.0, seconds))


def residents() -> Broker:
    """Return the residents of this process."""
    if _residents is None:
        raise RuntimeError("install(settings) comes first; Assistant() does it")
    return _residents


def measure_machine(settings: Settings) -> Machine:
    """Measure what the models may share: memory of the GPU if there is one, else of this machine, in bytes."""
    import psutil

    limit = settings.memory_gb * GIGABYTE if settings.memory_gb else float("inf")
    if has_gpu():
        import torch

        memory = torch.cuda.get_device_properties(0).total_memory
        return Machine(has_gpu=True, bytes=int(min(memory * SHARE, limit)))
    return Machine(has_gpu=False, bytes=int(min(psutil.virtual_memory().total * SHARE, limit)))


def load(role: str, progress: Progress) -> None:
    """Load the model of `role`; `BadInput` lists the roles there are."""
    if role not in declared:
        raise BadInput(f"There is no model for {role!r}. There are models for: {', '.join(sorted(declared))}.")
    with declared[role](None, progress):
        pass


def retry_smaller(work: Callable[[bool], T]) -> T:
    """Run `work(False)`; out of memory, free what is idle and run `work(True)` once, with less at a time if it can.

    A second failure becomes a `ToolError` in a sentence.
    """
    try:
        return work(False)
    except (RuntimeError, MemoryError) as error:
        if not _is_out_of_memory(error):
            raise
        log.warning("out of memory: %s", error)
    residents().unload_idle()
    try:
        return work(True)
    except (RuntimeError, MemoryError) as error:
        if not _is_out_of_memory(error):
            raise
        raise ToolError("There is not enough memory for this. Try a smaller picture or fewer at a time.") from error


def _is_out_of_memory(error: Exception) -> bool:
    return isinstance(error, MemoryError) or "out of memory" in str(error) or "can't allocate memory" in str(error)
