"""Batches come in order, and once memory runs out every item goes alone; Stop comes between them."""

from __future__ import annotations

import threading
from collections.abc import Sequence

import pytest

from assistant import residents as house
from assistant.errors import Cancelled, ToolError
from assistant.vision.batches import in_batches
from tests.fake_models import Make

pytestmark = pytest.mark.usefixtures("little_garbage", "light_work")


class Desk:
    """Doubles numbers, as many at once as have room, and remembers what it was given."""

    def __init__(self, room: int) -> None:
        self.room = room
        self.tried: list[list[int]] = []

    def double(self, numbers: Sequence[int]) -> list[int]:
        self.tried.append(list(numbers))
        if sum(numbers) > self.room:
            raise RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes")
        return [2 * number for number in numbers]


def test_batches_come_in_order_and_the_last_holds_the_rest() -> None:
    desk = Desk(100)
    assert list(in_batches(range(5), 2, desk.double, None)) == [[0, 2], [4, 6], [8]]
    assert list(in_batches([], 2, desk.double, None)) == []


def test_once_memory_runs_out_idle_models_go_and_every_item_is_done_once_and_alone(
    make_house: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    here = make_house(10)
    monkeypatch.setattr(house, "_residents", here.residents)
    with here.lease("embed"):
        pass
    desk = Desk(4)
    with here.lease("caption"):
        assert list(in_batches([1, 2, 3, 4, 1, 1], 2, desk.double, None)) == [[2, 4], [6], [8], [2], [2]]
        assert here.loaded() == {"caption"}
    assert desk.tried == [[1, 2], [3, 4], [3], [4], [1], [1]]


def test_an_item_without_room_even_alone_is_a_sentence(make_house: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(house, "_residents", make_house(10).residents)
    desk, done = Desk(4), []
    with pytest.raises(ToolError, match="not enough memory"):
        done.extend(in_batches([1, 5, 2], 1, desk.double, None))
    assert desk.tried == [[1], [5], [5]]


def test_stop_comes_between_batches_and_before_another_try(make_house: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(house, "_residents", make_house(10).residents)
    stop, desk = threading.Event(), Desk(4)
    with pytest.raises(Cancelled):
        for _ in in_batches([1, 2, 3], 2, desk.double, stop):
            stop.set()
    assert desk.tried == [[1, 2]]

    def crowded(numbers: Sequence[int]) -> list[int]:
        stop.set()
        return desk.double([9])

    stop.clear()
    with pytest.raises(Cancelled):
        list(in_batches([1], 1, crowded, stop))
    assert desk.tried == [[1, 2], [9]]
