"""Compiles the pass of a single token for this CPU, once, and keeps the library on disk. Knows no words.

torch's ahead-of-time compiler writes a graph without Python in it; the weights stay in memory once, shared with the
eager model. Compiling takes about half a minute, so it happens in a process of its own while the eager way answers.
"""

from __future__ import annotations

import hashlib
import logging
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import torch
import transformers
from torch.export import Dim, export

from assistant.engine.cache import WorkingCache
from assistant.engine.forward import Step
from assistant.engine.packed import GROUP

log = logging.getLogger(__name__)
COMPILER_BYTES = 1_500_000_000  # what compiling takes beside the weights, which are there twice while they are packed
OPTIONS = {
    "aot_inductor.package_constants_in_so": False,
    # finish the rotated query before the loop over the keys: written into it, its sines are computed for every key
    "realize_opcount_threshold": 4,
    "realize_reads_threshold": 2,
}


def compiler_obstacle(model: Any) -> str | None:
    """Say why `model` cannot be compiled here now, or return None."""
    compiler = os.environ.get("CXX", "g++")
    if not shutil.which(compiler):
        return f"there is no C++ compiler ({compiler}); install g++ for faster answers"
    need = COMPILER_BYTES + 2 * sum(tensor.nbytes for tensor in _constants(model).values())
    free = psutil.virtual_memory().available
    return None if free > need else f"compiling takes {need / 1e9:.1f} GB and {free / 1e9:.1f} GB are free"


def package_of(folder: Path, model: Any, capacity: int) -> Path:
    """Name the library of `model` in `folder`, by everything that it depends on."""
    shapes = [(name, tuple(t.shape), str(t.dtype)) for name, t in _constants(model).items()]
    facts = (
        torch.__version__,
        transformers.__version__,
        getattr(torch.cpu, "get_capabilities", torch.backends.cpu.get_cpu_capability)(),
        torch.get_num_threads(),
        capacity,
        model.config.to_json_string(),
        shapes,
        *(file.read_bytes() for file in sorted(Path(__file__).parent.glob("*.py"))),
    )
    return folder / f"{hashlib.sha256(repr(facts).encode()).hexdigest()[:16]}.pt2"


def compile_step(model: Any, cache: WorkingCache, package: Path) -> None:
    """Compile the pass of one token of `model` over `cache` into `package`; half a minute and 1 GB for 135M weights."""
    keys, values = cache.views(2)
    window = Dim("window", min=2, max=cache.capacity - 1)
    layers = [{2: window}] * len(keys)
    example = (torch.zeros(1, 1, dtype=torch.long), torch.ones(1, 1, dtype=torch.long), keys, values)
    with torch.no_grad():
        graph = export(Step(model), example, dynamic_shapes=(None, None, layers, layers), strict=False)
    partial = package.with_suffix(f".{os.getpid()}.pt2")
    package.parent.mkdir(parents=True, exist_ok=True)
    torch._inductor.aoti_compile_and_package(graph, package_path=str(partial), inductor_configs=OPTIONS)
    partial.replace(package)


class Compiled:
    """The compiled pass of one token."""

    def __init__(self, package: Path, model: Any) -> None:
        """Load `package`, made for a model with the shapes of `model`, and give it that model's weights."""
        self._run: Callable[..., torch.Tensor] = torch._inductor.aoti_load_package(str(package))
        wanted = set(self._run.get_constant_fqns())
        held = {f"model.{name}": tensor for name, tensor in _constants(model).items()}
        # what is not of the model is the size of the groups of 4-bit weights, which the compiler makes a tensor of
        self._held = {name: held.get(name, torch.tensor(GROUP)) for name in wanted}
        self._run.load_constants(self._held, check_full_update=True, user_managed=True)

    def __call__(self, ids: torch.Tensor, start: int, cache: WorkingCache) -> torch.Tensor:
        """Read the token `ids`, (1,), at position `start`, at least 1; return its logits, (1, vocabulary)."""
        return self._run(ids[None], torch.tensor([[start]]), *cache.views(start + 1))


def compile_apart(weights: Path, dtype: str, quantize: str, capacity: int, folder: Path) -> subprocess.Popen[bytes]:
    """Start a process that loads the same weights and compiles them into `folder`, yielding to everything else."""
    places = [str(weights.absolute()), str(folder.absolute())]
    arguments = [places[0], dtype, quantize, str(capacity), places[1], str(torch.get_num_threads())]
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "compile.log").open("wb") as said:
        return subprocess.Popen(
            ["nice", "-n", "15", sys.executable, "-m", "assistant.engine", *arguments],
            stdout=said,
            stderr=said,
            stdin=subprocess.DEVNULL,
            cwd=Path(__file__).parents[2],  # where the package `assistant` is found
        )


def _constants(model: Any) -> dict[str, torch.Tensor]:
    """Return the weights of `model` by the names they have without adapters, which the compiled pass leaves out."""
    held = {**dict(model.named_parameters(remove_duplicate=False)), **dict(model.named_buffers(remove_duplicate=False))}
    return {name.replace(".base_layer.", "."): tensor for name, tensor in held.items() if "lora_" not in name}
