"""Guessing the next tokens saves passes and never changes what is said."""

from __future__ import annotations

import random
import threading
from collections.abc import Sequence
from typing import ClassVar

import pytest
import torch
from transformers import LlamaForCausalLM, PreTrainedTokenizerFast

from assistant.engine import decode
from assistant.engine.decode import MOST_GUESSES, Count, Engine
from assistant.engine.draft import NGRAM, REST, Drafter
from assistant.engine.grammar import Vocabulary
from assistant.engine.sample import Sampler, Sampling
from tests.engine.conftest import GREEDY, PROMPT, Embedded, reference, speak, twin_of

CPU = torch.device("cpu")
DRAWN = Sampling(24, temperature=1.0, top_k=50, top_p=0.9, repetition_penalty=1.2, seed=4)


def test_what_followed_the_last_tokens_before_is_guessed() -> None:
    assert Drafter(4).guess([1, 2, 3, 4, 5, 6, 7, 8, 9, 1, 2, 3]) == [4, 5, 6, 7]
    assert Drafter(2).guess([1, 2, 3, 4, 5, 6, 1, 2, 3]) == [4, 5]


def test_the_latest_place_counts() -> None:
    assert Drafter(1).guess([1, 2, 3, 4, 1, 2, 3, 5, 1, 2, 3]) == [5]


def test_nothing_is_guessed_where_the_last_tokens_are_new() -> None:
    assert Drafter(4).guess([9, 2, 3, 4, 1, 2, 3]) == []
    assert Drafter(4).guess([1] * NGRAM) == []
    assert Drafter(4).guess([]) == []


def test_a_drafter_that_sees_a_sequence_grow_guesses_what_a_new_one_would() -> None:
    ids = [random.Random(0).choice([1, 2]) for _ in range(200)]
    growing = Drafter(5)
    for end in range(0, 200, 3):
        assert growing.guess(ids[:end]) == Drafter(5).guess(ids[:end])


def test_wrong_guesses_make_it_rest_and_guess_less_and_right_ones_more_again() -> None:
    ids = [1, 2, 3, 4, 5, 6, 7, 8, 9, 1, 2, 3]
    drafter = Drafter(6)
    drafter.learn(6, 0)
    assert [len(drafter.guess(ids)) for _ in range(REST + 1)] == [0] * REST + [3]
    for _ in range(4):
        drafter.learn(3, 0)
    assert max(len(drafter.guess(ids)) for _ in range(REST + 1)) == 1
    drafter.learn(1, 1)
    assert len(drafter.guess(ids)) == 2
    drafter.learn(2, 1)
    assert len(drafter.guess(ids)) == 2
    drafter.learn(2, 2)
    drafter.learn(4, 4)
    assert len(drafter.guess(ids)) == 6


@pytest.fixture
def parrot(tiny_model: LlamaForCausalLM) -> LlamaForCausalLM:
    """A model that looks at the last token only, so that what it says goes round in a circle."""
    parrot = twin_of(tiny_model)
    with torch.no_grad():
        for layer in parrot.model.layers:
            layer.self_attn.o_proj.weight.zero_()
    return parrot


def test_copying_takes_fewer_passes_than_tokens_and_says_the_same(parrot: LlamaForCausalLM) -> None:
    expected = reference(parrot, PROMPT, 120)
    engine, count = Engine(parrot), Count()
    assert speak(engine, PROMPT, Sampling(120), count=count, copies=True) == expected
    assert count.generated == 120
    assert count.passes < 60
    longer, count = [*PROMPT, *expected, 5], Count()
    assert speak(engine, longer, Sampling(1), count=count) == reference(twin_of(parrot), longer, 1)
    assert count.reused >= len(PROMPT) + 119


class Oracle(Drafter):
    """Guesses what it was told will come, and here and there something else."""

    coming: Sequence[int] = ()
    start = 0
    errors = 0.0
    learned: ClassVar[list[tuple[int, int]]] = []

    def guess(self, ids: Sequence[int]) -> list[int]:
        at = len(ids) - self.start
        chance = random.Random(at)
        guess = self.coming[at : at + chance.randint(0, MOST_GUESSES)]
        return [token if chance.random() >= self.errors else (token + 1) % 256 for token in guess]

    def learn(self, guessed: int, right: int) -> None:
        self.learned.append((guessed, right))


