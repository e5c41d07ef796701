"""Models load from folders, quantized or not, through the same code."""

from __future__ import annotations

import threading
from pathlib import Path

import bitsandbytes
import torch
from transformers import LlamaForCausalLM

from assistant.engine.decode import Count
from assistant.engine.load import load_engine
from assistant.engine.sample import Sampling

PROMPT = [256, 72, 101, 108, 108, 111]


def quiet(fraction: float | None, note: str) -> None:
    """Take progress and say nothing."""


def test_a_folder_loads_and_speaks(tiny_folder: Path, tiny_model: LlamaForCausalLM) -> None:
    engine, tokenizer = load_engine(tiny_folder, "float32", "none", quiet)
    ids = list(engine.stream(PROMPT, Sampling(8), frozenset(), threading.Event(), Count()))
    expected = tiny_model.generate(
        torch.tensor([PROMPT]), max_new_tokens=8, do_sample=False, eos_token_id=None, pad_token_id=0
    )
    assert ids == expected[0, len(PROMPT) :].tolist()
    assert tokenizer.decode(tokenizer.encode("Hello", add_special_tokens=False)) == "Hello"


def test_nf4_is_four_bit_and_generates_on_this_machine(tiny_folder: Path) -> None:
    engine, _ = load_engine(tiny_folder, "bfloat16", "nf4", quiet)
    linears = [m for m in engine.model.modules() if isinstance(m, bitsandbytes.nn.Linear4bit)]
    assert len(linears) == 3 * 7  # every projection of every layer
    assert linears[0].weight.quant_state.quant_type == "nf4"
    assert linears[0].weight.quant_state.nested  # double quantization
    ids = list(engine.stream(PROMPT, Sampling(8), frozenset(), threading.Event(), Count()))
    assert len(ids) == 8


def test_nf4_says_nearly_what_the_whole_weights_say(tiny_folder: Path, tiny_model: LlamaForCausalLM) -> None:
    engine, _ = load_engine(tiny_folder, "bfloat16", "nf4", quiet)
    ids = torch.tensor([PROMPT])
    with torch.inference_mode():
        ours = engine.model(ids.to(engine.model.device)).logits[0, -1].float().cpu()
        theirs = tiny_model(ids).logits[0, -1].float()
    assert torch.nn.functional.cosine_similarity(ours, theirs, dim=0) > 0.95
