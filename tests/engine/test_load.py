"""Models load from folders and files, quantized or not, through the same code."""

from __future__ import annotations

import json
from pathlib import Path

import bitsandbytes
import pytest
import torch
from safetensors.torch import save_file
from torch import nn
from transformers import BitNetConfig, BitNetForCausalLM, LlamaForCausalLM
from transformers.integrations.bitnet import AutoBitLinear, pack_weights

from assistant.engine.attention import NAME
from assistant.engine.load import load_engine, quantize_head
from assistant.engine.packed import FourBitLinear, PackedLinear
from assistant.engine.sample import Sampling
from assistant.types import Quantize
from tests.engine.conftest import SLACK, logits_of, lost, quiet, reference, speak, twin_of

PROMPT = [256, 72, 101, 108, 108, 111]


def likeness(one: torch.Tensor, other: torch.Tensor) -> float:
    return float(nn.functional.cosine_similarity(one, other, dim=-1).min())


def test_a_folder_loads_and_speaks(tiny_folder: Path, twin: LlamaForCausalLM) -> None:
    engine, tokenizer = load_engine(tiny_folder, "float32", "none", quiet)
    assert speak(engine, PROMPT) == reference(twin, PROMPT)
    assert tokenizer.decode(tokenizer.encode("Hello", add_special_tokens=False)) == "Hello"


def test_the_context_is_as_long_as_asked_and_as_the_model_can(tiny_folder: Path) -> None:
    engine, _ = load_engine(tiny_folder, "float32", "none", quiet, context=100)
    assert (engine.context, engine.cache.capacity) == (100, 100)
    assert load_engine(tiny_folder, "float32", "none", quiet)[0].context == 2048
    assert engine.model.config._attn_implementation == NAME


@pytest.mark.parametrize(("quantize", "heads"), [("nf4", 0), ("nf4-head", 1)])
def test_nf4_is_four_bit_and_generates_on_this_machine(tiny_folder: Path, quantize: Quantize, heads: int) -> None:
    engine, _ = load_engine(tiny_folder, "bfloat16", quantize, quiet)
    linears = [m for m in engine.model.modules() if isinstance(m, bitsandbytes.nn.Linear4bit)]
    assert len(linears) == 3 * 7 + heads  # every projection of every layer, and the head where it is asked for
    assert linears[0].weight.quant_state.quant_type == "nf4"
    assert linears[0].weight.quant_state.nested  # double quantization
    said = speak(engine, PROMPT, Sampling(8))
    assert len(said) == 8
    assert lost(twin_of(engine.model), PROMPT, said) <= SLACK


def test_nf4_says_nearly_what_the_whole_weights_say(tiny_folder: Path, twin: LlamaForCausalLM) -> None:
    engine, _ = load_engine(tiny_folder, "bfloat16", "nf4", quiet)
    assert likeness(logits_of(engine.model, PROMPT), logits_of(twin, PROMPT)) > 0.8


def test_a_four_bit_head_says_nearly_what_the_whole_one_says_and_tied_embeddings_stay(
    tiny_model: LlamaForCausalLM,
) -> None:
    model = twin_of(tiny_model).bfloat16()
    model.lm_head.weight = model.model.embed_tokens.weight
    before, whole = model.model.embed_tokens.weight.detach().clone(), logits_of(model, PROMPT)
    quantize_head(model, torch.bfloat16)
    packed = logits_of(model, PROMPT)
    assert isinstance(model.lm_head, bitsandbytes.nn.Linear4bit)
    assert 0.98 < likeness(packed, whole) < 0.99999
    assert torch.equal(model.model.embed_tokens.weight, before)


@pytest.mark.skipif(torch.cuda.is_available(), reason="on a GPU the layers are those of bitsandbytes")
@pytest.mark.parametrize(("quantize", "four", "eight"), [("int8", 0, 22), ("int4", 21, 1)])
def test_on_a_cpu_layers_are_packed(tiny_folder: Path, quantize: Quantize, four: int, eight: int) -> None:
    engine, _ = load_engine(tiny_folder, "bfloat16", quantize, quiet)
    kinds = [type(layer) for layer in engine.model.modules()]
    assert (kinds.count(FourBitLinear), kinds.count(PackedLinear)) == (four, eight)
    said = speak(engine, PROMPT, Sampling(8))
    assert lost(twin_of(engine.model), PROMPT, said) <= SLACK


@pytest.fixture(scope="module")
def ternary(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny random BitNet b1.58 (arXiv:2402.17764), packed as the published checkpoints are."""
    torch.manual_seed(0)
    folder = tmp_path_factory.mktemp("bitnet")
    sizes = {"hidden_size": 64, "intermediate_size": 128, "num_attention_heads": 4, "num_key_value_heads": 2}
    config = BitNetConfig(
        vocab_size=320,
        num_hidden_layers=2,
        max_position_embeddings=512,
        initializer_range=0.2,
        eos_token_id=259,
        **sizes,
    )
    model = BitNetForCausalLM(config)
    config.tie_word_embeddings = True
    config.dtype = "bfloat16"
    config.quantization_config = {
        "quant_method": "bitnet",
        "linear_class": "autobitlinear",
        "quantization_mode": "offline",
    }
    config.architectures = ["BitNetForCausalLM"]
    config.save_pretrained(folder)
    tensors = {}
    for name, weight in model.state_dict().items():
        if name.endswith("_proj.weight"):
            scale = weight.abs().mean()
            tensors[name] = pack_weights((weight / scale).round().clamp(-1, 1))
            tensors[f"{name}_scale"] = scale.reshape(1).bfloat16()
        elif name != "lm_head.weight":
            tensors[name] = weight.bfloat16()
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    return folder


def test_a_ternary_checkpoint_loads_and_says_what_generate_says(
    ternary: Path, tiny_folder: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "whole"
    folder.mkdir()
    for file in [*tiny_folder.glob("tokenizer*"), *ternary.iterdir()]:
        (folder / file.name).symlink_to(file)
    engine, _ = load_engine(folder, "bfloat16", "bitnet", quiet)
    layers = [layer for layer in engine.model.modules() if isinstance(layer, AutoBitLinear)]
    assert len(layers) == 2 * 7
    assert set(layers[0].weight.unique().tolist()) == {-1.0, 0.0, 1.0}
    said = speak(engine, PROMPT, Sampling(8))
    assert len(said) == 8
    assert lost(twin_of(engine.model), PROMPT, said) <= SLACK


@pytest.mark.parametrize(
    ("method", "quantize"), [(None, "gptq"), (None, "bitnet"), ("bitnet", "gptq"), ("gptq", "bitnet")]
)
def test_weights_in_another_form_than_the_catalog_says_are_refused(
    tmp_path: Path, method: str | None, quantize: Quantize
) -> None:
    config = {"quantization_config": {"quant_method": method}} if method else {}
    (tmp_path / "config.json").write_text(json.dumps(config))
    with pytest.raises(ValueError, match=f"has {method or 'no'} quantization, the catalog says '{quantize}'"):
        load_engine(tmp_path, "bfloat16", quantize, quiet)
