"""The language models that are measured: ours, transformers' `generate` and llama.cpp. Knows no figure.

All take the likeliest token, never end by themselves, read the same weights and use the same number of threads.
"""

from __future__ import annotations

import importlib.util
import os
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer, BitsAndBytesConfig
from transformers.utils import logging

from assistant.catalog import Catalog
from assistant.engine.cache import PrefixCache
from assistant.engine.compiled import compile_apart, package_of
from assistant.engine.decode import CONTEXT, HOST_BYTES, Count, Engine
from assistant.engine.grammar import Constraint
from assistant.engine.load import convert_gguf, load_engine
from assistant.engine.sample import Sampling
from assistant.residents import measure_machine
from assistant.settings import read_settings
from assistant.types import Quantize

TEXT = Path(__file__).with_name("alice.txt")
NO_LLAMA_CPP = "llama_cpp is not installed: pip install -r bench/requirements.txt"


@dataclass(frozen=True, slots=True)
class Timing:
    """One answer: seconds from the request to its first and to its last token, its ids, and passes after the first."""

    first: float
    whole: float
    ids: tuple[int, ...]
    at_first: int = 1
    passes: int = 0

    @property
    def step(self) -> float:
        """Seconds a token, without the first."""
        return (self.whole - self.first) / (len(self.ids) - self.at_first)


class Peer(Protocol):
    """Something that answers."""

    def answer(self, prompt: Sequence[int], count: int) -> Timing:
        """Read `prompt`, as far as it was not read before, and say `count` tokens."""
        ...

    def forget(self) -> None:
        """Forget what was read."""
        ...


class Ours:
    """An engine of this program."""

    def __init__(self, engine: Engine) -> None:
        """Measure `engine`."""
        self.engine = engine

    def answer(
        self, prompt: Sequence[int], count: int, constraint: Constraint | None = None, copies: bool = False
    ) -> Timing:
        """Answer, under a grammar or with guesses from the prompt if wanted."""
        counted = Count()
        ids: list[int] = []
        first, at_first = 0.0, 0
        started = time.perf_counter()
        stream = self.engine.stream(
            prompt, Sampling(count), frozenset(), threading.Event(), counted, constraint, copies=copies
        )
        for batch in stream:
            if batch and not ids:
                first, at_first = time.perf_counter() - started, len(batch)
            ids += batch
        return Timing(first, time.perf_counter() - started, tuple(ids), at_first, counted.passes)

    def forget(self) -> None:
        """Forget all conversations."""
        self.engine.forget()
        self.engine.kept = PrefixCache(HOST_BYTES)

    def begin(self, history: Sequence[int]) -> None:
        """Be where a turn begins: `history` is read, nothing after it, and no copy is kept."""
        self.answer(history, 1)
        self.engine.kept = PrefixCache(HOST_BYTES)


class Generate:
    """transformers' `generate` with its own cache, which begins empty at each call."""

    def __init__(self, model: Any) -> None:
        """Measure `model`."""
        self._model = model

    def answer(self, prompt: Sequence[int], count: int) -> Timing:
        """Answer; the library hands over each token as soon as it has it."""
        clock = _Clock()
        self._model.generate(
            torch.tensor([prompt], device=self._model.device),
            max_new_tokens=count,
            do_sample=False,
            eos_token_id=None,
            pad_token_id=0,
            streamer=clock,
        )
        return Timing(clock.first, clock.last, tuple(clock.ids))

    def forget(self) -> None:
        """Do nothing."""


class _Clock:
    """A streamer, which is given the prompt first."""

    def __init__(self) -> None:
        self._started = time.perf_counter()
        self._calls = 0
        self.first = self.last = 0.0
        self.ids: list[int] = []

    def put(self, value: torch.Tensor) -> None:
        self._calls += 1
        if self._calls == 1:
            return
        self.last = time.perf_counter() - self._started
        self.first = self.first or self.last
        self.ids += value.tolist()

    def end(self) -> None:
        """Do nothing: the last token came."""


