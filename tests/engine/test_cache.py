"""What was read is found again: in the working cache, or among the copies of other conversations."""

from __future__ import annotations

import threading

import pytest
import torch
from transformers import LlamaConfig, LlamaForCausalLM

from assistant.engine.cache import PrefixCache, WorkingCache, shared
from assistant.engine.decode import KEPT_FROM, Count, Engine
from assistant.engine.sample import Sampling
from tests.engine.conftest import PROMPT, Embedded, reference, speak

STEM = [(11 * i + 3) % 256 for i in range(100)]
LEFT = [*STEM, *((3 * i + 1) % 256 for i in range(80))]
RIGHT = [*STEM, *((13 * i + 2) % 256 for i in range(90))]
BYTES_A_TOKEN = 3 * 2 * 2 * 16 * 4  # layers, keys and values, key heads, width, float32


def reused(engine: Engine, prompt: list[int], adapter: str | None = None) -> int:
    count = Count()
    speak(engine, prompt, Sampling(1), count=count, adapter=adapter)
    return count.reused


def test_going_back_to_a_branch_reads_nothing_again(engine: Engine, twin: LlamaForCausalLM) -> None:
    said = speak(engine, LEFT)
    count = Count()
    assert speak(engine, RIGHT, count=count) == reference(twin, RIGHT)
    assert count.reused == len(STEM)
    again, count = [*LEFT, *said, 5, 6, 7], Count()
    assert speak(engine, again, count=count) == reference(twin, again)
    assert count.reused == len(LEFT) + len(said) - 1


def test_both_branches_are_found_again_and_again(engine: Engine, twin: LlamaForCausalLM) -> None:
    for _ in range(3):
        for prompt in (LEFT, RIGHT):
            assert speak(engine, prompt) == reference(twin, prompt)
    assert reused(engine, LEFT) == len(LEFT) - 1
    assert len(engine.kept) == 2


def test_what_lies_ready_is_taken_before_a_shorter_copy(engine: Engine, twin: LlamaForCausalLM) -> None:
    speak(engine, RIGHT)
    said = speak(engine, LEFT)
    count = Count()
    longer = [*LEFT, *said, 8]
    assert speak(engine, longer, count=count) == reference(twin, longer)
    assert count.reused == len(LEFT) + len(said) - 1


@pytest.mark.parametrize(("tail", "kept"), [(KEPT_FROM - 1, 0), (KEPT_FROM, 1)])
def test_a_short_tail_of_another_conversation_is_not_worth_a_copy(engine: Engine, tail: int, kept: int) -> None:
    speak(engine, [*STEM, *range(tail)], Sampling(1))
    assert reused(engine, [*STEM, 250, 251]) == len(STEM)
    assert len(engine.kept) == kept


def test_what_does_not_fit_the_budget_is_read_again_and_says_the_same(
    tiny_model: LlamaForCausalLM, twin: LlamaForCausalLM
) -> None:
    engine = Engine(tiny_model, host_bytes=100 * BYTES_A_TOKEN)
    for prompt in (LEFT, RIGHT, LEFT):
        count = Count()
        assert speak(engine, prompt, count=count) == reference(twin, prompt)
        assert count.reused in (0, len(STEM))
    assert len(engine.kept) == 0


def test_what_was_put_away_is_restored(engine: Engine, twin: LlamaForCausalLM) -> None:
    said = speak(engine, LEFT)
    engine.put_away()
    assert (engine.cache.ids, engine.cache.nbytes) == ([], 0)
    count = Count()
    again = [*LEFT, *said, 5]
    assert speak(engine, again, count=count) == reference(twin, again)
    assert count.reused == len(LEFT) + len(said) - 1


def test_a_reply_goes_on_where_it_was_put_away(
    engine: Engine, twin: LlamaForCausalLM, passes: list[tuple[int, int]]
) -> None:
    stream = engine.stream(LEFT, Sampling(10), frozenset(), threading.Event(), Count())
    said = [*next(stream), *next(stream)]
    engine.put_away()
    for batch in stream:
        said += batch
    assert said == reference(twin, LEFT, 10)
    assert [count for _, count in passes] == [len(LEFT), 1] + [1] * 8


def test_little_is_not_put_away(engine: Engine) -> None:
    speak(engine, PROMPT)
    engine.put_away()
    assert (len(engine.kept), engine.cache.ids) == (0, [])


def test_what_is_forgotten_is_read_again_and_copies_stay(engine: Engine, twin: LlamaForCausalLM) -> None:
    speak(engine, LEFT)
    speak(engine, RIGHT)
    engine.forget()
    assert reused(engine, LEFT) == len(LEFT) - 1
    engine.forget()
    count = Count()
    assert speak(engine, RIGHT, count=count) == reference(twin, RIGHT)
    assert count.reused == len(STEM)


def test_the_embedded_model_goes_back_to_a_branch(embedded: Embedded) -> None:
    stem = embedded.question("Tell me about the sea. " * 12)
    left, right = [*stem, *embedded.question("salt " * 64)], [*stem, *embedded.question("ships " * 64)]
    embedded.engine.forget()
    said = speak(embedded.engine, left, Sampling(4))
    embedded.check(right, speak(embedded.engine, right, Sampling(4)))
    again, count = [*left, *said, *embedded.question("Why?")], Count()
    embedded.check(again, speak(embedded.engine, again, Sampling(4), count=count))
    assert count.reused == len(left) + len(said) - 1


