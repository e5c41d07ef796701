"""Hugging Face ZeroGPU, where a GPU is there only inside decorated functions. Knows nothing of what they compute.

There, models are placed at import, a call runs in a process of its own for the seconds it asked for, and what goes in
and out is pickled. Everywhere else `on_gpu` leaves a function as it is.
Source: the documentation of Spaces ZeroGPU and the package `spaces`, https://huggingface.co/docs/hub/spaces-zerogpu
"""

from __future__ import annotations

import functools
import importlib
import inspect
import os
from collections.abc import Callable, Iterator
from typing import Any, ParamSpec, TypeVar

P = ParamSpec("P")
R = TypeVar("R")


def is_zerogpu() -> bool:
    """Tell whether this is a Space on ZeroGPU hardware."""
    return os.environ.get("SPACES_ZERO_GPU", "").lower() in ("1", "t", "true")


def on_gpu(seconds: int) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """Mark a function that needs the GPU for at most about `seconds`; small numbers queue better and cost less quota.

    The arguments `stop` and `progress` cannot cross to the other process and are left out there: a call on ZeroGPU is
    not interrupted within its seconds and tells no progress.
    """

    def mark(function: Callable[P, R]) -> Callable[P, R]:
        if not is_zerogpu():
            return function
        gpu = importlib.import_module("spaces").GPU(duration=seconds)
        names = list(inspect.signature(function).parameters)

        def sendable(args: Any, kwargs: Any) -> dict[str, Any]:
            given = dict(zip(names, args, strict=False)) | kwargs
            return {name: value for name, value in given.items() if name not in ("stop", "progress")}

        decorated = gpu(function)
        if inspect.isgeneratorfunction(function):

            @functools.wraps(function)
            def stream(*args: P.args, **kwargs: P.kwargs) -> Iterator[Any]:
                yield from decorated(**sendable(args, kwargs))

            return stream  # type: ignore[return-value]
        return functools.wraps(function)(lambda *args, **kwargs: decorated(**sendable(args, kwargs)))

    return mark
