"""Loads a causal language model and its tokenizer from a folder or a GGUF file. Knows no catalog and no chat.

A GGUF file is converted to safetensors once, because transformers needs over ten seconds to unpack one at every start.
"""

from __future__ import annotations

import copy
import json
import logging
import shutil
import subprocess
import weakref
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer, BitsAndBytesConfig
from transformers.utils import logging as transformers_logging

from assistant.engine.compiled import compile_apart, compiler_obstacle, package_of
from assistant.engine.decode import CONTEXT, Engine
from assistant.engine.packed import pack_linears
from assistant.types import Progress, Quantize

log = logging.getLogger(__name__)


def load_engine(
    path: Path,
    dtype: str,
    quantize: Quantize,
    progress: Progress,
    *,
    context: int = CONTEXT,
    adapters: Mapping[str, Path] | None = None,
    compiled: Path | None = None,
) -> tuple[Engine, Any]:
    """Return the engine and its tokenizer.

    Args:
        path: A folder in the Hugging Face layout, or a `.gguf` file.
        dtype: The torch dtype of what is not quantized, such as "bfloat16".
        quantize: "nf4" for 4-bit NormalFloat with double quantization (QLoRA, arXiv:2305.14314), "nf4-head" for the
            head too; "int8" and "int4", packed for a CPU, on a GPU LLM.int8() (arXiv:2208.07339) and "nf4"; "none";
            "gptq" and "bitnet" for checkpoints that are so already.
        progress: Told what takes time.
        context: The most tokens of a prompt and its answer together.
        adapters: Folders of LoRA adapters by the names a request asks for them.
        compiled: The folder of compiled passes; None compiles nothing.
    """
    transformers_logging.disable_progress_bar()
    if path.suffix == ".gguf":
        path = convert_gguf(path, progress)
    if quantize in ("gptq", "bitnet"):
        _check_ready_made(path, quantize)
    engine = Engine(_load_model(path, getattr(torch, dtype), quantize, adapters or {}), context)
    if compiled is not None and not torch.cuda.is_available():
        _prepare_compiled(engine, path, dtype, quantize, compiled)
    return engine, AutoTokenizer.from_pretrained(path)


def _load_model(path: Path, dtype: torch.dtype, quantize: Quantize, adapters: Mapping[str, Path]) -> Any:
    on_gpu = torch.cuda.is_available()
    config = None
    if quantize in ("nf4", "nf4-head") or (quantize == "int4" and on_gpu):
        config = BitsAndBytesConfig(
            load_in_4bit=True,
            bnb_4bit_quant_type="nf4",
            bnb_4bit_use_double_quant=True,
            bnb_4bit_compute_dtype=dtype,
        )
    elif quantize == "int8" and on_gpu:
        config = BitsAndBytesConfig(load_in_8bit=True)
    options = {"quantization_config": config} if config else {}
    device = {"": "cuda" if on_gpu else "cpu"}
    model = AutoModelForCausalLM.from_pretrained(path, dtype=dtype, device_map=device, **options).eval()
    for name, folder in adapters.items():
        model.load_adapter(str(folder), adapter_name=name)
    if adapters:
        for name, weight in model.named_parameters():
            if "lora_" in name:  # loaded in float32, for training
                weight.data = weight.data.to(dtype)
        model.disable_adapters()
    if quantize in ("int8", "int4") and not on_gpu:
        pack_linears(model, bits=8 if quantize == "int8" else 4)
    if quantize == "nf4-head":
        quantize_head(model, dtype)
    return model


def quantize_head(model: Any, dtype: torch.dtype) -> None:
    """Give `model` a 4-bit copy of its head, which transformers leaves whole: a fifth of the bytes of an 8B token."""
    import bitsandbytes

    head = model.lm_head
    packed = bitsandbytes.nn.Linear4bit(
        head.in_features, head.out_features, bias=False, compute_dtype=dtype, quant_type="nf4"
    )
    packed.weight = bitsandbytes.nn.Params4bit(
        head.weight.detach().to("cpu", copy=True), requires_grad=False, quant_type="nf4", compress_statistics=True
    )
    model.lm_head = packed.to(head.weight.device).eval()


def _check_ready_made(path: Path, quantize: str) -> None:
    """Refuse a checkpoint that is not what the catalog says; `ValueError` names both."""
    config = json.loads((path / "config.json").read_text())
    method = config.get("quantization_config", {}).get("quant_method", "no")
    if method != quantize:
        raise ValueError(f"{path.name} has {method} quantization, the catalog says {quantize!r}; correct the catalog.")


def _prepare_compiled(engine: Engine, path: Path, dtype: str, quantize: str, folder: Path) -> None:
    engine.package = package_of(folder, engine.model, engine.context)
    if engine.package.exists():
        return
    if obstacle := compiler_obstacle(engine.model):
        log.warning("answers will be slower: %s", obstacle)
        return
    process = compile_apart(path, dtype, quantize, engine.context, folder)
    weakref.finalize(engine, _end, process)


def _end(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    process.wait()


def convert_gguf(file: Path, progress: Progress) -> Path:
    """Unpack a GGUF file into a safetensors folder beside it, in bfloat16, once; return the folder."""
    folder = file.with_suffix("")
    if folder.exists():
        return folder
    progress(None, f"unpacking {file.name}, only this once (about 15 s)")
    packed = AutoModelForCausalLM.from_pretrained(file.parent, gguf_file=file.name)
    config = copy.deepcopy(packed.config)
    # save_pretrained refuses a config that says "quantized with gguf", though the weights no longer are
    del config.quantization_config
    model = type(packed)(config)
    model.load_state_dict(packed.state_dict())
    partial = file.with_suffix(".partial")
    shutil.rmtree(partial, ignore_errors=True)
    progress(0.7, f"saving {file.stem}")
    model.to(torch.bfloat16).save_pretrained(partial)
    AutoTokenizer.from_pretrained(file.parent, gguf_file=file.name).save_pretrained(partial)
    partial.rename(folder)
    return folder
