"""Jobs share one thing by turns on one thread, and who comes, ends, breaks or leaves does not disturb the others."""

from __future__ import annotations

import random
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from types import SimpleNamespace
from typing import Any

import pytest

from assistant import rounds as rounds_room
from assistant.errors import ModelUnavailable
from assistant.rounds import Rounds

pytestmark = pytest.mark.timeout(60)  # what does not take turns waits for ever
NEVER = threading.Event()
WAIT = 20  # seconds for what comes at once, unless the test fails


class Shared(Rounds[str]):
    """Rounds over the word "thing"; the lease opens and closes when the test lets it, and notes how often."""

    def __init__(self, most: int = 16) -> None:
        super().__init__(self.lend, most)
        self.leases = 0
        self.held = False
        self.entered = threading.Semaphore(0)
        self.may_open, self.may_close = threading.Event(), threading.Event()
        self.may_open.set()
        self.may_close.set()
        self.closing = threading.Event()
        self.problems: list[BaseException] = []

    @contextmanager
    def lend(self) -> Iterator[str]:
        assert not self.held, "two threads at once"
        self.leases += 1
        assert self.may_open.wait(WAIT)
        if self.problems:
            raise self.problems.pop()
        self.held = True
        try:
            yield "thing"
        finally:
            self.closing.set()
            assert self.may_close.wait(WAIT)
            self.held = False

    def _enter(self, place: Any) -> None:
        super()._enter(place)
        self.entered.release()


class Callers:
    """Threads that run jobs, one after another into the rounds."""

    def __init__(self, shared: Shared, threads: ThreadPoolExecutor) -> None:
        self._shared = shared
        self._threads = threads

    def begin(self, job: Any, stop: threading.Event = NEVER) -> Future[list[Any]]:
        """Return what `job` will have yielded, once it has its place."""
        ended = self._threads.submit(lambda: list(self._shared.run(job, stop)))
        assert self._shared.entered.acquire(timeout=WAIT)
        return ended


@pytest.fixture
def shared() -> Iterator[Shared]:
    """Rounds that leave no thread and no lease behind."""
    before = set(threading.enumerate())
    made = Shared()
    yield made
    made.may_open.set()
    made.may_close.set()
    for thread in set(threading.enumerate()) - before:
        thread.join(WAIT)
        assert not thread.is_alive()
    assert not made.held


@pytest.fixture
def callers(shared: Shared) -> Iterator[Callers]:
    with ThreadPoolExecutor(20) as threads:
        yield Callers(shared, threads)


@pytest.fixture
def each_step_a_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rounds_room, "SLICE_SECONDS", -1)


def steps(name: str, count: int, trace: list[str], work: Callable[[], None] = lambda: None) -> Any:
    def job(thing: str) -> Iterator[int]:
        for i in range(count):
            work()
            trace.append(name)
            yield i

    return job


def say(*items: Any) -> Any:
    return lambda thing: iter(items)


def until(done: threading.Event, then: str = "") -> Any:
    """Go on until `done`, letting others have turns."""

    def job(thing: str) -> Iterator[str | None]:
        while not done.is_set():
            yield None
        if then:
            yield then

    return job


def break_off(error: BaseException) -> Any:
    def job(thing: str) -> Iterator[str]:
        yield "first"
        raise error

    return job


def test_items_come_in_order_and_none_is_kept_back(shared: Shared) -> None:
    assert list(shared.run(say(1, None, 0, "", None, [], 2), NEVER)) == [1, 0, "", [], 2]


def test_an_item_comes_before_the_next_is_made(shared: Shared) -> None:
    taken = threading.Event()

    def job(thing: str) -> Iterator[int]:
        yield 1
        assert taken.wait(WAIT)
        yield 2

    items = shared.run(job, NEVER)
    assert next(items) == 1
    taken.set()
    assert list(items) == [2]


def test_an_error_that_is_yielded_is_an_item(shared: Shared) -> None:
    error = ValueError("just a value")
    assert list(shared.run(say(error), NEVER)) == [error]


def test_a_job_works_with_what_was_lent_on_one_thread(shared: Shared) -> None:
    def job(thing: str) -> Iterator[tuple[str, bool, int]]:
        for _ in range(2):
            yield thing, shared.held, threading.get_ident()

    (thing, held, thread), again = shared.run(job, NEVER)
    assert (thing, held) == ("thing", True)
    assert thread == again[2] != threading.get_ident()


