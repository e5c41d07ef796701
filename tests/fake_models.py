"""A broker over fake models of known sizes, for the tests of broker and residents."""

from __future__ import annotations

import gc
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import pytest

from assistant import broker
from assistant.broker import Broker
from assistant.catalog import Catalog, Machine
from assistant.footprints import Footprints, Peak
from assistant.residents import Weights
from assistant.settings import GIGABYTE, Settings
from assistant.types import Progress

SIZES = {"chat": 5, "caption": 3, "paint": 3, "embed": 1, "ocr": 2}  # GB
Load = Callable[[Weights, Progress], list[object]]
Lease = AbstractContextManager[list[object]]
Make = Callable[[float], "House"]
Hold = Callable[["House", str], None]


class House:
    """Broker with fake models: a model is the list ["chat", 1], which says how often its role was loaded."""

    def __init__(self, folder: Path, gigabytes: float) -> None:
        (folder / "model.safetensors").write_bytes(b"")
        rows = (
            f'[{role}.cpu]\nname = "{role}-model"\nsource = "local:{folder}"\ndtype = "float32"\n'
            f'bytes = {size * GIGABYTE}\nlicence = "Apache-2.0"\n'
            for role, size in SIZES.items()
        )
        (folder / "catalog.toml").write_text("\n".join(rows))
        catalog = Catalog(Settings(data=folder), Machine(False, 100 * GIGABYTE), folder / "catalog.toml")
        self.residents = Broker(catalog, int(gigabytes * GIGABYTE), Footprints(folder / "footprints.json"))
        self.loads: list[str] = []
        self.largest = 0
        self.said: list[str] = []

    def load(self, weights: Weights, progress: Progress) -> list[object]:
        role = weights.entry.role
        self.loads.append(role)
        self.largest = max(self.largest, sum(SIZES[each] for each in {*self.loaded(), role}))
        return [role, self.loads.count(role)]

    def lease(self, role: str, stop: threading.Event | None = None, load: Load | None = None) -> Lease:
        return self.residents.lease(role, load or self.load, stop, lambda fraction, note: self.said.append(note))

    def loaded(self) -> set[str]:
        return {role for role in SIZES if self.residents.is_loaded(role)}


@pytest.fixture
def little_garbage() -> Iterator[None]:
    """Freeing a model collects garbage, which is slow where other tests have imported half the world."""
    gc.freeze()
    yield
    gc.unfreeze()


@pytest.fixture
def light_work(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fake models take nothing when they run; what this process takes meanwhile is not theirs."""

    @contextmanager
    def nothing(device: str) -> Iterator[Peak]:
        yield Peak()

    monkeypatch.setattr(broker, "measure_peak", nothing)


@pytest.fixture
def make_house(tmp_path: Path) -> Make:
    return lambda gigabytes: House(tmp_path, gigabytes)


@pytest.fixture
def threads() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor() as threads:
        yield threads


@pytest.fixture
def leased(threads: ThreadPoolExecutor) -> Iterator[Hold]:
    """Lease a role in another thread until the test ends."""
    done = threading.Event()

    def hold(house: House, role: str) -> None:
        begun = threading.Event()

        def work() -> None:
            with house.lease(role):
                begun.set()
                done.wait()

        threads.submit(work)
        assert begun.wait(10)

    yield hold
    done.set()
