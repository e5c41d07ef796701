"""A tiny random LLaMA of the true class, with grouped queries and the RoPE scaling of Llama-3.1."""

from __future__ import annotations

import copy
import threading
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from assistant.catalog import Catalog, Machine
from assistant.engine.decode import Count, Engine
from assistant.engine.load import load_engine
from assistant.engine.sample import Sampling
from assistant.settings import Settings
from assistant.types import Quantize

CONTROL = [
    "<|begin_of_text|>",
    "<|start_header_id|>",
    "<|end_header_id|>",
    "<|eot_id|>",
    "<|eom_id|>",
    "<|end_of_text|>",
]


PROMPT = [256, 72, 101, 108, 108, 111, 32, 119, 111, 114, 108, 100]
GREEDY = Sampling(max_new_tokens=24)
SLACK = 0.3  # logits: what rounding to bfloat16 may change about the order of two tokens; they spread over 5 and more


def quiet(fraction: float | None, note: str) -> None:
    """Take progress and say nothing."""


def ids_of(batches: Iterable[list[int]]) -> list[int]:
    """Join what an engine yields."""
    return [token for batch in batches for token in batch]


def speak(
    engine: Engine,
    prompt: Sequence[int],
    sampling: Sampling = GREEDY,
    end: frozenset[int] = frozenset(),
    count: Count | None = None,
    **options: Any,
) -> list[int]:
    """Return everything that `engine` generates after `prompt`."""
    return ids_of(engine.stream(prompt, sampling, end, threading.Event(), count or Count(), **options))


def reference(model: Any, prompt: Sequence[int], new: int = GREEDY.max_new_tokens) -> list[int]:
    """Return what transformers itself generates greedily with `model`, always `new` tokens."""
    ids = torch.tensor([prompt], device=model.device)
    out = model.generate(
        ids,
        attention_mask=torch.ones_like(ids),  # else it takes every 0 for a gap
        max_new_tokens=new,
        do_sample=False,
        eos_token_id=None,
        pad_token_id=0,
    )
    return list(out[0, len(prompt) :].tolist())


def logits_of(model: Any, prompt: Sequence[int]) -> torch.Tensor:
    """Return the logits of `model` at every position of `prompt`, float32, on the CPU."""
    with torch.inference_mode():
        return model(torch.tensor([prompt], device=model.device)).logits[0].float().cpu()


def lost(model: Any, prompt: Sequence[int], generated: Sequence[int]) -> float:
    """Return how far below the likeliest the unlikeliest of the `generated` tokens is, in logits of `model`."""
    logits = logits_of(model, [*prompt, *generated])[len(prompt) - 1 : -1]
    return float((logits.amax(1) - logits[torch.arange(len(generated)), torch.tensor(generated)]).max())


def twin_of(model: Any) -> Any:
    """Copy a model as it is, to be run the way transformers does it."""
    twin = copy.deepcopy(model)
    twin.set_attn_implementation("sdpa")
    return twin


@pytest.fixture(scope="package", autouse=True)
def one_thread() -> Iterator[None]:
    """Let tiny models run on one thread: more gain nothing, and on a busy machine they wait for each other."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="session")
def tiny_model() -> LlamaForCausalLM:
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=320,
        hidden_size=64,
        intermediate_size=128,
        num_hidden_layers=3,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=2048,
        initializer_range=0.2,  # ten times the usual: it says something else at every position, and not by a hair
        bos_token_id=256,
        eos_token_id=259,
        rope_parameters={
            "rope_type": "llama3",
            "rope_theta": 500000.0,
            "factor": 8.0,
            "low_freq_factor": 1.0,
            "high_freq_factor": 4.0,
            "original_max_position_embeddings": 256,
        },
    )
    return LlamaForCausalLM(config).eval()


@pytest.fixture(scope="session")
def tiny_tokenizer() -> PreTrainedTokenizerFast:
    """Bytes as tokens, and the control tokens of Llama-3."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    tokenizer = Tokenizer(models.BPE({letter: i for i, letter in enumerate(alphabet)}, []))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens(CONTROL)
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token="<|eot_id|>", bos_token="<|begin_of_text|>")


@pytest.fixture(scope="session")
def tiny_folder(
    tiny_model: LlamaForCausalLM, tiny_tokenizer: PreTrainedTokenizerFast, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """The tiny model saved in the Hugging Face layout."""
    folder = tmp_path_factory.mktemp("tiny")
    tiny_model.save_pretrained(folder)
    tiny_tokenizer.save_pretrained(folder)
    return folder


@pytest.fixture
def engine(tiny_model: LlamaForCausalLM) -> Engine:
    return Engine(copy.deepcopy(tiny_model))


@pytest.fixture(scope="session")
def twin(tiny_model: LlamaForCausalLM) -> LlamaForCausalLM:
    """The tiny model as transformers runs it."""
    return twin_of(tiny_model)


@pytest.fixture
def passes(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, int]]:
    """The first position and the number of tokens of every eager pass that `engine` has made."""
    eager, made = engine._eager, []

    def watched(ids: torch.Tensor, start: int, *others: Any) -> torch.Tensor:
        made.append((start, len(ids)))
        return eager(ids, start, *others)

    monkeypatch.setattr(engine, "_eager", watched)
    return made


class Embedded:
    """The embedded model in one form, with a copy that transformers runs."""

    def __init__(self, file: Path, dtype: str, quantize: Quantize) -> None:
        self.engine, self.tokenizer = load_engine(file, dtype, quantize, quiet, context=2048)
        self.twin = twin_of(self.engine.model)
        self.exact = dtype == "float32"

    def question(self, text: str) -> list[int]:
        said = f"<|im_start|>user\n{text}<|im_end|>\n<|im_start|>assistant\n"
        return list(self.tokenizer.encode(said, add_special_tokens=False))

    def check(self, prompt: Sequence[int], generated: Sequence[int]) -> None:
        """Assert that `generated` is what `generate` says, up to what rounding to bfloat16 may change."""
        if self.exact:
            assert list(generated) == reference(self.twin, prompt, len(generated))
        else:
            assert lost(self.twin, prompt, generated) <= SLACK


@pytest.fixture(scope="session")
def embedded_file(house: Settings) -> Path:
    """The GGUF file of the embedded model."""
    return Catalog(house, Machine(False, 10**12)).fetch("chat", quiet)


@pytest.fixture(
    scope="session",
    params=[("float32", "none"), ("bfloat16", "int8"), ("bfloat16", "int4")],
    ids=["whole", "int8", "int4"],
)
def embedded(request: pytest.FixtureRequest, embedded_file: Path) -> Embedded:
    return Embedded(embedded_file, *request.param)
