"""On ZeroGPU marked functions run in another process with what can be pickled; elsewhere they are left alone."""

from __future__ import annotations

import multiprocessing
import pickle
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from assistant.artifacts import ArtifactStore
from assistant.database import Database
from assistant.registry import Registry
from assistant.settings import Settings
from assistant.tools import Run, tool
from assistant.types import ToolCall
from assistant.zerogpu import on_gpu


def add(a: int, b: int, stop: threading.Event | None = None, progress: Callable[[], None] | None = None) -> Any:
    """Tell in which process the sum was made, and what came with it."""
    return a + b, multiprocessing.current_process().pid, stop, progress


def count(to: int, stop: threading.Event | None = None) -> Iterator[int]:
    yield from range(to)


def in_another_process(function: Callable[..., Any], arguments: bytes, answer: Any) -> None:
    result = function(**pickle.loads(arguments))
    answer.send(list(result) if isinstance(result, Iterator) else result)


@pytest.fixture
def spaces(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """A stand-in for the package `spaces` that forks and pickles like the real one; remembers the seconds asked for."""
    asked: list[int] = []

    def decorate(function: Callable[..., Any]) -> Callable[..., Any]:
        def run(**arguments: Any) -> Any:
            here, there = multiprocessing.Pipe()
            work = (function, pickle.dumps(arguments), there)
            process = multiprocessing.get_context("fork").Process(target=in_another_process, args=work)
            process.start()
            answer = here.recv()
            process.join()
            return answer

        return run

    module = ModuleType("spaces")
    module.GPU = lambda duration: asked.append(duration) or decorate  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "spaces", module)
    monkeypatch.setenv("SPACES_ZERO_GPU", "true")
    return asked


def test_elsewhere_a_function_stays_what_it_is() -> None:
    assert on_gpu(seconds=5)(add) is add


def test_on_zerogpu_a_call_runs_elsewhere_for_its_seconds_without_what_cannot_be_pickled(spaces: list[int]) -> None:
    total, process, stop, progress = on_gpu(seconds=5)(add)(2, 3, threading.Event(), lambda: None)
    assert total == 5
    assert process != multiprocessing.current_process().pid
    assert stop is None and progress is None
    assert spaces == [5]


def test_on_zerogpu_a_generator_streams(spaces: list[int]) -> None:
    assert list(on_gpu(seconds=5)(count)(3, threading.Event())) == [0, 1, 2]


def test_a_tool_keeps_its_signature_and_runs_there(spaces: list[int], settings: Settings, tmp_path: Path) -> None:
    @tool
    @on_gpu(seconds=7)
    def shout(text: str, *, run: Run) -> str:
        """Say it louder.

        Args:
            text: What to say.
        """
        run.progress(0.5, "shouting")
        return f"{text.upper()} {run.seed} {multiprocessing.current_process().pid}"

    store = ArtifactStore(Database(tmp_path / "test.sqlite", ""), tmp_path, "here", settings)
    events = Registry([shout], {}).run(ToolCall("1", "shout", {"text": "hello"}), store, 3, threading.Event())
    with pytest.raises(StopIteration) as end:
        next(events)
    words, seed, process = end.value.value.text.split()
    assert (words, seed) == ("HELLO", "3")
    assert int(process) != multiprocessing.current_process().pid
    assert spaces == [7]
