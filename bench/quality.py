"""What quantized weights cost in quality: perplexity of a plain English text, against the same weights in bfloat16.

The text is read a few tokens at a time, so that packed weights go through the kernels that answers go through.
"""

from __future__ import annotations

import gc
import math
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import torch

from assistant.engine.cache import WorkingCache
from assistant.engine.decode import Engine
from assistant.engine.forward import Eager, Step
from assistant.engine.load import quantize_head
from assistant.engine.packed import FEW_ROWS, pack_linears
from bench._measure import Figure
from bench._peers import Embedded

WINDOW = 512  # tokens that are read with nothing before them
STRIDE = 256  # tokens by which the window moves; so many at its end are judged, all of the first


def run() -> Iterator[Figure]:
    """Yield one figure after another."""
    home = Embedded()
    whole = _perplexity(home.plain(), home.text, FEW_ROWS)
    for name, make, rows in WAYS:
        found = _perplexity(make(home), home.text, rows)
        gc.collect()
        yield {
            "figure": f"perplexity: {name} / bf16",
            "ratio": round(found / whole, 4),
            "perplexity": round(found, 3),
            "bf16": round(whole, 3),
            "tokens": len(home.text) - 1,
        }


def _perplexity(model: Any, ids: list[int], rows: int) -> float:
    """Return exp of the mean negative log likelihood of all `ids` but the first, reading `rows` at a time."""
    model = Engine(model).model  # with our attention
    read = Eager(Step(model))
    cache = WorkingCache(model.config, WINDOW, model.dtype, model.device)
    total, judged = 0.0, 1
    for start in range(0, len(ids), STRIDE):
        window = torch.tensor(ids[start : start + WINDOW])
        if judged >= len(ids):
            break
        with torch.inference_mode():
            parts = [
                read(part, begin, cache, len(part)).float()
                for begin, part in zip(range(0, len(window), rows), torch.split(window, rows), strict=True)
            ]
            chances = torch.cat(parts).log_softmax(-1)[:-1].gather(1, window[1:, None])[:, 0]
        total -= float(chances[judged - start - 1 :].sum())
        judged = start + len(window)
    return math.exp(total / (len(ids) - 1))


def _packed(bits: int, head: bool, home: Embedded) -> Any:
    """Pack the weights as our engine does, the `head` too or not."""
    model = home.plain()
    whole = model.lm_head
    pack_linears(model, bits)
    if not head:
        model.lm_head = whole
    return model


def _nf4(head: bool, home: Embedded) -> Any:
    """Quantize as transformers does, and the `head` as our engine does or not."""
    model = home.plain(nf4=True)
    if head:
        quantize_head(model, torch.bfloat16)
    return model


WAYS: tuple[tuple[str, Callable[[Embedded], Any], int], ...] = (
    ("int8 (ours)", partial(_packed, 8, True), FEW_ROWS),
    ("int8 (ours), many rows at a time", partial(_packed, 8, True), WINDOW),
    ("int8 body, bf16 head", partial(_packed, 8, False), FEW_ROWS),
    ("int4 body, int8 head (ours)", partial(_packed, 4, True), FEW_ROWS),
    ("int4 body, int8 head (ours), many rows at a time", partial(_packed, 4, True), WINDOW),
    ("NF4 body, bf16 head (transformers)", partial(_nf4, False), FEW_ROWS),
    ("NF4 body, NF4 head", partial(_nf4, True), FEW_ROWS),
)