def test_a_short_job_that_comes_later_ends_before_a_long_one(shared: Shared, callers: Callers) -> None:
    done = threading.Event()
    long = callers.begin(until(done, "long"))
    assert list(shared.run(say("short"), NEVER)) == ["short"]
    assert not long.done()
    done.set()
    assert long.result(WAIT) == ["long"]


def test_turns_go_round(shared: Shared, callers: Callers, each_step_a_turn: None) -> None:
    trace: list[str] = []
    shared.may_open.clear()
    ended = [callers.begin(steps(name, count, trace)) for name, count in (("a", 3), ("b", 5), ("c", 2))]
    shared.may_open.set()
    assert [len(each.result(WAIT)) for each in ended] == [3, 5, 2]
    assert "".join(trace) == "abcabcabbb"


def test_who_comes_later_has_the_next_turn(shared: Shared, callers: Callers, each_step_a_turn: None) -> None:
    trace: list[str] = []
    late: list[Future[list[Any]]] = []

    def come_at_its_second_step() -> None:
        if trace.count("a") == 1 and not late:
            late.append(callers.begin(steps("late", 2, trace)))

    shared.may_open.clear()
    jobs = [steps("a", 4, trace, come_at_its_second_step), steps("b", 4, trace)]
    ended = [callers.begin(job) for job in jobs]
    shared.may_open.set()
    assert [len(each.result(WAIT)) for each in ended] == [4, 4]
    assert late[0].result(WAIT) == [0, 1]
    assert trace == ["a", "b", "a", "late", "b", "a", "late", "b", "a", "b"]


