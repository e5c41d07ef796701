"""Several continuations scored in one pass have the probabilities that each has alone."""

from __future__ import annotations

import pytest
import torch
from transformers import LlamaForCausalLM

from assistant.engine.decode import Count, Engine
from tests.engine.conftest import PROMPT, speak, twin_of

BRANCHES = [[5], [7, 11], [7, 12, 13, 14], [200, 3, 3], [5, 9]]


@pytest.fixture
def engine(tiny_model: LlamaForCausalLM) -> Engine:
    return Engine(twin_of(tiny_model))


def alone(model: LlamaForCausalLM, prompt: list[int], branch: list[int]) -> float:
    with torch.no_grad():
        logits = model(torch.tensor([[*prompt, *branch]])).logits[0]
    logs = torch.log_softmax(logits, -1)[len(prompt) - 1 : -1]
    return float(logs[range(len(branch)), branch].sum())


def test_each_branch_is_as_likely_as_alone(engine: Engine, tiny_model: LlamaForCausalLM) -> None:
    expected = [alone(tiny_model, PROMPT, branch) for branch in BRANCHES]
    assert engine.score(PROMPT, BRANCHES, Count()) == pytest.approx(expected, abs=1e-3)


def test_the_prompt_stays_read_and_the_branches_do_not(engine: Engine, tiny_model: LlamaForCausalLM) -> None:
    engine.score(PROMPT, BRANCHES, Count())
    again = Count()
    assert engine.score(PROMPT, BRANCHES[::-1], again) == pytest.approx(
        [alone(tiny_model, PROMPT, branch) for branch in BRANCHES[::-1]], abs=1e-3
    )
    assert again.reused == len(PROMPT) - 1
    count = Count()
    assert speak(engine, PROMPT, count=count) == speak(Engine(twin_of(tiny_model)), PROMPT)
    assert count.reused == len(PROMPT) - 1


def test_branches_beyond_the_context_are_refused(engine: Engine) -> None:
    with pytest.raises(ValueError, match="tokens"):
        engine.score(PROMPT, [[1] * engine.context], Count())
