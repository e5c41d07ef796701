"""Lets the memory of a machine run out when a test wants it to."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest


def run_out(monkeypatch: pytest.MonkeyPatch, owner: type, method: str, when: Callable[..., bool]) -> None:
    """Let `method` of the class run out of a GPU's memory whenever `when` says so of what it was given."""
    import torch

    work = getattr(owner, method)

    def scarce(*given: Any, **named: Any) -> Any:
        if when(*given, **named):
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 GiB.")
        return work(*given, **named)

    monkeypatch.setattr(owner, method, scarce)


def once() -> Callable[..., bool]:
    """Say yes the first time and no ever after."""
    answers = [True]
    return lambda *_, **__: bool(answers and answers.pop())


def always(*_: Any, **__: Any) -> bool:
    """Say yes."""
    return True
