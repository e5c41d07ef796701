"""Random weights in the shape of Llama-3.1-8B, in 4 bits: speed does not depend on what weights say.

They are made layer by layer where they will stay, so that neither a download nor 16 GB of memory are needed.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

import bitsandbytes
import torch
from torch import nn
from transformers import AutoModelForCausalLM, LlamaConfig
from transformers.models.llama.modeling_llama import LlamaDecoderLayer

from assistant.engine.decode import Engine
from assistant.engine.load import quantize_head
from bench._peers import Generate, Ours

LLAMA31: Mapping[str, Any] = {
    "vocab_size": 128256,
    "hidden_size": 4096,
    "intermediate_size": 14336,
    "num_hidden_layers": 32,
    "num_attention_heads": 32,
    "num_key_value_heads": 8,
    "head_dim": 128,
    "max_position_embeddings": 131072,
    "rms_norm_eps": 1e-5,
    "rope_parameters": {
        "rope_type": "llama3",
        "rope_theta": 500000.0,
        "factor": 8.0,
        "low_freq_factor": 1.0,
        "high_freq_factor": 4.0,
        "original_max_position_embeddings": 8192,
    },
}
"""The values of config.json of meta-llama/Llama-3.1-8B-Instruct."""
DTYPE = torch.bfloat16


class Random8B:
    """The same random weights for each peer: transformers as it would load them, and our engine with either head."""

    def __init__(self, shape: Mapping[str, Any] = LLAMA31, device: str = "cuda") -> None:
        """Make them on `device`."""
        self.bare = Generate(_random_model(shape, device))
        self.ours = Ours(Engine(_random_model(shape, device)))
        model = _random_model(shape, device)
        quantize_head(model, DTYPE)
        self.small_head = Ours(Engine(model))
        self._vocabulary = int(shape["vocab_size"])

    def ids(self, seed: int, length: int) -> list[int]:
        """Return random ids."""
        generator = torch.Generator().manual_seed(seed)
        ids: list[int] = torch.randint(self._vocabulary, (length,), generator=generator).tolist()
        return ids


def bytes_per_token(model: Any, context: int) -> int:
    """Count what a pass of one token must read: all weights but the embedding's, and `context` keys and values."""
    embedding = model.get_input_embeddings().weight
    weights = sum(_bytes_of(tensor) for tensor in model.parameters() if tensor is not embedding)
    config = model.config
    cached = config.num_hidden_layers * 2 * config.num_key_value_heads * config.head_dim * DTYPE.itemsize
    return int(weights + context * cached)


def copy_bandwidth(device: str, gibibytes: float = 4.0) -> float:
    """Return the bytes a second, read and written together, of a copy on `device`: the best of ten."""
    source = torch.zeros(int(gibibytes * 2**30), dtype=torch.uint8, device=device)
    target = torch.zeros_like(source)
    seconds = []
    for _ in range(11):
        _wait(device)
        started = time.perf_counter()
        target.copy_(source)
        _wait(device)
        seconds.append(time.perf_counter() - started)
    return 2 * source.nbytes / min(seconds[1:])


def _wait(device: str) -> None:
    if device == "cuda":
        torch.cuda.synchronize()


def _random_model(shape: Mapping[str, Any], device: str) -> Any:
    torch.manual_seed(0)
    config = LlamaConfig(**{**shape, "num_hidden_layers": 0, "tie_word_embeddings": False, "dtype": DTYPE})
    with torch.device(device):
        model = AutoModelForCausalLM.from_config(config, dtype=DTYPE)
        config = model.config  # the layers look at it while they run
        for number in range(shape["num_hidden_layers"]):
            layer = LlamaDecoderLayer(config, number).to(DTYPE)
            for name, linear in list(layer.named_modules()):
                if isinstance(linear, nn.Linear):
                    parent, _, last = name.rpartition(".")
                    setattr(layer.get_submodule(parent), last, _four_bits(linear))
            model.model.layers.append(layer)
    config.num_hidden_layers = shape["num_hidden_layers"]
    return model.eval()


def _four_bits(linear: nn.Linear) -> Any:
    """Quantize as transformers does with the catalog's settings: NF4 with double quantization."""
    packed = bitsandbytes.nn.Linear4bit(
        linear.in_features, linear.out_features, bias=False, compute_dtype=DTYPE, quant_type="nf4", device="meta"
    )
    whole = bitsandbytes.nn.Params4bit(
        linear.weight.detach(), requires_grad=False, quant_type="nf4", compress_statistics=True
    )
    packed.weight = whole.to(linear.weight.device)
    return packed


def _bytes_of(weight: torch.Tensor) -> int:
    state = getattr(weight, "quant_state", None)
    if state is None:
        return weight.nbytes
    nested = getattr(state, "state2", None)  # a CPU's layout has none
    return int(weight.nbytes + state.absmax.nbytes + (nested.absmax.nbytes if nested else 0))
