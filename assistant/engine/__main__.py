"""Compiles a model's pass in a process of its own, which `compiled.compile_apart` starts. Knows only its arguments."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import torch

from assistant.engine.compiled import compile_step, package_of
from assistant.engine.load import load_engine


def main(weights: str, dtype: str, quantize: Any, context: str, folder: str, threads: str) -> None:
    """Load `weights` as the waiting process did and compile them into `folder`."""
    torch.set_num_threads(int(threads))
    engine, _ = load_engine(Path(weights), dtype, quantize, lambda fraction, note: None, context=int(context))
    compile_step(engine.model, engine.cache, package_of(Path(folder), engine.model, engine.context))


if __name__ == "__main__":
    main(*sys.argv[1:])