class LlamaCpp:
    """llama.cpp through llama-cpp-python, which keeps the prefix it read last, as its `create_completion` does."""

    def __init__(self, file: Path, context: int = 4096) -> None:
        """Load the GGUF `file`."""
        from llama_cpp import Llama

        threads = torch.get_num_threads()
        self._llama = Llama(str(file), n_ctx=context, n_threads=threads, n_threads_batch=threads, verbose=False)

    def answer(self, prompt: Sequence[int], count: int) -> Timing:
        """Answer."""
        ids: list[int] = []
        first = 0.0
        started = time.perf_counter()
        for token in self._llama.generate(list(prompt), temp=0.0):
            first = first or time.perf_counter() - started
            ids.append(token)
            if len(ids) == count:
                break
        return Timing(first, time.perf_counter() - started, tuple(ids))

    def forget(self) -> None:
        """Forget what was read."""
        self._llama.reset()  # type: ignore[no-untyped-call]


class Embedded:
    """The catalog's embedded model, fetched by the program into its own folder, in all the ways it is measured."""

    def __init__(self) -> None:
        """Fetch and unpack it, unless that was done before."""
        os.environ["CUDA_VISIBLE_DEVICES"] = ""  # it is what machines without a GPU run
        logging.set_verbosity_error()
        logging.disable_progress_bar()
        settings = read_settings().model_copy(update={"profile": "embedded"})
        self._compiled = settings.data / "compiled"
        catalog = Catalog(settings, measure_machine(settings))
        self.quantize: Quantize = catalog.choose("chat").entry.quantize
        self.gguf = catalog.fetch("chat", _quiet)
        self.folder = convert_gguf(self.gguf, _quiet)

    @cached_property
    def tokenizer(self) -> Any:
        """Its tokenizer."""
        return AutoTokenizer.from_pretrained(self.folder)

    @cached_property
    def text(self) -> list[int]:
        """Ids of a plain English text: 2,684 tokens."""
        return list(self.tokenizer.encode(TEXT.read_text(), add_special_tokens=False))

    def piece(self, start: int, length: int) -> list[int]:
        """Return `length` ids of the text from `start` on, which begins again when it is over."""
        return [self.text[i % len(self.text)] for i in range(start, start + length)]

    def ours(self, quantize: Quantize) -> Ours:
        """Load our engine, without its compiled pass."""
        engine, _ = load_engine(self.folder, "bfloat16", quantize, _quiet)
        return Ours(engine)

    def compile(self, ours: Ours) -> float:
        """Give `ours`, quantized as in the catalog, the compiled pass; return the seconds of making it, 0 if it was."""
        engine = ours.engine
        engine.package = package_of(self._compiled, engine.model, engine.context)
        if engine.package.exists():
            return 0.0
        started = time.perf_counter()
        compile_apart(self.folder, "bfloat16", self.quantize, CONTEXT, self._compiled).wait()
        if not engine.package.exists():
            raise RuntimeError((self._compiled / "compile.log").read_text()[-2000:])
        return time.perf_counter() - started

    def compiled(self) -> Ours:
        """Load our engine as the program runs it: quantized as in the catalog, and compiled."""
        ours = self.ours(self.quantize)
        self.compile(ours)
        return ours

    def plain(self, nf4: bool = False) -> Any:
        """Load the model as transformers does by default, whole or with the body in 4 bits."""
        config = None
        if nf4:
            config = BitsAndBytesConfig(
                load_in_4bit=True,
                bnb_4bit_quant_type="nf4",
                bnb_4bit_use_double_quant=True,
                bnb_4bit_compute_dtype=torch.bfloat16,
            )
        options = {"quantization_config": config} if config else {}
        return AutoModelForCausalLM.from_pretrained(
            self.folder, dtype=torch.bfloat16, device_map="cpu", **options
        ).eval()

    def llama_cpp(self) -> LlamaCpp | None:
        """Load llama.cpp on the GGUF file, or return None where it is not installed."""
        return LlamaCpp(self.gguf) if importlib.util.find_spec("llama_cpp") else None


def _quiet(fraction: float | None, note: str) -> None:
    """Take progress and say nothing."""
