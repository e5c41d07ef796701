"""Turns the logits of one position into a token, on the device where they are. Knows no model."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from transformers import LogitsProcessorList, TemperatureLogitsWarper, TopKLogitsWarper, TopPLogitsWarper


@dataclass(frozen=True, slots=True)
class Sampling:
    """How to draw: `temperature` 0 takes the likeliest token and ignores `top_k`, `top_p` and `seed`."""

    max_new_tokens: int
    temperature: float = 0.0
    top_p: float = 1.0
    top_k: int = 0
    repetition_penalty: float = 1.0
    seed: int = 0


class Sampler:
    """Draws one token after another with its own random generator, so that a seed gives the same text again."""

    def __init__(self, sampling: Sampling, vocabulary_size: int, device: torch.device) -> None:
        """Prepare for one reply on `device`."""
        self._generator = torch.Generator(device).manual_seed(sampling.seed)
        self._draws = sampling.temperature > 0
        self.narrows = self._draws and (sampling.top_k > 0 or sampling.top_p < 1.0)
        """Whether only the likeliest tokens are drawn from."""
        self._penalty = sampling.repetition_penalty
        self._seen = torch.zeros(vocabulary_size, dtype=torch.bool, device=device)
        self._warpers = LogitsProcessorList()
        if sampling.temperature not in (0.0, 1.0):
            self._warpers.append(TemperatureLogitsWarper(sampling.temperature))
        if sampling.top_k > 0:
            self._warpers.append(TopKLogitsWarper(sampling.top_k))
        if sampling.top_p < 1.0:
            self._warpers.append(TopPLogitsWarper(sampling.top_p))

    def __call__(self, logits: torch.Tensor, allowed: torch.Tensor | None = None) -> torch.Tensor:
        """Return the next token, (1,), int64; the repetition penalty (arXiv:1909.05858) looks at those taken before.

        Args:
            logits: (vocabulary,), of any floating type.
            allowed: (vocabulary,), bool, or None where everything is.
        """
        scores = logits.float()
        if self._penalty != 1.0:
            worse = torch.where(scores < 0, scores * self._penalty, scores / self._penalty)
            scores = torch.where(self._seen, worse, scores)
        if allowed is not None:
            scores = scores.masked_fill(~allowed, -torch.inf)
        if self._draws:
            warped = self._warpers(None, scores[None])[0]  # these look at scores only
            return torch.multinomial(warped.softmax(-1), 1, generator=self._generator)
        return scores.argmax(-1, keepdim=True)

    def take(self, token: int | torch.Tensor) -> None:
        """Remember `token` for the repetition penalty."""
        self._seen[token] = True
