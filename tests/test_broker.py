"""Models share one budget: leases wait in line, idle models go first, nothing in use is taken away."""

from __future__ import annotations

import random
import threading
import time
import weakref
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import pytest

from assistant import broker
from assistant.errors import BadInput, Cancelled, ModelUnavailable
from assistant.footprints import Peak
from assistant.residents import Weights, used
from assistant.settings import GIGABYTE
from assistant.types import Progress
from tests.fake_models import SIZES, Hold, Make

pytestmark = pytest.mark.usefixtures("little_garbage", "light_work")


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


def test_one_who_finds_no_room_waits_until_there_is(make_house: Make, threads: ThreadPoolExecutor) -> None:
    house = make_house(7)
    begun, done = threading.Event(), threading.Event()

    def hold() -> None:
        with house.lease("chat"):
            begun.set()
            done.wait(10)

    def take() -> object:
        with house.lease("caption") as model:
            return model[0], house.loaded()

    held = threads.submit(hold)
    assert begun.wait(10)
    waiting = threads.submit(take)
    time.sleep(0.2)
    assert not waiting.done() and house.loaded() == {"chat"}
    done.set()
    assert waiting.result(10) == ("caption", {"caption"})
    held.result(10)


def test_a_model_larger_than_everything_is_refused_in_a_sentence(make_house: Make) -> None:
    house = make_house(4)
    with pytest.raises(ModelUnavailable) as refusal, house.lease("chat"):
        pass
    assert str(refusal.value) == (
        "chat-model needs 5.0 GB; all models together may take 4.0 GB here. "
        "Choose a smaller one, or raise ASSISTANT_MEMORY_GB."
    )
    with house.lease("caption"):
        assert house.loaded() == {"caption"}


def test_a_second_model_beside_one_that_is_held_comes_at_once_or_not_at_all(make_house: Make) -> None:
    house = make_house(7)
    with house.lease("chat"):
        with house.lease("ocr"):
            assert house.loaded() == {"chat", "ocr"}
        with pytest.raises(ModelUnavailable, match="no room for another model beside 'chat'"), house.lease("caption"):
            pass
    with house.lease("caption"):
        pass


def test_one_who_holds_a_model_does_not_wait_behind_one_who_waits_for_it(
    make_house: Make, threads: ThreadPoolExecutor
) -> None:
    house = make_house(6)

    def take() -> str:
        with house.lease("caption") as model:
            return str(model[0])

    with house.lease("chat"):
        waiting = threads.submit(take)
        time.sleep(0.2)
        with house.lease("embed"):
            assert house.loaded() == {"chat", "embed"}
    assert waiting.result(10) == "caption"


def test_those_in_line_are_told_their_place_and_served_in_order(make_house: Make, threads: ThreadPoolExecutor) -> None:
    house, order = make_house(10), []
    begun, done = threading.Event(), threading.Event()

    def hold() -> None:
        with house.lease("paint"):
            begun.set()
            done.wait(10)

    def take(number: int) -> None:
        with house.lease("paint"):
            order.append(number)

    held = threads.submit(hold)
    assert begun.wait(10)
    waiting = []
    for number in range(3):
        waiting.append(threads.submit(take, number))
        while f"waiting for paint-model: {number + 1} before you" not in house.said:
            time.sleep(0.01)
    done.set()
    for each in (held, *waiting):
        each.result(10)
    assert order == [0, 1, 2]


def test_a_model_leaves_when_asked_or_idle_but_not_in_use(make_house: Make, leased: Hold) -> None:
    house = make_house(10)
    for role in ("embed", "ocr"):
        with house.lease(role):
            pass
    house.residents.unload("embed")
    assert house.loaded() == {"ocr"}
    leased(house, "chat")
    with pytest.raises(BadInput, match="chat-model is in use"):
        house.residents.unload("chat")
    house.residents.unload_idle(60)
    assert house.loaded() == {"ocr", "chat"}
    house.residents.unload_idle()
    assert house.loaded() == {"chat"}


def test_what_a_model_really_took_is_remembered(make_house: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    peak = Peak()
    peak.bytes = 2 * GIGABYTE

    @contextmanager
    def heavy(device: str) -> Iterator[Peak]:
        yield peak

    monkeypatch.setattr(broker, "measure_peak", heavy)
    house = make_house(8)
    for role in ("chat", "caption"):
        with house.lease(role):
            pass
    assert house.loaded() == {"chat", "caption"}
    again = make_house(8)  # a later start knows that chat takes 5 and 2 more when it runs
    for role in ("ocr", "embed", "chat"):
        with again.lease(role):
            pass
    assert again.loaded() == {"embed", "chat"}


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


def test_one_who_waits_for_room_can_be_stopped(make_house: Make, leased: Hold, threads: ThreadPoolExecutor) -> None:
    house, stop = make_house(7), threading.Event()
    leased(house, "chat")

    def work() -> None:
        with house.lease("caption", stop):
            raise AssertionError("there was no room")

    waiting = threads.submit(work)
    time.sleep(0.1)
    stop.set()
    with pytest.raises(Cancelled, match="Stopped while waiting for room"):
        waiting.result(10)


def test_only_one_model_loads_at_a_time(make_house: Make, threads: ThreadPoolExecutor) -> None:
    house, loading = make_house(20), []

    def load_slowly(weights: Weights, progress: Progress) -> list[object]:
        loading.append(weights.entry.role)
        time.sleep(0.05)
        assert len(loading) == 1, "two loaders would patch torch at once"
        loading.remove(weights.entry.role)
        return house.load(weights, progress)

    def take(role: str) -> None:
        with house.lease(role, load=load_slowly):
            pass

    list(threads.map(take, SIZES))
    assert house.loaded() == set(SIZES)


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
    for role in ("caption", "embed"):
        with house.lease(role):
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
    assert {role for role, status in rows.items() if status.where} == {"embed"}
    assert (rows["chat"].name, rows["chat"].bytes, rows["chat"].profile) == ("chat-model", 5 * GIGABYTE, "cpu")


@pytest.mark.parametrize("share", [0.5, 1, 2])
def test_a_thousand_calls_from_four_threads_are_all_served_within_the_budget(make_house: Make, share: float) -> None:
    gigabytes = share * sum(SIZES.values())
    house, inside, problems = make_house(gigabytes), dict.fromkeys(SIZES, 0), []

    def work(seed: int) -> None:
        chance = random.Random(seed)
        for _ in range(250):
            role = chance.choice(list(SIZES))
            with house.lease(role) as model:
                inside[role] += 1
                time.sleep(chance.random() / 1000)
                if inside[role] != 1 or model[0] != role or house.residents.used_bytes() > gigabytes * GIGABYTE:
                    problems.append((role, inside[role], house.residents.used_bytes()))
                inside[role] -= 1
        served.append(seed)

    served: list[int] = []
    threads = [threading.Thread(target=work, args=(seed,), daemon=True) for seed in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(120)
    assert sorted(served) == [0, 1, 2, 3], "a call failed or waits for ever"
    assert problems == []
    assert (len(house.loads) > len(SIZES)) == (share < 1)
