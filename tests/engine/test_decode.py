"""One reply after another: the tokens are those of transformers' own `generate`, however much is read again or not."""

from __future__ import annotations

import threading
from collections.abc import Sequence

import pytest
from transformers import LlamaForCausalLM

from assistant.engine.decode import PREFILL_CHUNK, Count, Engine
from assistant.engine.sample import Sampling
from tests.engine.conftest import GREEDY, PROMPT, Embedded, ids_of, reference, speak

LONG = [(7 * i) % 256 for i in range(1200)]


@pytest.fixture(params=[False, True], ids=["read at once", "read late"])
def engine(engine: Engine, request: pytest.FixtureRequest) -> Engine:
    """The engine of a CPU, and one that looks at tokens a pass late as on a GPU."""
    engine.reads_late = request.param
    return engine


@pytest.mark.parametrize("prompt", [[256], PROMPT, LONG[:PREFILL_CHUNK], LONG], ids=len)
def test_greedy_tokens_are_those_of_generate(engine: Engine, twin: LlamaForCausalLM, prompt: Sequence[int]) -> None:
    assert speak(engine, prompt) == reference(twin, prompt)


def test_a_longer_prompt_reuses_what_it_shares_and_answers_the_same(engine: Engine, twin: LlamaForCausalLM) -> None:
    first = speak(engine, PROMPT)
    longer = [*PROMPT, *first, 33, 34, 35]
    count = Count()
    assert speak(engine, longer, count=count) == reference(twin, longer)
    unread = 0 if engine.reads_late else 1  # the last token was drawn but never read
    assert (count.prompt, count.reused) == (len(longer), len(PROMPT) + len(first) - unread)


def test_an_edited_prompt_rewinds_to_where_it_differs(engine: Engine, twin: LlamaForCausalLM) -> None:
    speak(engine, PROMPT)
    edited = [*PROMPT[:6], 200, 201, 202]
    count = Count()
    assert speak(engine, edited, count=count) == reference(twin, edited)
    assert count.reused == 6


def test_a_shortened_prompt_reads_only_its_last_token_again(engine: Engine, twin: LlamaForCausalLM) -> None:
    speak(engine, PROMPT)
    count = Count()
    assert speak(engine, PROMPT[:7], count=count) == reference(twin, PROMPT[:7])
    assert count.reused == 6


def test_a_long_prompt_lets_others_have_a_turn_after_each_chunk(engine: Engine, twin: LlamaForCausalLM) -> None:
    batches = list(engine.stream(LONG, GREEDY, frozenset(), threading.Event(), Count()))
    assert batches[:2] == [[], []]
    assert all(batches[2:])
    assert ids_of(batches) == reference(twin, LONG)


def test_what_was_done_is_counted(engine: Engine, passes: list[tuple[int, int]]) -> None:
    count = Count()
    speak(engine, PROMPT, count=count)
    assert (count.prompt, count.reused, count.generated) == (len(PROMPT), 0, 24)
    assert count.passes == (24 if engine.reads_late else 23)  # the first token comes from the prompt
    assert passes == [(0, len(PROMPT)), *((len(PROMPT) + i, 1) for i in range(count.passes))]


def test_stop_ends_within_one_pass_and_what_was_read_stays_true(engine: Engine, twin: LlamaForCausalLM) -> None:
    stop = threading.Event()
    stream = engine.stream(PROMPT, GREEDY, frozenset(), stop, Count())
    got = [*next(stream), *next(stream)]
    stop.set()
    assert list(stream) == []
    assert got == reference(twin, PROMPT)[:2]
    longer = [*PROMPT, *got, 7]
    count = Count()
    assert speak(engine, longer, count=count) == reference(twin, longer)
    assert count.reused >= len(PROMPT) + 1


def test_stop_ends_between_two_chunks_of_a_prompt(engine: Engine, twin: LlamaForCausalLM) -> None:
    stop = threading.Event()
    stream = engine.stream(LONG, GREEDY, frozenset(), stop, Count())
    assert next(stream) == []
    stop.set()
    assert list(stream) == []
    assert len(engine.cache.ids) == PREFILL_CHUNK
    count = Count()
    assert speak(engine, LONG, count=count) == reference(twin, LONG)
    assert count.reused == PREFILL_CHUNK


def test_a_stream_stopped_before_it_began_reads_no_chunk_and_says_nothing(engine: Engine) -> None:
    stop = threading.Event()
    stop.set()
    assert list(engine.stream(LONG[:600], GREEDY, frozenset(), stop, Count())) == []
    assert len(engine.cache.ids) == 0


