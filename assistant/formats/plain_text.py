"""Encodes text as text, whatever it looks like. Knows a tokenizer, no chat format.

A tokenizer's own `split_special_tokens` leaves what was added without being called special, as `<tool_call>` was to
Qwen's: typed by a person it would be that token.
"""

from __future__ import annotations

import json
import re
import secrets
from typing import Any


class PlainText:
    """A copy of a tokenizer in which no text is a control token."""

    def __init__(self, tokenizer: Any) -> None:
        """Copy `tokenizer` with other names for its control tokens, which nobody can guess."""
        from tokenizers import Tokenizer

        self.control: dict[str, Any] = {
            token.content: token for token in tokenizer.added_tokens_decoder.values() if not _is_space(token.content)
        }
        key = secrets.token_hex(8)
        names = {content: f"{key}:{i}:" for i, content in enumerate(self.control)}
        copied = json.loads(tokenizer.backend_tokenizer.to_str())
        plain = {"special": True, "normalized": False, "lstrip": False, "rstrip": False, "single_word": False}
        for token in copied["added_tokens"]:
            if token["content"] in names:
                token |= plain | {"content": names[token["content"]]}
        _rename(copied["model"], names)
        copied |= {"post_processor": None, "truncation": None, "padding": None}
        self._tokenizer = Tokenizer.from_str(json.dumps(copied))
        self._edge = next(iter(names.values()), "")
        longest_first = sorted(self.control.values(), key=lambda token: -len(token.content))
        self.pattern = re.compile("|".join(map(_match, longest_first)) or r"(?!)")
        """Finds control tokens in a template's own text, with the white space that they swallow."""

    def encode(self, text: str) -> list[int]:
        """Return the ids of `text` behind a control token, none of them one."""
        # behind a token: some tokenizers put a space before what begins a text
        ids: list[int] = self._tokenizer.encode(self._edge + text, add_special_tokens=False).ids
        return ids[1:] if self._edge else ids


def _is_space(content: str) -> bool:
    """Tell whether an added token is only white space: Gemma has its line breaks among them."""
    return not content.replace("\u2581", "").strip()


def _match(token: Any) -> str:
    before, behind = (r"\s*" if strips else "" for strips in (token.lstrip, token.rstrip))
    return f"{before}{re.escape(token.content)}{behind}"


def _rename(model: dict[str, Any], names: dict[str, str]) -> None:
    vocabulary = model["vocab"]
    if isinstance(vocabulary, dict):
        model["vocab"] = {names.get(text, text): token for text, token in vocabulary.items()}
    else:  # of Unigram: pairs of a text and how likely it is
        model["vocab"] = [[names.get(text, text), score] for text, score in vocabulary]
