"""What a loader gets: an entry of the catalog whose files are on this machine. Knows devices and dtypes, no role."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from assistant.catalog import Entry


@dataclass(frozen=True, slots=True)
class Weights:
    """An entry of the catalog whose files are on this machine, at `path`: what a loader gets."""

    entry: Entry
    path: Path

    @property
    def device(self) -> str:
        """Where models run: "cuda" or "cpu"."""
        return "cuda" if has_gpu() else "cpu"

    def load(self, kind: Any, **options: Any) -> Any:
        """Load a transformers or diffusers class from the weights, on the device and in the catalog's dtype.

        A CPU has no fast half precision for every operation, so float16 becomes float32 there.
        """
        import torch
        from transformers.utils import logging

        logging.disable_progress_bar()  # loading is told through `progress`, not drawn on a terminal
        dtype = getattr(torch, self.entry.dtype)
        if self.device == "cpu" and dtype is torch.float16:
            dtype = torch.float32
        model = kind.from_pretrained(self.path, dtype=dtype, **options).to(self.device)
        return model.eval() if isinstance(model, torch.nn.Module) else model


def has_gpu() -> bool:
    """Look for the driver first: importing torch takes seconds."""
    if not shutil.which("nvidia-smi") and not Path("/dev/nvidiactl").exists():
        return False
    import torch

    return bool(torch.cuda.is_available())
