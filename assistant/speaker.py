"""The language model that speaks: an engine, its tokenizer and the format of its chats. Knows no conversation."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any

from assistant.chat_format import Piece, Said, Tag, family_of
from assistant.choosing.question import Calibration
from assistant.formats.template import ChatTemplate, Format, end_of, format_of
from assistant.grammars import JSON_STYLE, CallStyle
from assistant.residents import Weights, resident, residents
from assistant.types import Progress

HOUSE = Path(__file__).parents[1]
ADAPTER = "tool_choice"
SPOKEN = 512  # answers whose ids are kept


@dataclass(frozen=True, slots=True)
class Speaker:
    """An engine with everything that turns words into ids and back."""

    engine: Any
    tokenizer: Any
    vocabulary: Any
    family: Format
    end: frozenset[int]
    calibration: Calibration | None = None
    """Of the adapter with which a model too small to choose tools by itself chooses; None: it chooses by itself."""
    spoken: dict[str, list[int]] = field(default_factory=dict)
    """The ids of what the model said, by its words: encoding them anew may give other ids, which were never read."""

    @property
    def style(self) -> CallStyle:
        """How this model writes calls."""
        return self.family.style or JSON_STYLE if isinstance(self.family, ChatTemplate) else JSON_STYLE

    @property
    def cache_bytes(self) -> int:
        """Bytes that the KV cache holds of a GPU; of a CPU's memory it takes only what it fills."""
        return int(self.engine.cache.nbytes) if self.engine.model.device.type == "cuda" else 0

    def park(self) -> None:
        """Move the KV cache to the host with the weights."""
        self.engine.put_away()

    def remember(self, text: str, ids: list[int]) -> None:
        """Keep the ids of an answer; the oldest of many leave."""
        self.spoken[text] = ids
        while len(self.spoken) > SPOKEN:
            del self.spoken[next(iter(self.spoken))]


@resident("chat")
def speaker(weights: Weights, progress: Progress) -> Speaker:
    """Load the language model, and the adapter with which it chooses tools if it has one."""
    from assistant.engine.grammar import Vocabulary
    from assistant.engine.load import load_engine

    entry = weights.entry
    compiled = residents().catalog.compiled if entry.quantize in ("int8", "int4") else None
    adapters = {ADAPTER: HOUSE / entry.chooser} if entry.chooser else {}
    engine, tokenizer = load_engine(
        weights.path, entry.dtype, entry.quantize, progress, adapters=adapters, compiled=compiled
    )
    calibration = Calibration.read(adapters[ADAPTER]) if adapters else None
    # a guided model is not told of tools, so how its own template does that matters not
    family = family_of(tokenizer.get_vocab()) if adapters else format_of(tokenizer, engine.model.generation_config)
    end = end_of(family, tokenizer)
    return Speaker(engine, tokenizer, Vocabulary(tokenizer, engine.vocabulary_size, end), family, end, calibration)


def encode(
    tokenizer: Any,
    pieces: Sequence[Piece],
    spoken: Mapping[str, list[int]] = MappingProxyType({}),
    chat_format: Format | None = None,
) -> list[int]:
    """Encode tags as control tokens and everything else as plain text, whatever it looks like; what the model said has
    the ids in `spoken`."""
    ids: list[int] = []
    for piece in pieces:
        if isinstance(piece, Tag):
            ids.append(tokenizer.convert_tokens_to_ids(piece.text))
        elif isinstance(piece, Said) and piece in spoken:
            ids += spoken[piece]
        elif isinstance(chat_format, ChatTemplate):
            ids += chat_format.encode(piece)
        else:
            ids += tokenizer.encode(piece, add_special_tokens=False, split_special_tokens=True)
    return ids


class Listener:
    """Turns generated ids into text as soon as they make whole characters; `ids` are those of the text so far."""

    def __init__(self, tokenizer: Any, shown: Mapping[int, str]) -> None:
        """Read ids of `tokenizer`; `shown` are control tokens with the text that they stand for."""
        from tokenizers.decoders import DecodeStream

        self._stream = DecodeStream(ids=[], skip_special_tokens=True)
        self._tokenizer = tokenizer.backend_tokenizer
        self._shown = shown  # of control tokens, which else say nothing
        self._pending: list[int] = []
        self.ids: list[int] = []

    def add(self, batch: Sequence[int]) -> str:
        """Return the text that `batch` completes."""
        text = ""
        for token in batch:
            self._pending.append(token)
            if piece := self._shown.get(token) or self._stream.step(self._tokenizer, token):
                text += piece
                self.ids += self._pending
                self._pending = []
        return text