@pytest.fixture(params=[0.0, 0.3, 1.0], ids=["right", "mixed", "wrong"])
def oracle(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> type[Oracle]:
    monkeypatch.setattr(Oracle, "errors", request.param)
    monkeypatch.setattr(Oracle, "learned", [])
    monkeypatch.setattr(decode, "Drafter", Oracle)
    return Oracle


def tell(oracle: type[Oracle], monkeypatch: pytest.MonkeyPatch, coming: Sequence[int]) -> None:
    monkeypatch.setattr(oracle, "coming", coming)
    monkeypatch.setattr(oracle, "start", len(PROMPT))


@pytest.mark.parametrize("sampling", [GREEDY, DRAWN, Sampling(24, repetition_penalty=1.5)], ids=str)
def test_right_and_wrong_guesses_change_nothing(
    engine: Engine, oracle: type[Oracle], monkeypatch: pytest.MonkeyPatch, sampling: Sampling
) -> None:
    expected = speak(engine, PROMPT, sampling)
    tell(oracle, monkeypatch, [*expected, *range(20)])
    count = Count()
    assert speak(engine, PROMPT, sampling, count=count, copies=True) == expected
    assert count.generated == 24
    assert oracle.learned
    if oracle.errors == 1.0:
        assert count.passes == 23
        assert all(right == 0 for _, right in oracle.learned)
    else:
        assert sum(right for _, right in oracle.learned) >= 23 - count.passes - 1
        assert count.passes < (8 if oracle.errors == 0.0 else 20)
    assert engine.cache.ids == [*PROMPT, *expected][: len(engine.cache.ids)]
    longer = [*PROMPT, *expected, 77]
    reused = len(engine.cache.ids)
    count = Count()
    assert speak(engine, longer, count=count) == speak(Engine(twin_of(engine.model)), longer)
    assert count.reused == reused


def test_guesses_do_not_reach_over_an_end_or_the_limit(
    engine: Engine,
    twin: LlamaForCausalLM,
    passes: list[tuple[int, int]],
    oracle: type[Oracle],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    expected = reference(twin, PROMPT)
    tell(oracle, monkeypatch, expected)
    for limit in range(1, 12):
        assert speak(engine, PROMPT, Sampling(limit), copies=True) == expected[:limit]
        assert (
            max(start + count for start, count in passes) < len(PROMPT) + limit
        )  # the last token is not read, and nothing after it
    end = expected[10]
    assert speak(engine, PROMPT, end=frozenset({end}), copies=True) == expected[: expected.index(end)]
    assert speak(engine, [*PROMPT, *expected[:4], 9]) == reference(twin, [*PROMPT, *expected[:4], 9])


@pytest.mark.parametrize("temperature", [0.0, 1.0])
def test_guesses_under_a_grammar_change_nothing(
    engine: Engine,
    tiny_tokenizer: PreTrainedTokenizerFast,
    oracle: type[Oracle],
    monkeypatch: pytest.MonkeyPatch,
    temperature: float,
) -> None:
    vocabulary = Vocabulary(tiny_tokenizer, engine.vocabulary_size)
    rule = 'start: /[a-m]{9}/ " forced " /[n-z]{9}/'
    sampling = Sampling(40, temperature=temperature, seed=2)
    expected = speak(engine, PROMPT, sampling, constraint=vocabulary.constraint(rule))
    assert len(expected) == 26
    tell(oracle, monkeypatch, expected)
    count = Count()
    said = speak(engine, PROMPT, sampling, count=count, constraint=vocabulary.constraint(rule), copies=True)
    assert said == expected
    if oracle.errors == 0.0:
        assert count.passes < 12


def test_only_what_the_grammar_lets_through_is_guessed(tiny_tokenizer: PreTrainedTokenizerFast) -> None:
    said = tiny_tokenizer.encode("abcd", add_special_tokens=False)
    rule = Vocabulary(tiny_tokenizer, 320).constraint('start: /[a-c]+/ "."')
    reply = decode._Reply(
        [9, 9, 9, *said, 9, 9, 9],
        GREEDY,
        Sampler(GREEDY, 320, CPU),
        frozenset(),
        Count(generated=1),
        rule,
        None,
        Drafter(7),
    )
    assert Drafter(7).guess(reply.ids) == [*said, 9, 9, 9]
    assert reply.guess() == said[:3]


def test_stop_is_looked_at_before_each_pass_of_guesses(engine: Engine) -> None:
    stop = threading.Event()
    stream = engine.stream([1, 2, 3] * 9, GREEDY, frozenset(), stop, Count(), copies=True)
    next(stream)
    stop.set()
    assert list(stream) == []


def test_the_embedded_model_copies_a_text_in_few_passes(embedded: Embedded) -> None:
    text = "The parcel 4471 leaves Rotterdam on Tuesday. The parcel 4471 leaves Rotterdam on"
    prompt = embedded.question(f"Repeat this: {text} Tuesday.") + embedded.tokenizer.encode(text)
    embedded.engine.forget()
    count = Count()
    said = speak(embedded.engine, prompt, Sampling(20), count=count, copies=True)
    embedded.check(prompt, said)
    assert count.passes < count.generated == 20
