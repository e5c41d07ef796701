"""Loads a causal language model and its tokenizer from a folder or a GGUF file. Knows no catalog and no chat.

A GGUF file is converted to safetensors once, because transformers needs over ten seconds to unpack one at every start.
"""

from __future__ import annotations

import copy
import shutil
from pathlib import Path
from typing import Any, Literal

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer, BitsAndBytesConfig
from transformers.utils import logging as transformers_logging

from assistant.engine.decode import Engine
from assistant.types import Progress


def load_engine(path: Path, dtype: str, quantize: Literal["nf4", "none"], progress: Progress) -> tuple[Engine, Any]:
    """Return the engine and its tokenizer.

    Args:
        path: A folder in the Hugging Face layout, or a `.gguf` file.
        dtype: The torch dtype of what is not quantized, such as "bfloat16".
        quantize: "nf4" for 4-bit NormalFloat with double quantization (QLoRA, arXiv:2305.14314), or "none".
        progress: Told what takes time.
    """
    transformers_logging.disable_progress_bar()
    if path.suffix == ".gguf":
        path = convert_gguf(path, progress)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    options: dict[str, Any] = {"dtype": getattr(torch, dtype), "device_map": {"": device}}
    if quantize == "nf4":
        options["quantization_config"] = BitsAndBytesConfig(
            load_in_4bit=True,
            bnb_4bit_quant_type="nf4",
            bnb_4bit_use_double_quant=True,
            bnb_4bit_compute_dtype=getattr(torch, dtype),
        )
    model = AutoModelForCausalLM.from_pretrained(path, **options).eval()
    return Engine(model), AutoTokenizer.from_pretrained(path)


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