def cache_of(ids: list[int], adapter: str | None = None) -> WorkingCache:
    """A cache of two layers, one head and width 4 whose states at a position say which token stands there."""
    config = LlamaConfig(hidden_size=8, num_attention_heads=2, num_key_value_heads=1, num_hidden_layers=2)
    cache = WorkingCache(config, 1000, torch.float32, torch.device("cpu"))
    cache.ids, cache.adapter = list(ids), adapter
    keys, values = cache.views(len(ids))
    for view in [*keys, *values]:
        view[0, 0] = torch.tensor(ids, dtype=torch.float32)[:, None]
    return cache


TOKEN_BYTES = 2 * 2 * 4 * 4


def test_a_rewound_cache_keeps_what_came_before() -> None:
    cache = cache_of([1, 2, 3])
    cache.rewind(2)
    assert cache.ids == [1, 2]
    cache.rewind(7)
    assert cache.ids == [1, 2]


def test_a_copy_is_of_what_is_filled_and_comes_back_as_far_as_wanted() -> None:
    kept = cache_of([1, 2, 3]).copy_out()
    assert kept.nbytes == 3 * TOKEN_BYTES
    into = cache_of([9] * 5)
    into.copy_in(kept, [1, 2], "x")
    assert (into.ids, into.adapter) == ([1, 2], "x")
    assert [view[0, 0, :, 0].tolist() for view in into.views(3)[1]] == [[1, 2, 9], [1, 2, 9]]


def test_a_copy_does_not_change_with_the_cache() -> None:
    cache = cache_of([1, 2, 3])
    kept = PrefixCache(10**6)
    kept.put(cache)
    cache.views(3)[0][0].fill_(7)
    cache.ids.append(4)
    length, states = kept.longest(None, [1, 2, 3, 4])
    assert length == 3
    assert states is not None
    assert states[0, 0, 0, 0, :, 0].tolist() == [1, 2, 3]


def test_the_longest_beginning_is_found() -> None:
    kept = PrefixCache(10**6)
    for ids in ([1, 2, 3], [1, 2, 9, 9], [5]):
        kept.put(cache_of(ids))
    assert kept.longest(None, [1, 2, 3, 4])[0] == 3
    assert kept.longest(None, [1, 2, 9])[0] == 3
    assert kept.longest(None, [5, 1])[0] == 1
    assert kept.longest(None, [6]) == (0, None)


def test_a_longer_copy_takes_the_place_of_its_beginnings() -> None:
    kept = PrefixCache(10**6)
    for ids in ([1, 2], [1, 3], [1, 2, 3], [1, 2, 3]):
        kept.put(cache_of(ids))
    assert len(kept) == 2
    assert kept.longest(None, [1, 3])[0] == 2


def test_copies_of_different_adapters_are_never_mixed_up() -> None:
    kept = PrefixCache(10**6)
    kept.put(cache_of([1, 2], "x"))
    kept.put(cache_of([1, 2, 3]))
    kept.put(cache_of([1, 2, 3, 4], "y"))
    assert len(kept) == 3
    assert [kept.longest(name, [1, 2, 3, 4])[0] for name in ("x", None, "y", "z")] == [2, 3, 4, 0]


def test_the_least_recently_used_copies_leave_first() -> None:
    kept = PrefixCache(6 * TOKEN_BYTES)
    kept.put(cache_of([1, 1]))
    kept.put(cache_of([2, 2]))
    kept.put(cache_of([3, 3]))
    assert len(kept) == 3
    kept.longest(None, [1, 1])
    kept.put(cache_of([4]))
    assert [kept.longest(None, [i, i])[0] for i in (1, 2, 3, 4)] == [2, 0, 2, 1]


def test_one_that_is_larger_than_the_budget_is_not_kept() -> None:
    kept = PrefixCache(2 * TOKEN_BYTES)
    kept.put(cache_of([1, 2, 3]))
    assert len(kept) == 0


@pytest.mark.parametrize(
    ("first", "second", "length"), [([], [1], 0), ([1, 2], [1, 2, 3], 2), ([1, 2, 3], [1, 5, 3], 1), ([2], [1], 0)]
)
def test_the_shared_beginning_is_measured(first: list[int], second: list[int], length: int) -> None:
    assert shared(first, second) == length
    assert shared(second, first) == length


def test_a_released_cache_takes_no_memory_until_it_is_claimed_again() -> None:
    cache = cache_of([1, 2, 3])
    kept = cache.copy_out()
    assert cache.nbytes == 1000 * TOKEN_BYTES
    cache.release()
    assert (cache.nbytes, cache.ids) == (0, [])
    cache.claim()
    cache.copy_in(kept, [1, 2], None)
    cache.claim()  # again changes nothing
    assert cache.nbytes == 1000 * TOKEN_BYTES
    assert cache.views(2)[0][1][0, 0, :, 0].tolist() == [1, 2]
