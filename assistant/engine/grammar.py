"""Keeps generated ids inside a grammar, through llguidance. Knows ids and a vocabulary, no words' meaning.

llguidance and not xgrammar: on a CPU machine it brings 3 MB and numpy, xgrammar brings triton (hundreds of MB).
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

import llguidance.hf
import torch
from llguidance import LLMatcher, LLTokenizer


class Vocabulary:
    """A tokenizer prepared for grammars; making one takes about a third of a second."""

    def __init__(self, tokenizer: Any, size: int, end: Collection[int] | None = None) -> None:
        """Prepare `tokenizer` for a model with `size` logits that ends with any of `end`, or as the tokenizer says."""
        self.size = size
        ends = None if end is None else list(end)
        self._tokenizer: LLTokenizer = llguidance.hf.from_tokenizer(tokenizer, n_vocab=size, eos_token=ends)

    def constraint(self, lark: str) -> Constraint:
        """Start a grammar in llguidance's Lark dialect; `ValueError` when it is wrong."""
        matcher = LLMatcher(self._tokenizer, LLMatcher.grammar_from_lark(lark), log_level=0)
        if matcher.is_error():
            raise ValueError(matcher.get_error())
        return Constraint(matcher, self.size)


class Constraint:
    """The state of one reply in its grammar."""

    def __init__(self, matcher: LLMatcher, size: int) -> None:
        """Wrap a fresh matcher over a vocabulary of `size`."""
        self._matcher = matcher
        self._size = size

    def allowed(self) -> torch.Tensor:
        """Return which tokens may come next: (vocabulary,), bool, on the CPU; the end token when the text may end."""
        bias = bytearray(self._matcher.compute_logit_bias())
        return torch.frombuffer(bias, dtype=torch.uint8)[: self._size] > 0

    def permits(self, token: int) -> bool:
        """Tell whether `token` may come next; much cheaper than `allowed`."""
        return self.possible([token]) == 1

    def possible(self, guess: Sequence[int]) -> int:
        """Return how many tokens of `guess` could come next, one after another; nothing is taken."""
        return int(self._matcher.validate_tokens(list(guess)))

    def accept(self, token: int) -> list[int]:
        """Take `token` and return the tokens that must follow it whatever the model thinks."""
        if not self._matcher.consume_token(token):
            raise ValueError(self._matcher.get_error())
        forced = list(self._matcher.compute_ff_tokens())
        if forced and not self._matcher.consume_tokens(forced):
            raise ValueError(self._matcher.get_error())
        return forced

    def finished(self) -> bool:
        """Tell whether nothing but the end can follow."""
        return bool(self._matcher.is_stopped())
