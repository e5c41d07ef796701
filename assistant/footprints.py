"""How much memory models really take: measured when they load and run, remembered on disk. Knows no role.

Weights are counted tensor by tensor. The peak of a run is what the CUDA allocator says on a GPU, and on a CPU what the
kernel says of this process (`VmHWM`, Linux only; elsewhere it is taken for 0).
"""

from __future__ import annotations

import contextlib
import json
import threading
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

STATUS, RESET = Path("/proc/self/status"), Path("/proc/self/clear_refs")


@dataclass(frozen=True, slots=True)
class Footprint:
    """Bytes of a model's weights, and the most that a run took on top of them."""

    weights: int
    activation: int = 0


class Footprints:
    """The footprints seen so far, by the model's name and revision."""

    def __init__(self, file: Path) -> None:
        """Remember in `file`."""
        self._file = file
        self._lock = threading.Lock()
        try:
            self._seen = {name: Footprint(**row) for name, row in json.loads(file.read_text()).items()}
        except (OSError, ValueError, TypeError, AttributeError):
            self._seen = {}  # nothing is lost: they are measured again

    def expect(self, name: str, declared: int) -> Footprint:
        """Return what was measured of `name`, or what the catalog declares before it ever ran."""
        return self._seen.get(name, Footprint(declared))

    def remember(self, name: str, weights: int, activation: int) -> None:
        """Keep a measurement; of several activations the largest."""
        with self._lock:
            known = self._seen.get(name, Footprint(weights))
            seen = Footprint(weights, max(activation, known.activation))
            if self._seen.get(name) != seen:
                self._seen[name] = seen
                self._file.parent.mkdir(parents=True, exist_ok=True)
                partial = self._file.with_suffix(".partial")
                partial.write_text(json.dumps({key: asdict(value) for key, value in self._seen.items()}))
                partial.replace(self._file)


class Peak:
    """Filled in when a measured run ends: the most bytes it took on top of what there was when it began."""

    def __init__(self) -> None:
        """Begin with nothing measured."""
        self.bytes = 0


@contextlib.contextmanager
def measure_peak(device: str) -> Iterator[Peak]:
    """Measure a run; others that run at the same time are counted in, so the caller must know it was alone."""
    peak = Peak()
    before = _begin(device)
    try:
        yield peak
    finally:
        peak.bytes = max(0, _most(device) - before)


def weights_of(model: Any, declared: int) -> int:
    """Count the bytes of all tensors in `model` and of the cache it says it has; `declared` where none (ONNX) is."""
    tensors = {tensor.data_ptr(): tensor.nbytes for module in modules_of(model) for tensor in _tensors(module)}
    return (sum(tensors.values()) or declared) + getattr(model, "cache_bytes", 0)


def modules_of(model: Any, depth: int = 2) -> list[Any]:
    """Find the torch modules in what a loader returned: a module, a tuple or dataclass of some, a pipeline."""
    import torch

    if isinstance(model, torch.nn.Module):
        return [model]
    if depth == 0 or isinstance(model, str | bytes | int | float | None | type):
        return []
    if isinstance(model, list | tuple):
        parts: Any = model
    else:
        names = getattr(type(model), "__slots__", ())
        parts = [*getattr(model, "__dict__", {}).values(), *(getattr(model, name, None) for name in names)]
    found = [module for part in parts for module in modules_of(part, depth - 1)]
    return list({id(module): module for module in found}.values())


def _tensors(module: Any) -> Iterator[Any]:
    yield from module.parameters()
    yield from module.buffers()


def _begin(device: str) -> int:
    if device == "cuda":
        import torch

        torch.cuda.reset_peak_memory_stats()
        return int(torch.cuda.memory_allocated())
    with contextlib.suppress(OSError):
        RESET.write_text("5")  # sets VmHWM back to what is resident now
    return _status("VmRSS")


def _most(device: str) -> int:
    if device == "cuda":
        import torch

        return int(torch.cuda.max_memory_allocated())
    return _status("VmHWM")


def _status(key: str) -> int:
    with contextlib.suppress(OSError):
        for line in STATUS.read_text().splitlines():
            if line.startswith(key):
                return int(line.split()[1]) * 1024
    return 0
