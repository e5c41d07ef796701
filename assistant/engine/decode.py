"""The decode loop: a prompt's ids in, an iterator of generated ids out. Knows no words.

The keys and values of the last prompt and reply are kept: the next prompt is read only from where it differs.
Forced tokens of a grammar are read in one forward pass instead of one each.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from transformers import DynamicCache

from assistant.engine.grammar import Constraint
from assistant.engine.sample import Sampler, Sampling

PREFILL_CHUNK = 512  # tokens; Stop is looked at between chunks


@dataclass(slots=True)
class Count:
    """How many tokens a reply took, filled in while it runs."""

    prompt: int = 0
    reused: int = 0
    generated: int = 0


class Engine:
    """One model and its cache. A single caller at a time: residents see to that."""

    def __init__(self, model: Any) -> None:
        """Run `model`, a transformers causal language model in eval mode."""
        self.model = model
        self.context: int = model.config.max_position_embeddings
        self.vocabulary_size: int = model.config.vocab_size
        self.forget()

    def stream(
        self,
        prompt: Sequence[int],
        sampling: Sampling,
        end: frozenset[int],
        stop: threading.Event,
        count: Count,
        constraint: Constraint | None = None,
    ) -> Iterator[int]:
        """Yield generated ids until an `end` token (not yielded), the length limit, or `stop`.

        Closing the iterator stops it too; the cache stays true to what was read in every case.
        """
        sampler = Sampler(sampling, self.model.device)
        generated: list[int] = []
        unread = self._rewind(prompt, count)
        while (logits := self._read(unread, stop)) is not None:
            allowed = None if constraint is None else constraint.allowed().to(logits.device)
            token = sampler(generated, logits, allowed)
            if token in end:
                return
            unread = [token, *(constraint.accept(token) if constraint else ())]
            for new in unread:
                generated.append(new)
                count.generated += 1
                yield new
                if len(generated) >= sampling.max_new_tokens:
                    return
            if constraint is not None and constraint.finished():
                return

    def forget(self) -> None:
        """Drop all kept keys and values; the next prompt is read from its beginning."""
        self._cache = DynamicCache(config=self.model.config)
        self._cached: list[int] = []

    def _rewind(self, prompt: Sequence[int], count: Count) -> list[int]:
        """Crop the cache to what it shares with `prompt`; return what is left to read (at least one token)."""
        same = 0
        for old, new in zip(self._cached, prompt, strict=False):
            if old != new:
                break
            same += 1
        keep = min(same, len(prompt) - 1)
        with torch.inference_mode():
            self._cache.crop(keep - len(self._cached))
        del self._cached[keep:]
        count.prompt, count.reused = len(prompt), keep
        return list(prompt[keep:])

    def _read(self, ids: list[int], stop: threading.Event) -> torch.Tensor | None:
        """Read `ids` chunk by chunk; return the logits after the last, (vocabulary,) float32, None when stopped."""
        logits = None
        for start in range(0, len(ids), PREFILL_CHUNK):
            if stop.is_set():
                return None
            chunk = ids[start : start + PREFILL_CHUNK]
            try:
                with torch.inference_mode():
                    out = self.model(
                        input_ids=torch.tensor([chunk], device=self.model.device),
                        past_key_values=self._cache,
                        logits_to_keep=1,
                    )
            except BaseException:
                self.forget()  # some layers may have taken the chunk and others not
                raise
            self._cached.extend(chunk)
            logits = out.logits[0, -1].float()
        return logits
