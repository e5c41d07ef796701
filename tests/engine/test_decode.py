"""The decode loop agrees with transformers' own `generate`, keeps its cache true, and stops when asked."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest
import torch
from transformers import LlamaForCausalLM, PreTrainedTokenizerFast

from assistant.engine.decode import Count, Engine
from assistant.engine.grammar import Vocabulary
from assistant.engine.sample import Sampling

PROMPT = [256, 72, 101, 108, 108, 111, 32, 119, 111, 114, 108, 100]
GREEDY = Sampling(max_new_tokens=24)
NONE_ENDS = frozenset({-1})


@pytest.fixture
def engine(tiny_model: LlamaForCausalLM) -> Engine:
    return Engine(tiny_model)


def reference(model: LlamaForCausalLM, prompt: list[int]) -> list[int]:
    ids = torch.tensor([prompt])
    out = model.generate(ids, max_new_tokens=24, do_sample=False, eos_token_id=None, pad_token_id=0)
    return out[0, len(prompt) :].tolist()


def run(engine: Engine, prompt: list[int], sampling: Sampling = GREEDY, count: Count | None = None) -> list[int]:
    return list(engine.stream(prompt, sampling, NONE_ENDS, threading.Event(), count or Count()))


def test_greedy_tokens_are_those_of_generate(engine: Engine, tiny_model: LlamaForCausalLM) -> None:
    assert run(engine, PROMPT) == reference(tiny_model, PROMPT)


def test_a_longer_prompt_reuses_what_it_shares_and_answers_the_same(
    engine: Engine, tiny_model: LlamaForCausalLM
) -> None:
    first = run(engine, PROMPT)
    longer = [*PROMPT, *first, 33, 34, 35]
    count = Count()
    assert run(engine, longer, count=count) == reference(tiny_model, longer)
    assert count.reused == len(PROMPT) + len(first) - 1  # the last token was drawn but never read


def test_an_edited_prompt_rewinds_to_where_it_differs(engine: Engine, tiny_model: LlamaForCausalLM) -> None:
    run(engine, PROMPT)
    edited = [*PROMPT[:6], 200, 201, 202]
    count = Count()
    assert run(engine, edited, count=count) == reference(tiny_model, edited)
    assert count.reused == 6


def test_the_same_prompt_again_gives_the_same(engine: Engine) -> None:
    assert run(engine, PROMPT) == run(engine, PROMPT)


def test_a_prompt_longer_than_a_chunk_is_read_whole(engine: Engine, tiny_model: LlamaForCausalLM) -> None:
    prompt = [(7 * i) % 256 for i in range(1200)]
    assert run(engine, prompt) == reference(tiny_model, prompt)


def test_stop_ends_within_one_token(engine: Engine) -> None:
    stop = threading.Event()
    stream = engine.stream(PROMPT, Sampling(max_new_tokens=500), NONE_ENDS, stop, Count())
    got = [next(stream), next(stream)]
    stop.set()
    assert len(got) + len(list(stream)) <= 3


def test_a_closed_stream_leaves_a_true_cache(engine: Engine, tiny_model: LlamaForCausalLM) -> None:
    stream: Iterator[int] = engine.stream(PROMPT, GREEDY, NONE_ENDS, threading.Event(), Count())
    next(stream)
    stream.close()  # type: ignore[attr-defined]
    assert run(engine, PROMPT) == reference(tiny_model, PROMPT)


def test_an_end_token_ends_and_is_not_yielded(engine: Engine, tiny_model: LlamaForCausalLM) -> None:
    expected = reference(tiny_model, PROMPT)
    end = expected[5]
    got = list(engine.stream(PROMPT, GREEDY, frozenset({end}), threading.Event(), Count()))
    assert got == expected[: expected.index(end)]


def test_a_failing_forward_forgets_the_cache_and_serves_on(
    engine: Engine, tiny_model: LlamaForCausalLM, monkeypatch: pytest.MonkeyPatch
) -> None:
    run(engine, PROMPT)
    with monkeypatch.context() as broken:
        broken.setattr(tiny_model.model.layers[1].mlp, "forward", lambda x: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            run(engine, [*PROMPT, 5])
    assert run(engine, PROMPT) == reference(tiny_model, PROMPT)


def test_a_seed_gives_the_same_text_and_another_seed_another(engine: Engine) -> None:
    def draw(seed: int) -> list[int]:
        return run(engine, PROMPT, Sampling(max_new_tokens=24, temperature=1.0, seed=seed))

    assert draw(1) == draw(1)
    assert draw(1) != draw(2)


def test_a_grammar_is_kept_and_its_forced_tokens_are_read_at_once(
    engine: Engine, tiny_tokenizer: PreTrainedTokenizerFast, monkeypatch: pytest.MonkeyPatch
) -> None:
    passes = 0
    forward = engine.model.forward

    def counted(*args: object, **kwargs: object) -> object:
        nonlocal passes
        passes += 1
        return forward(*args, **kwargs)

    monkeypatch.setattr(engine.model, "forward", counted)
    vocabulary = Vocabulary(tiny_tokenizer, engine.vocabulary_size)
    constraint = vocabulary.constraint('start: ("yes" | "no") ", and here is a long forced end."')
    ids = list(engine.stream(PROMPT, Sampling(100), NONE_ENDS, threading.Event(), Count(), constraint))
    text = tiny_tokenizer.decode(ids)
    assert text in ("yes, and here is a long forced end.", "no, and here is a long forced end.")
    assert passes <= 3  # the prompt, and at most two choices


def test_a_wrong_grammar_says_so(tiny_tokenizer: PreTrainedTokenizerFast) -> None:
    with pytest.raises(ValueError, match="Expected token"):
        Vocabulary(tiny_tokenizer, 320).constraint("nonsense")
