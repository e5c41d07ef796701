"""What the shipped adapter reaches on cases that neither training nor tuning saw, and what it leaves of the talk.

Knows the shipped folder and the hand-written cases; no training.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from peft import PeftModel

from assistant.chat_format import Family
from assistant.engine.decode import Count
from assistant.engine.sample import Sampling
from assistant.llama import LlamaChat
from assistant.settings import read_settings
from assistant.speaker import ADAPTER, Speaker, encode, speaker
from bench._cases import try_case
from bench.tool_choice import figures
from training.tool_choice.base import load
from training.tool_choice.calibrate import sets

TALK = {
    "What is the capital of France?": "The capital of France is Paris.",
    "Why is the sky blue?": "The sky looks blue because air scatters blue light more than red light.",
    "How many legs does a spider have?": "A spider has eight legs.",
    "Write one sentence about the sea.": "The sea stretches to the horizon, and its waves never rest.",
    "What is the opposite of cold?": "The opposite of cold is hot.",
    "Name three fruits.": "Three fruits are apples, bananas and oranges.",
    "Who wrote Romeo and Juliet?": "William Shakespeare wrote Romeo and Juliet.",
    "What do bees make?": "Bees make honey and wax.",
    "Give me a tip for falling asleep.": "Go to bed at the same time every night and keep your room dark and quiet.",
    "What is two plus two?": "Two plus two is four.",
}
TOKENS = 40


def evaluate(folder: Path) -> Iterator[dict[str, Any]]:
    """Yield one figure after another of the adapter in `folder`, which is the shipped one."""
    model = LlamaChat(read_settings())
    for name, cases, tools in sets("test"):
        outcomes = [try_case(model, case, tools) for case in [cases[0], *cases]][1:]
        for figure in figures(outcomes, tools):
            yield {"set": name, **figure}
    with speaker(threading.Event()) as told:
        yield from _talk(told, folder)


def _talk(told: Speaker, folder: Path) -> Iterator[dict[str, Any]]:
    """Compare the model as it talks with the model without any adapter, and with the adapter it chooses with."""
    said = [_answer(told, question) for question in TALK]
    told.engine.model.delete_adapter(ADAPTER)
    same = sum(_answer(told, question) == before for question, before in zip(TALK, said, strict=True))
    yield {"figure": "plain questions answered word for word as without adapter", "count": same, "of": len(TALK)}
    _, plain = load()
    bare = _perplexity(told, plain)
    model = PeftModel.from_pretrained(plain, folder)
    choosing = _perplexity(told, model)
    with model.disable_adapter():
        talking = _perplexity(told, model)
    yield {"figure": "perplexity as it talks / without adapter", "ratio": round(talking / bare, 4)}
    yield {"figure": "perplexity as it chooses / without adapter", "ratio": round(choosing / bare, 4)}


def _perplexity(told: Speaker, model: Any) -> float:
    """Return the perplexity of good answers to plain questions."""
    losses: list[torch.Tensor] = []
    for question, answer in TALK.items():
        before = _asked(told, question)
        ids = torch.tensor([before + encode(told.tokenizer, [answer])])
        with torch.inference_mode():
            logits = model(input_ids=ids).logits[0, len(before) - 1 : -1].float()
        losses.append(torch.nn.functional.cross_entropy(logits, ids[0, len(before) :], reduction="none"))
    return float(torch.cat(losses).mean().exp())


def _asked(told: Speaker, question: str) -> list[int]:
    assert isinstance(told.family, Family)
    return list(encode(told.tokenizer, [*told.family.turn("user", question), *told.family.open("assistant")]))


def _answer(told: Speaker, question: str) -> str:
    told.engine.forget()
    told.engine.kept = type(told.engine.kept)(0)  # nothing is taken from what was read before
    ids = _asked(told, question)
    stream = told.engine.stream(ids, Sampling(TOKENS), told.end, threading.Event(), Count())
    return str(told.tokenizer.decode([token for batch in stream for token in batch]))
