"""Guesses the next tokens from what stands in the context already (prompt lookup decoding). Knows ids only.

Source: A. Saxena, Prompt Lookup Decoding, 2023, https://github.com/apoorvumang/prompt-lookup-decoding
"""

from __future__ import annotations

from collections.abc import Sequence

NGRAM = 3  # tokens that must have been seen before in this order
REST = 16  # tokens to go on without guessing after a guess that was wrong from its first token


class Drafter:
    """Guesses for one sequence; guesses less after wrong ones and more after right ones."""

    def __init__(self, most: int) -> None:
        """Guess at most `most` tokens at a time."""
        self._limit = most
        self._last: dict[tuple[int, ...], int] = {}
        self._seen = 0
        self._most = most
        self._rest = 0

    def guess(self, ids: Sequence[int]) -> list[int]:
        """Return what followed the last `NGRAM` of `ids` when they stood there before, or nothing."""
        for end in range(max(self._seen, NGRAM), len(ids)):
            self._last[tuple(ids[end - NGRAM : end])] = end
        self._seen = len(ids)
        if self._rest > 0:
            self._rest -= 1
            return []
        place = self._last.get(tuple(ids[-NGRAM:]))
        return list(ids[place : place + self._most]) if place is not None else []

    def learn(self, guessed: int, right: int) -> None:
        """Take in how many of a guess were right."""
        if guessed and not right:
            self._most, self._rest = max(1, self._most // 2), REST
        elif right == guessed:
            self._most = min(self._limit, self._most * 2)