def test_everybody_gets_the_same_time_however_long_their_steps(
    shared: Shared, callers: Callers, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = [0.0]
    monkeypatch.setattr(rounds_room, "time", SimpleNamespace(monotonic=lambda: clock[0]))

    def taking(seconds: float) -> Callable[[], None]:
        return lambda: clock.__setitem__(0, clock[0] + seconds)

    trace: list[str] = []
    shared.may_open.clear()
    ended = [
        callers.begin(steps("a", 3, trace, taking(1.25 * rounds_room.SLICE_SECONDS))),
        callers.begin(steps("b", 12, trace, taking(0.3 * rounds_room.SLICE_SECONDS))),
    ]
    shared.may_open.set()
    assert [len(each.result(WAIT)) for each in ended] == [3, 12]
    assert "".join(trace) == "abbbb" * 3


@pytest.mark.parametrize("error", [ValueError("broken"), KeyboardInterrupt(), SystemExit(3), GeneratorExit()])
def test_an_error_reaches_only_its_own_caller(error: BaseException, shared: Shared, callers: Callers) -> None:
    done = threading.Event()
    other = callers.begin(until(done, "well"))
    items = shared.run(break_off(error), NEVER)
    assert next(items) == "first"
    with pytest.raises(type(error)) as caught:
        next(items)
    assert caught.value is error
    done.set()
    assert other.result(WAIT) == ["well"]
    assert list(shared.run(say("anew"), NEVER)) == ["anew"]


def test_a_job_that_cannot_begin_tells_its_caller(shared: Shared) -> None:
    def job(thing: str) -> Iterator[str]:
        raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        list(shared.run(job, NEVER))
    assert list(shared.run(say(1), NEVER)) == [1]


def test_closing_the_iterator_closes_the_job_within_its_step(shared: Shared) -> None:
    inside, left, closed = threading.Event(), threading.Event(), threading.Event()
    trace: list[str] = []

    def job(thing: str) -> Iterator[int]:
        try:
            yield 1
            inside.set()
            assert left.wait(WAIT)
            yield 2
            trace.append("one step too far")
        finally:
            closed.set()

    items = shared.run(job, NEVER)
    assert next(items) == 1
    assert inside.wait(WAIT)
    items.close()  # type: ignore[attr-defined]
    assert not closed.is_set()
    left.set()
    assert closed.wait(WAIT)
    assert list(shared.run(say("next"), NEVER)) == ["next"]
    assert trace == []


def test_a_job_that_was_left_before_its_turn_never_begins(shared: Shared, callers: Callers) -> None:
    shared.may_open.clear()
    stop, trace = threading.Event(), ["nothing"]
    waiting = callers.begin(lambda thing: trace.clear(), stop)
    stop.set()
    assert waiting.result(WAIT) == []
    stop.clear()
    shared.may_open.set()
    assert list(shared.run(say("next"), NEVER)) == ["next"]
    assert trace == ["nothing"]


def test_stop_before_the_first_turn_ends_at_once(shared: Shared, callers: Callers) -> None:
    shared.may_open.clear()
    stop, trace = threading.Event(), ["nothing"]
    waiting = callers.begin(lambda thing: trace.clear(), stop)
    stop.set()
    assert waiting.result(WAIT) == []  # though nothing is lent yet
    assert not shared.held
    shared.may_open.set()
    assert list(shared.run(say("next"), NEVER)) == ["next"]
    assert trace == ["nothing"]


def test_a_job_whose_stop_is_set_does_not_begin_even_when_its_turn_is_there(
    shared: Shared, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rounds_room, "POLL_SECONDS", 10 * WAIT)  # nobody looks but the thread of the rounds
    stop, trace = threading.Event(), ["nothing"]
    stop.set()
    assert list(shared.run(lambda thing: trace.clear(), stop)) == []  # type: ignore[arg-type,return-value]
    assert trace == ["nothing"]


def test_stop_after_the_first_turn_is_for_the_job_to_see(shared: Shared, monkeypatch: pytest.MonkeyPatch) -> None:
    class Stop(threading.Event):
        """Tells when somebody saw it set."""

        def __init__(self) -> None:
            super().__init__()
            self.seen = threading.Event()

        def is_set(self) -> bool:
            if is_set := super().is_set():
                self.seen.set()
            return is_set

    monkeypatch.setattr(rounds_room, "POLL_SECONDS", 0.001)
    stop = Stop()

    def job(thing: str) -> Iterator[str]:
        yield "first"
        assert stop.seen.wait(WAIT)
        yield "last words"

    items = shared.run(job, stop)
    assert next(items) == "first"
    stop.set()
    assert list(items) == ["last words"]


def test_one_job_too_many_is_told_so_and_finds_a_place_afterwards(shared: Shared, callers: Callers) -> None:
    done = threading.Event()
    ended = [callers.begin(until(done)) for _ in range(16)]
    with pytest.raises(ModelUnavailable, match=r"^16 answers are being written already\. Wait until one is done"):
        next(shared.run(say(1), NEVER))
    done.set()
    for each in ended:
        each.result(WAIT)
    assert list(shared.run(say(1), NEVER)) == [1]


def test_who_was_told_the_end_has_left_the_place_and_the_lease(shared: Shared) -> None:
    shared._most = 1
    for i in range(200):
        assert list(shared.run(say(i), NEVER)) == [i]
        assert not shared.held
        with pytest.raises(ValueError, match="broken"):
            list(shared.run(break_off(ValueError("broken")), NEVER))
        assert not shared.held
    assert shared.leases == 400


def test_who_left_takes_no_place(shared: Shared, callers: Callers) -> None:
    shared._most = 1
    shared.may_open.clear()
    stop = threading.Event()
    first = callers.begin(say(1), stop)
    stop.set()
    assert first.result(WAIT) == []
    second = callers.begin(say(2))  # while the first has not been cleared away
    shared.may_open.set()
    assert second.result(WAIT) == [2]


def test_the_lease_is_taken_once_and_anew_when_it_was_given_back(shared: Shared, callers: Callers) -> None:
    done = threading.Event()
    long = callers.begin(until(done, "long"))
    for i in range(3):
        assert list(shared.run(say(i), NEVER)) == [i]
    assert shared.held
    assert shared.leases == 1
    done.set()
    long.result(WAIT)
    assert not shared.held
    assert list(shared.run(say("later"), NEVER)) == ["later"]
    assert shared.leases == 2


def test_the_last_hears_of_the_end_when_the_lease_was_given_back(shared: Shared, callers: Callers) -> None:
    shared.may_close.clear()
    ended = callers.begin(say(1))
    assert shared.closing.wait(WAIT)
    assert not ended.done()
    shared.may_close.set()
    assert ended.result(WAIT) == [1]


def test_who_comes_while_the_lease_is_given_back_takes_it_anew(shared: Shared, callers: Callers) -> None:
    shared.may_close.clear()
    first = callers.begin(say(1))
    assert shared.closing.wait(WAIT)
    second = callers.begin(say(2))
    shared.may_close.set()
    assert (first.result(WAIT), second.result(WAIT)) == ([1], [2])
    assert shared.leases == 2


def test_the_last_of_those_who_wait_is_told_when_nobody_who_left_keeps_the_lease(
    shared: Shared, callers: Callers
) -> None:
    closing, go_on = threading.Event(), threading.Event()

    def left(thing: str) -> Iterator[str | None]:
        try:
            yield "mine"
            while True:
                yield None
        finally:
            closing.set()
            assert go_on.wait(WAIT)

    items = shared.run(left, NEVER)
    assert next(items) == "mine"

    def leave(thing: str) -> Iterator[str]:
        yield "said"
        items.close()  # type: ignore[attr-defined]

    last = callers.begin(leave)
    assert closing.wait(WAIT)
    with pytest.raises(TimeoutError):
        last.result(0.2)
    go_on.set()
    assert last.result(WAIT) == ["said"]
    assert not shared.held


@pytest.mark.parametrize("error", [ModelUnavailable("There is no room."), SystemExit("There is no room.")])
def test_a_lease_that_fails_tells_everybody_and_the_next_call_tries_anew(
    error: BaseException, shared: Shared, callers: Callers
) -> None:
    shared.may_open.clear()
    shared.problems.append(error)
    waiting = [callers.begin(say(i)) for i in range(3)]
    shared.may_open.set()
    for each in waiting:
        with pytest.raises(type(error), match=r"There is no room\."):
            each.result(WAIT)
    assert list(shared.run(say("anew"), NEVER)) == ["anew"]


def test_a_lease_that_cannot_be_given_back_tells_the_last(shared: Shared) -> None:
    @contextmanager
    def lend() -> Iterator[str]:
        yield "thing"
        raise OSError("the disk is full")

    shared._lease = lend
    for _ in range(2):
        items = shared.run(say(1), NEVER)
        assert next(items) == 1
        with pytest.raises(OSError, match="the disk is full"):
            next(items)


def test_a_thread_that_cannot_start_leaves_no_place_behind(shared: Shared, monkeypatch: pytest.MonkeyPatch) -> None:
    shared._most = 1

    def refuse(thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", refuse)
        with pytest.raises(RuntimeError, match="can't start new thread"):
            next(shared.run(say(1), NEVER))
    assert list(shared.run(say(1), NEVER)) == [1]


def test_a_job_that_breaks_when_it_is_closed_is_logged(shared: Shared, caplog: pytest.LogCaptureFixture) -> None:
    def job(thing: str) -> Iterator[str | None]:
        try:
            yield "first"
            while True:
                yield None
        finally:
            raise ValueError("broken at the end")

    items = shared.run(job, NEVER)
    assert next(items) == "first"
    items.close()  # type: ignore[attr-defined]
    assert list(shared.run(say("next"), NEVER)) == ["next"]
    assert "broken at the end" in caplog.text


def test_two_hundred_jobs_from_eight_threads(shared: Shared, each_step_a_turn: None) -> None:
    begun, ended, together = [0], [0], threading.Barrier(8)

    def job(size: int, breaks: bool) -> Any:
        def work(thing: str) -> Iterator[int | None]:
            assert shared.held
            begun[0] += 1
            try:
                for i in range(size):
                    yield i if i % 3 else None
                if breaks:
                    raise ValueError("broken")
            finally:
                ended[0] += 1

        return work

    def call(number: int) -> None:
        draw = random.Random(number)
        together.wait(WAIT)
        for _ in range(25):
            size, kind, stop = (
                draw.randrange(12),
                draw.choice(("whole", "breaks", "left", "stopped")),
                threading.Event(),
            )
            items = shared.run(job(size, kind == "breaks"), stop)
            if kind == "stopped":
                stop.set()
                assert list(items) == []
            elif kind == "left":
                with suppress(StopIteration):
                    next(items)
                items.close()  # type: ignore[attr-defined]
            else:
                got, error = [], None
                try:
                    for item in items:
                        got.append(item)
                except ValueError as broken:
                    error = broken
                assert got == [i for i in range(size) if i % 3]
                assert bool(error) == (kind == "breaks")

    with ThreadPoolExecutor(8) as threads:
        for each in [threads.submit(call, number) for number in range(8)]:
            each.result(WAIT)
    assert list(shared.run(say("last"), NEVER)) == ["last"]
    assert begun == ended
    assert begun[0] >= 100
