"""Loads the model that the adapter is trained for, whole and in bfloat16. Knows the catalog, no training."""

from __future__ import annotations

import logging
from typing import Any

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from assistant.engine.load import convert_gguf
from assistant.residents import residents

log = logging.getLogger(__name__)


def load() -> tuple[Any, Any]:
    """Return tokenizer and model."""
    path = residents().catalog.fetch("chat", lambda fraction, note: log.info(note))
    folder = convert_gguf(path, lambda fraction, note: log.info(note))
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.bfloat16, attn_implementation="eager")
    return AutoTokenizer.from_pretrained(folder), model
