"""Turns the logits of one position into a token id. Knows no model."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from transformers import LogitsProcessorList, RepetitionPenaltyLogitsProcessor, TemperatureLogitsWarper


@dataclass(frozen=True, slots=True)
class Sampling:
    """How to draw: `temperature` 0 takes the likeliest token and ignores `seed`."""

    max_new_tokens: int
    temperature: float = 0.0
    repetition_penalty: float = 1.0
    seed: int = 0


class Sampler:
    """Draws one token after another with its own random generator, so that a seed gives the same text again."""

    def __init__(self, sampling: Sampling, device: torch.device) -> None:
        """Prepare for one reply on `device`."""
        self._generator = torch.Generator(device).manual_seed(sampling.seed)
        self._processors = LogitsProcessorList()
        self._draws = sampling.temperature > 0
        if sampling.repetition_penalty != 1.0:
            self._processors.append(RepetitionPenaltyLogitsProcessor(sampling.repetition_penalty))
        if self._draws:
            self._processors.append(TemperatureLogitsWarper(sampling.temperature))

    def __call__(self, ids: list[int], logits: torch.Tensor, allowed: torch.Tensor | None) -> int:
        """Return the next token.

        Args:
            ids: The tokens generated so far, which the repetition penalty looks at.
            logits: (vocabulary,), float32.
            allowed: (vocabulary,), bool, or None where everything is.
        """
        seen = torch.tensor([ids], dtype=torch.long, device=logits.device)
        scores = self._processors(seen, logits[None])[0]
        if allowed is not None:
            scores = scores.masked_fill(~allowed, -torch.inf)
        if not self._draws:
            return int(scores.argmax())
        return int(torch.multinomial(scores.softmax(-1), 1, generator=self._generator))
