"""Models share one budget: loaded once, least recently used goes first, and nobody loses a model in use."""

from __future__ import annotations

import gc
import random
import threading
import time
import weakref
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from pathlib import Path

import pytest

from assistant import residents as house
from assistant.catalog import Catalog, Machine
from assistant.errors import Cancelled, ModelUnavailable
from assistant.residents import Residents, Weights, install, measure_machine, resident, used
from assistant.settings import GIGABYTE, Settings
from assistant.types import Progress

SIZES = {"chat": 5, "caption": 3, "paint": 3, "embed": 1, "ocr": 2}  # GB
Load = Callable[[Weights, Progress], list[object]]
Lease = AbstractContextManager[list[object]]
Make = Callable[[float], "House"]
Hold = Callable[["House", str], None]


class House:
    """Residents with fake models: a model is the list ["chat", 1], which says how often its role was loaded."""

    def __init__(self, folder: Path, gigabytes: float) -> None:
        (folder / "model.safetensors").write_bytes(b"")
        rows = (
            f'[{role}.cpu]\nname = "{role}-model"\nsource = "local:{folder}"\ndtype = "float32"\n'
            f'bytes = {size * GIGABYTE}\nlicence = "Apache-2.0"\n'
            for role, size in SIZES.items()
        )
        (folder / "catalog.toml").write_text("\n".join(rows))
        catalog = Catalog(Settings(data=folder), Machine(False, 100 * GIGABYTE), folder / "catalog.toml")
        self.residents = Residents(catalog, int(gigabytes * GIGABYTE))
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


@pytest.fixture(autouse=True)
def little_garbage() -> Iterator[None]:
    """Freeing a model collects garbage, which is slow where other tests have imported half the world."""
    gc.freeze()
    yield
    gc.unfreeze()


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


def test_a_model_is_loaded_once_and_says_so(make_house: Make) -> None:
    house = make_house(10)
    for _ in range(3):
        with house.lease("chat") as model:
            assert model == ["chat", 1]
    assert house.loads == ["chat"] and house.said == ["loading chat-model"]


def test_many_callers_at_once_load_a_model_once(make_house: Make, threads: ThreadPoolExecutor) -> None:
    house = make_house(10)
    inside: list[int] = []

    def work(number: int) -> None:
        with house.lease("chat"):
            inside.append(number)
            time.sleep(0.001)
            assert inside == [number], "two callers were inside at once"
            inside.remove(number)

    list(threads.map(work, range(40)))
    assert house.loads == ["chat"]


def test_the_least_recently_used_model_goes_first(make_house: Make) -> None:
    house = make_house(7)
    for role in ("caption", "paint", "embed", "caption", "ocr"):
        with house.lease(role):
            pass
    assert house.loaded() == {"caption", "embed", "ocr"}
    with house.lease("paint") as model:
        assert model == ["paint", 2]
    assert house.loaded() == {"ocr", "paint"}


def test_a_leased_model_is_never_evicted(make_house: Make, leased: Hold) -> None:
    house = make_house(8)
    leased(house, "chat")
    for role in ("caption", "paint", "ocr", "embed", "caption"):
        with house.lease(role):
            assert "chat" in house.loaded()
    assert house.loads.count("chat") == 1 and house.largest <= 8


def test_when_the_models_in_use_leave_no_room_a_sentence_says_so(make_house: Make, leased: Hold) -> None:
    house = make_house(7)
    leased(house, "chat")
    with pytest.raises(ModelUnavailable) as refusal, house.lease("caption"):
        pass
    assert str(refusal.value) == (
        "caption-model needs 3.0 GB and the models in use leave no room in 7.0 GB. "
        "Try again when they are done, or raise ASSISTANT_MEMORY_GB."
    )
    assert house.loaded() == {"chat"} and house.loads == ["chat"]


def test_one_who_waits_for_a_model_can_be_stopped(make_house: Make, leased: Hold, threads: ThreadPoolExecutor) -> None:
    house, stop = make_house(10), threading.Event()
    leased(house, "chat")

    def work() -> None:
        with house.lease("chat", stop):
            raise AssertionError("the model was in use")

    waiting = threads.submit(work)
    stop.set()
    with pytest.raises(Cancelled, match="Stopped while waiting"):
        waiting.result(10)


