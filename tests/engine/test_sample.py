"""Tokens are drawn as transformers would draw them, and a seed draws them again."""

from __future__ import annotations

import pytest
import torch
from transformers import (
    RepetitionPenaltyLogitsProcessor,
    TemperatureLogitsWarper,
    TopKLogitsWarper,
    TopPLogitsWarper,
)

from assistant.engine.sample import Sampler, Sampling

CPU = torch.device("cpu")
LOGITS = torch.randn(50, generator=torch.Generator().manual_seed(0)) * 2
DRAWS = 4000


def shares(sampler: Sampler, logits: torch.Tensor, allowed: torch.Tensor | None = None) -> torch.Tensor:
    """Return how often each token is drawn, of 1."""
    drawn = torch.tensor([int(sampler(logits, allowed)) for _ in range(DRAWS)])
    return torch.bincount(drawn, minlength=len(logits)) / DRAWS


def far(found: torch.Tensor, expected: torch.Tensor) -> float:
    """Return the largest difference, in standard deviations of that many draws."""
    spread = (expected * (1 - expected) / DRAWS).sqrt().clamp(min=0.5 / DRAWS)
    return float(((found - expected).abs() / spread).max())


@pytest.mark.parametrize(
    ("sampling", "warpers"),
    [
        (Sampling(1, temperature=1.0), []),
        (Sampling(1, temperature=0.5), [TemperatureLogitsWarper(0.5)]),
        (Sampling(1, temperature=1.0, top_k=4), [TopKLogitsWarper(4)]),
        (Sampling(1, temperature=1.0, top_p=0.6), [TopPLogitsWarper(0.6)]),
        (
            Sampling(1, temperature=1.7, top_k=9, top_p=0.8),
            [TemperatureLogitsWarper(1.7), TopKLogitsWarper(9), TopPLogitsWarper(0.8)],
        ),
    ],
    ids=str,
)
def test_tokens_are_drawn_with_the_odds_of_transformers(sampling: Sampling, warpers: list[object]) -> None:
    scores = LOGITS[None]
    for warper in warpers:
        scores = warper(None, scores)  # type: ignore[operator]
    expected = scores.softmax(-1)[0]
    found = shares(Sampler(sampling, 50, CPU), LOGITS)
    assert far(found, expected) < 4
    assert set(found.nonzero().flatten().tolist()) <= set(expected.nonzero().flatten().tolist())


def test_without_temperature_the_likeliest_is_taken_whatever_else_is_set() -> None:
    sampler = Sampler(Sampling(1, top_k=3, top_p=0.1, seed=5), 50, CPU)
    assert int(sampler(LOGITS)) == int(LOGITS.argmax())
    assert not sampler.narrows


@pytest.mark.parametrize("penalty", [1.3, 0.5])
def test_a_penalty_is_that_of_transformers_over_what_was_taken(penalty: float) -> None:
    sampler = Sampler(Sampling(1, temperature=1.0, repetition_penalty=penalty), 50, CPU)
    taken = [3, 7, 3, int(LOGITS.argmax()), int(LOGITS.argmin())]
    for token in taken[:2]:
        sampler.take(token)
    for token in taken[2:]:
        sampler.take(torch.tensor([token]))
    expected = RepetitionPenaltyLogitsProcessor(penalty)(torch.tensor([taken]), LOGITS[None].clone())[0]
    assert far(shares(sampler, LOGITS), expected.softmax(-1)) < 4
    greedy = Sampler(Sampling(1, repetition_penalty=10.0), 50, CPU)
    greedy.take(int(LOGITS.argmax()))
    for logits in (LOGITS, LOGITS - LOGITS.max() - 1):  # a penalty moves what is below zero further down
        assert int(greedy(logits)) == int(LOGITS.topk(2).indices[1])


def test_a_penalty_leaves_the_logits_it_was_given() -> None:
    sampler = Sampler(Sampling(1, repetition_penalty=2.0), 50, CPU)
    sampler.take(1)
    before = LOGITS.clone()
    sampler(LOGITS, torch.arange(50) > 3)
    assert torch.equal(LOGITS, before)


def test_only_what_is_allowed_is_drawn() -> None:
    allowed = torch.arange(50) % 5 == 0
    expected = LOGITS.masked_fill(~allowed, -torch.inf).softmax(-1)
    assert far(shares(Sampler(Sampling(1, temperature=1.0), 50, CPU), LOGITS, allowed), expected) < 4
    assert int(Sampler(Sampling(1), 50, CPU)(LOGITS, allowed)) == int(expected.argmax())


def test_the_likeliest_are_those_of_the_allowed() -> None:
    allowed = ~torch.isin(torch.arange(50), LOGITS.topk(3).indices)
    sampler = Sampler(Sampling(1, temperature=1.0, top_k=2), 50, CPU)
    assert sampler.narrows
    drawn = {int(sampler(LOGITS, allowed)) for _ in range(100)}
    assert drawn == set(LOGITS.topk(5).indices[3:].tolist())


def test_a_seed_draws_the_same_again_and_another_seed_not() -> None:
    def draw(seed: int) -> list[int]:
        sampler = Sampler(Sampling(1, temperature=1.0, seed=seed), 50, CPU)
        return [int(sampler(LOGITS)) for _ in range(20)]

    first = draw(1)
    torch.manual_seed(123)  # nobody else's draws matter
    assert draw(1) == first
    assert draw(2) != first


def test_logits_of_half_the_width_are_drawn_from_as_well() -> None:
    assert int(Sampler(Sampling(1), 50, CPU)(LOGITS.bfloat16())) == int(LOGITS.argmax())
    assert Sampler(Sampling(1, temperature=1.0), 50, CPU)(LOGITS.bfloat16()).shape == (1,)
