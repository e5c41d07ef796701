"""What the shipped adapter reaches on cases that neither training nor tuning saw, and what it leaves of the talk.

Knows the shipped folder and the hand-written cases; no training.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch

from assistant.chat_format import Family
from assistant.engine.decode import Count
from assistant.engine.sample import Sampling
from assistant.llama import LlamaChat
from assistant.settings import read_settings
from assistant.speaker import ADAPTER, Speaker, encode, speaker
from bench._cases import try_case
from bench.tool_choice import figures
from training.tool_choice.calibrate import sets

QUESTIONS = (
    "What is the capital of France?",
    "Why is the sky blue?",
    "How many legs does a spider have?",
    "Write one sentence about the sea.",
    "What is the opposite of cold?",
    "Name three fruits.",
    "Who wrote Romeo and Juliet?",
    "What do bees make?",
    "Give me a tip for falling asleep.",
    "What is two plus two?",
)
TALK = Path(__file__).parents[2] / "bench" / "alice.txt"
TOKENS = 40


def evaluate() -> Iterator[dict[str, Any]]:
    """Yield one figure after another."""
    model = LlamaChat(read_settings())
    for name, cases, tools in sets("test"):
        outcomes = [try_case(model, case, tools) for case in [cases[0], *cases]][1:]
        for figure in figures(outcomes, tools):
            yield {"set": name, **figure}
    with speaker(threading.Event()) as told:
        yield from _talk(told)


def _talk(told: Speaker) -> Iterator[dict[str, Any]]:
    """Compare the model as it talks with the model without any adapter, and with the adapter it chooses with."""
    inner = told.engine.model
    ids = torch.tensor([encode(told.tokenizer, [TALK.read_text()])[:2000]])
    told.engine.forget()
    talking = _perplexity(inner, ids)
    said = [_answer(told, question) for question in QUESTIONS]
    inner.set_adapter(ADAPTER)
    inner.enable_adapters()
    choosing = _perplexity(inner, ids)
    inner.disable_adapters()
    inner.delete_adapter(ADAPTER)
    bare = _perplexity(inner, ids)
    same = sum(_answer(told, question) == before for question, before in zip(QUESTIONS, said, strict=True))
    yield {"figure": "perplexity as it talks / without adapter", "ratio": round(talking / bare, 4)}
    yield {"figure": "perplexity as it chooses / without adapter", "ratio": round(choosing / bare, 4)}
    yield {"figure": "plain questions answered word for word as without adapter", "count": same, "of": len(QUESTIONS)}


def _perplexity(model: Any, ids: torch.Tensor) -> float:
    with torch.inference_mode():
        logits = model(ids).logits[0, :-1].float()
    return float(torch.nn.functional.cross_entropy(logits, ids[0, 1:]).exp())


def _answer(told: Speaker, question: str) -> str:
    assert isinstance(told.family, Family)
    told.engine.forget()
    told.engine.kept = type(told.engine.kept)(0)  # nothing is taken from what was read before
    ids = encode(told.tokenizer, [*told.family.turn("user", question), *told.family.open("assistant")])
    stream = told.engine.stream(ids, Sampling(TOKENS), told.end, threading.Event(), Count())
    return str(told.tokenizer.decode([token for batch in stream for token in batch]))