def test_one_who_waits_for_another_model_to_load_can_be_stopped(make_house: Make, threads: ThreadPoolExecutor) -> None:
    house = make_house(10)
    begun, loaded, stop = (threading.Event() for _ in range(3))

    def load_slowly(weights: Weights, progress: Progress) -> list[object]:
        begun.set()
        loaded.wait(10)
        return house.load(weights, progress)

    def work(role: str, load: Load) -> list[object]:
        with house.lease(role, stop, load) as model:
            return model

    first = threads.submit(work, "chat", load_slowly)
    assert begun.wait(10)
    second = threads.submit(work, "embed", house.load)
    stop.set()
    with pytest.raises(Cancelled):
        second.result(10)
    loaded.set()
    assert first.result(10) == ["chat", 1]


def test_a_loader_that_fails_leaves_the_house_usable(make_house: Make) -> None:
    house = make_house(5)

    def fail(weights: Weights, progress: Progress) -> list[object]:
        raise ZeroDivisionError

    for _ in range(2):
        with pytest.raises(ZeroDivisionError), house.lease("chat", load=fail):
            pass
    assert house.loaded() == set()
    with house.lease("chat") as model:
        assert model == ["chat", 1]
    with house.lease("caption") as model:
        assert model == ["caption", 1]


def test_a_model_that_went_is_freed_even_if_it_points_at_itself(make_house: Make) -> None:
    house, models = make_house(5), [type("Knot", (list,), {})()]
    models[0].append(models[0])
    gone = weakref.ref(models[0])
    with house.lease("chat", load=lambda weights, progress: models.pop()):
        pass
    with house.lease("caption"):
        assert gone() is None


def test_work_that_fails_gives_its_model_back(make_house: Make) -> None:
    house = make_house(5)
    with pytest.raises(ZeroDivisionError), house.lease("chat"):
        raise ZeroDivisionError
    with house.lease("caption"):
        assert house.loaded() == {"caption"}


def test_receipts_learn_which_models_were_used(make_house: Make) -> None:
    house = make_house(10)
    names: list[str] = []
    token = used.set(names)
    with house.lease("caption"), house.lease("embed"):
        pass
    used.reset(token)
    with house.lease("ocr"):
        pass
    assert [name.partition("@")[0] for name in names] == ["caption-model", "embed-model"]


def test_the_status_names_every_role_and_what_is_loaded(make_house: Make) -> None:
    house = make_house(10)
    with house.lease("embed"):
        pass
    rows = {status.role: status for status in house.residents.status()}
    assert {role for role, status in rows.items() if status.loaded} == {"embed"}
    assert (rows["chat"].name, rows["chat"].bytes, rows["chat"].profile) == ("chat-model", 5 * GIGABYTE, "cpu")


@pytest.mark.parametrize("gigabytes", [7, 11])
def test_four_threads_never_exceed_the_budget_and_never_wait_for_ever(make_house: Make, gigabytes: int) -> None:
    house, inside = make_house(gigabytes), dict.fromkeys(SIZES, 0)
    served: list[int] = []

    def work(seed: int) -> None:
        chance, refused = random.Random(seed), 0
        for _ in range(150):
            role = chance.choice(list(SIZES))
            try:
                with house.lease(role) as model:
                    inside[role] += 1
                    time.sleep(chance.random() / 500)
                    assert inside[role] == 1 and model[0] == role and role in house.loaded()
                    inside[role] -= 1
            except ModelUnavailable:
                refused += 1
        served.append(150 - refused)

    threads = [threading.Thread(target=work, args=(seed,), daemon=True) for seed in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert len(served) == 4 and all(served), "a thread failed or waits for ever"
    assert house.largest <= gigabytes and sum(SIZES[role] for role in house.loaded()) <= gigabytes
    assert len(house.loads) > len(SIZES)


def test_the_same_settings_give_the_same_house_and_others_a_new_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(house, "_residents", None)
    monkeypatch.setattr(house, "_settings", None)
    with pytest.raises(RuntimeError, match="install"):
        house.residents()
    first = install(Settings(data=tmp_path))
    assert install(Settings(data=tmp_path)) is first is house.residents()
    assert install(Settings(data=tmp_path, memory_gb=1)) is not first


def test_a_resident_leases_from_the_house_of_this_process(make_house: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    here = make_house(10)
    monkeypatch.setattr(house, "_residents", here.residents)
    captioner = resident("caption")(here.load)
    with captioner() as first, resident("embed")(here.load)() as second:
        assert (first, second) == (["caption", 1], ["embed", 1])


def test_the_memory_setting_is_a_limit_and_not_a_promise(tmp_path: Path) -> None:
    everything = measure_machine(Settings(data=tmp_path)).bytes
    assert measure_machine(Settings(data=tmp_path, memory_gb=0.5)).bytes == min(everything, GIGABYTE // 2)
    assert measure_machine(Settings(data=tmp_path, memory_gb=1_000_000)).bytes == everything
