"""Puts pictures into sentences, many at once. Knows the role "caption", BLIP and BLIP-2, and no tool.

Sources: Li et al., "BLIP" (2022), https://arxiv.org/abs/2201.12086, and "BLIP-2" (2023), https://arxiv.org/abs/2301.12597
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from assistant.errors import Cancelled
from assistant.residents import Weights, resident
from assistant.types import Progress
from assistant.vision.batches import in_batches

if TYPE_CHECKING:
    from PIL.Image import Image

BATCH = 8
TOKENS_PER_WORD = 3  # more than English captions need; what is still unfinished then loses its last word


@resident("caption")
def captioner(weights: Weights, progress: Progress) -> Any:
    """Load BLIP or BLIP-2, whichever the checkpoint says it is, with what prepares its pictures: (processor, model)."""
    from transformers import AutoModelForImageTextToText, AutoProcessor

    return AutoProcessor.from_pretrained(weights.path), weights.load(AutoModelForImageTextToText)


def describe(
    images: Sequence[Image],
    max_words: int = 40,
    stop: threading.Event | None = None,
    progress: Progress = lambda fraction, note: None,
) -> list[str]:
    """Return a sentence of at most `max_words` words for each picture, "" where the model finds none.

    Tells `progress` after every batch; `Cancelled` within a token when `stop` is set.
    """
    sentences: list[str] = []
    with captioner(stop, progress) as (processor, model):
        for found in in_batches(images, BATCH, lambda some: _describe(processor, model, some, max_words, stop), stop):
            sentences += found
            progress(len(sentences) / len(images), f"described {len(sentences)} of {len(images)}")
    return sentences


def _describe(
    processor: Any, model: Any, images: Sequence[Image], max_words: int, stop: threading.Event | None
) -> list[str]:
    import torch

    def is_done(tokens: Any, scores: Any, **_: Any) -> bool:
        if stop is not None and stop.is_set():
            raise Cancelled("Stopped.")
        return False

    pixels = processor(images=list(images), return_tensors="pt")["pixel_values"].to(model.device, model.dtype)
    with torch.inference_mode():
        # one token more than can be used, so that a row without an end has a word to lose
        rows = model.generate(
            pixel_values=pixels,
            do_sample=False,
            num_beams=1,
            max_new_tokens=TOKENS_PER_WORD * max_words + 1,
            stopping_criteria=[is_done],
        )
    return [_caption(processor.tokenizer, row, max_words) for row in rows]


def _caption(tokenizer: Any, row: Any, max_words: int) -> str:
    """Decode one row; the last token of a finished one is its end, padding or a line break, and reads as nothing."""
    text = tokenizer.decode(row, skip_special_tokens=True)
    finished = not tokenizer.decode(row[-1:], skip_special_tokens=True).strip()
    return to_sentence(text if finished else text.rpartition(" ")[0], max_words)


def to_sentence(text: str, max_words: int) -> str:
    """Make a sentence of the first `max_words` words: a capital at its start, a full stop at its end."""
    words = " ".join(text.split()[:max_words]).rstrip(" .,;:!?-")
    return f"{words[0].upper()}{words[1:]}." if words else ""