@pytest.mark.parametrize("prompt", [PROMPT, LONG], ids=len)
@pytest.mark.parametrize("taken", [1, 3])
def test_a_closed_stream_leaves_a_true_cache(
    engine: Engine, twin: LlamaForCausalLM, prompt: Sequence[int], taken: int
) -> None:
    stream = engine.stream(prompt, GREEDY, frozenset(), threading.Event(), Count())
    got = ids_of([next(stream) for _ in range(taken)])
    stream.close()  # type: ignore[attr-defined]
    longer = [*prompt, *got, 9, 10]
    assert speak(engine, longer) == reference(twin, longer)


def test_an_end_token_ends_and_is_not_yielded(engine: Engine, twin: LlamaForCausalLM) -> None:
    expected = reference(twin, PROMPT)
    end = expected[5]
    count = Count()
    got = speak(engine, PROMPT, end=frozenset({end, 999}), count=count)
    assert got == expected[: expected.index(end)]
    assert count.generated == len(got)
    longer, count = [*PROMPT, *got, end, 33, 34], Count()
    assert speak(engine, longer, count=count) == reference(twin, longer)
    assert count.reused == len(PROMPT) + len(got)  # the end was not read, or that was forgotten


@pytest.mark.parametrize("limit", [1, 2, 9])
def test_a_reply_has_no_more_tokens_than_it_may(engine: Engine, twin: LlamaForCausalLM, limit: int) -> None:
    assert speak(engine, PROMPT, Sampling(limit)) == reference(twin, PROMPT)[:limit]


def test_a_reply_ends_where_the_context_does(tiny_model: LlamaForCausalLM, twin: LlamaForCausalLM) -> None:
    for late in (False, True):
        engine = Engine(tiny_model, context=20)
        engine.reads_late = late
        assert speak(engine, PROMPT) == reference(twin, PROMPT)[:8]
        assert len(engine.cache.ids) <= 20
    assert speak(engine, [*PROMPT, 1, 2, 3, 4, 5, 6, 7]) == reference(twin, [*PROMPT, 1, 2, 3, 4, 5, 6, 7])[:1]


@pytest.mark.parametrize("size", [0, 20, 21])
def test_a_prompt_that_cannot_be_read_is_refused_with_the_bounds(tiny_model: LlamaForCausalLM, size: int) -> None:
    with pytest.raises(ValueError, match=f"the prompt has {size} tokens; from 1 to 19 can be read"):
        speak(Engine(tiny_model, context=20), [1] * size)


def test_the_context_is_no_longer_than_the_models_own(tiny_model: LlamaForCausalLM) -> None:
    assert Engine(tiny_model).context == 2048


def test_a_failing_forward_forgets_the_cache_and_serves_on(
    engine: Engine, twin: LlamaForCausalLM, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = speak(engine, PROMPT)
    longer = [*PROMPT, *first, 5]
    with monkeypatch.context() as broken:
        # the first layer has taken the new tokens by then, the last has not
        broken.setattr(engine.model.model.layers[1].mlp, "forward", lambda x: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            speak(engine, longer)
    count = Count()
    assert speak(engine, longer, count=count) == reference(twin, longer)
    assert count.reused == 0


def test_a_seed_gives_the_same_text_and_another_seed_another(engine: Engine) -> None:
    def draw(seed: int) -> list[int]:
        return speak(engine, PROMPT, Sampling(24, temperature=1.0, seed=seed))

    first = draw(1)
    assert draw(1) == first
    assert draw(2) != first
    engine.reads_late = not engine.reads_late
    assert draw(1) == first


def test_a_repetition_penalty_is_the_same_read_late(tiny_model: LlamaForCausalLM) -> None:
    engine = Engine(tiny_model)
    plain = speak(engine, PROMPT, Sampling(60))
    at_once = speak(engine, PROMPT, Sampling(60, repetition_penalty=50.0))
    assert len(set(at_once)) == 60 > len(set(plain))
    engine.reads_late = True
    assert speak(engine, PROMPT, Sampling(60, repetition_penalty=50.0)) == at_once


def test_the_embedded_model_says_what_generate_says_and_reuses_it(embedded: Embedded) -> None:
    embedded.engine.forget()
    prompt = embedded.question("What is the capital of France?")
    first = speak(embedded.engine, prompt, Sampling(7))
    assert "Paris" in embedded.tokenizer.decode(first)
    embedded.check(prompt, first)
    count = Count()
    following = [*prompt, *first, *embedded.question("And of Italy?")]
    embedded.check(following, speak(embedded.engine, following, Sampling(7), count=count))
    assert count.reused == len(prompt) + len(first) - 1


def test_the_embedded_model_read_late_says_the_same(embedded: Embedded, monkeypatch: pytest.MonkeyPatch) -> None:
    prompt = embedded.question("Is it raining? Say only yes or no.")
    end = frozenset({embedded.tokenizer.convert_tokens_to_ids("<|im_end|>")})
    at_once = speak(embedded.engine, prompt, Sampling(8), end)
    embedded.engine.forget()
    monkeypatch.setattr(embedded.engine, "reads_late", True)
    assert speak(embedded.engine, prompt, Sampling(8), end) == at_once
