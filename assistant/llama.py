"""The local language model: messages in, words and tool calls out. Joins chat format, engine and grammar.

A model that the catalog marks as guided does not choose tools itself: the nearest tool is chosen for it, its text
arguments are words of the request, and after a tool it answers by quoting what the tool said.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from assistant.background import run_in_background
from assistant.chat_format import (
    Family,
    Piece,
    Tag,
    asked_results,
    family_of,
    shorten,
    turns,
    write_guided_prompt,
    write_prompt,
)
from assistant.chooser import choose_tool
from assistant.errors import BadInput, ModelUnavailable
from assistant.grammars import call_grammar, guided_grammar, quote_grammar, read_call
from assistant.residents import Weights, load, resident, residents
from assistant.settings import Settings
from assistant.types import Message, Notice, Progress, ReplyPart, ToolSpec, Usage
from assistant.zerogpu import on_gpu

log = logging.getLogger(__name__)
REPETITION_PENALTY = 1.1  # for guided models, which otherwise repeat themselves without end


@dataclass(frozen=True, slots=True)
class Speaker:
    """An engine with everything that turns words into ids and back."""

    engine: Any
    tokenizer: Any
    vocabulary: Any
    family: Family
    guided: bool

    def park(self) -> None:
        """Give up the KV cache, which would stay on the GPU when the weights leave it."""
        self.engine.forget()


@resident("chat")
def _speaker(weights: Weights, progress: Progress) -> Speaker:
    from assistant.engine.grammar import Vocabulary
    from assistant.engine.load import load_engine

    engine, tokenizer = load_engine(weights.path, weights.entry.dtype, weights.entry.quantize, progress)
    vocabulary = Vocabulary(tokenizer, engine.vocabulary_size)
    return Speaker(engine, tokenizer, vocabulary, family_of(tokenizer.get_vocab()), weights.entry.guided)


class LlamaChat:
    """A `ChatModel` over whatever the catalog chose for the role "chat"."""

    def __init__(self, settings: Settings) -> None:
        """Take length, temperature and seed from `settings`; nothing is loaded yet."""
        self._settings = settings

    def describe(self) -> str:
        """Say which model this is and why no better one."""
        return residents().catalog.choose("chat").sentence()

    def _load_with_notices(self, report: Callable[[ReplyPart], None]) -> None:
        name = residents().catalog.choose("chat").entry.name
        report(Notice(f"Loading {name} …"))
        load(
            "chat",
            lambda fraction, note: report(Notice(f"{note} …" if fraction is None else f"{note}: {fraction:.0%}")),
        )

    def reply(
        self, messages: Sequence[Message], tools: Sequence[ToolSpec], stop: threading.Event
    ) -> Iterator[ReplyPart]:
        """Yield words as they come, at most one call, notices, and the usage at the end."""
        if not residents().is_loaded("chat"):
            yield from run_in_background(self._load_with_notices, stop)
        started = time.monotonic()
        guided = residents().catalog.choose("chat").entry.guided
        # before the lease, because choosing takes another model
        plan = _plan_guided(messages, tools) if guided else Plan(tuple(tools))
        with _speaker(stop) as speaker:
            ids, left_out = _fit(speaker, plan, messages, self._settings.max_new_tokens)
        if left_out:
            yield Notice(f"The conversation is longer than the model reads; its oldest {left_out} turns were left out.")
        try:
            yield from self._generate(speaker, plan, ids, stop, started)
        except RuntimeError as error:  # torch's own, out of memory among them
            log.exception("the language model failed")
            raise ModelUnavailable(f"The language model broke off ({error}). Send the message again.") from error

    def _generate(
        self, speaker: Speaker, plan: Plan, ids: list[int], stop: threading.Event, started: float
    ) -> Iterator[ReplyPart]:
        draws = self._settings.temperature, self._settings.seed
        penalty = REPETITION_PENALTY if speaker.guided and not plan.grammar else 1.0
        tokens = _stream(ids, (self._settings.max_new_tokens, *draws, penalty), plan.grammar, stop)
        counts: list[Any] = []
        text, first = "", 0.0
        for piece in _decode(speaker.tokenizer, _until_count(tokens, counts)):
            first = first or time.monotonic() - started
            text += piece
            if not (plan.tools and text.startswith("{")):
                yield piece
        if plan.tools and text.startswith("{") and not stop.is_set():
            yield read_call(text)
        for count in counts:
            yield Usage(count.prompt, count.reused, count.generated, first, time.monotonic() - started)


@on_gpu(seconds=60)
def _stream(
    ids: list[int], sampling: tuple[int, float, int, float], grammar: str | None, stop: threading.Event | None = None
) -> Iterator[Any]:
    """Yield the ids of a reply, then what it took as a `Count`; `sampling` is length, temperature, seed, penalty."""
    from assistant.engine.decode import Count
    from assistant.engine.sample import Sampling

    length, temperature, seed, penalty = sampling
    count, stop = Count(), stop or threading.Event()
    with _speaker(stop) as speaker:
        constraint = speaker.vocabulary.constraint(grammar) if grammar else None
        end = frozenset(_encode(speaker.tokenizer, speaker.family.end))
        yield from speaker.engine.stream(
            ids, Sampling(length, temperature, penalty, seed), end, stop, count, constraint
        )
    yield count


def _until_count(tokens: Iterator[Any], counts: list[Any]) -> Iterator[int]:
    for token in tokens:
        if isinstance(token, int):
            yield token
        else:
            counts.append(token)


@dataclass(frozen=True, slots=True)
class Plan:
    """How one reply is made: from which tools, and under which grammar (None is free text)."""

    tools: tuple[ToolSpec, ...] = ()
    guided: str | None = None

    @property
    def grammar(self) -> str | None:
        """The grammar to stay in."""
        return self.guided or (call_grammar(self.tools) if self.tools else None)


def _plan_guided(messages: Sequence[Message], tools: Sequence[ToolSpec]) -> Plan:
    *before, turn = turns(messages)
    if results := asked_results(turn):
        return Plan(guided=quote_grammar([shorten(result.text) for result in results]))
    earlier = [result for old in before for result in asked_results(old)]
    chosen = choose_tool(turn[0].text, tools, earlier)
    if chosen is None:
        return Plan()
    files = (message.artifacts for message in reversed(messages) if message.role == "user" and message.artifacts)
    attached = [artifact.id for artifact in next(files, ())]
    return Plan((chosen,), guided_grammar(chosen, turn[0].text, attached))


def _fit(speaker: Speaker, plan: Plan, messages: Sequence[Message], room: int) -> tuple[list[int], int]:
    """Write the prompt, leaving out the oldest turns until it and a reply of `room` tokens fit the context."""
    limit = speaker.engine.context - min(room, speaker.engine.context // 2)
    kept = turns(messages)
    size = 0
    for left_out in range(len(kept)):
        rest = [message for turn in kept[left_out:] for message in turn]
        if speaker.guided:
            pieces = write_guided_prompt(speaker.family, rest)
        else:
            pieces = write_prompt(speaker.family, rest, plan.tools)
        ids = _encode(speaker.tokenizer, pieces)
        size = len(ids)
        if size <= limit:
            return ids, left_out
    raise BadInput(f"This message has {size} tokens; the model reads {limit}. Shorten it and send it again.")


def _encode(tokenizer: Any, pieces: Sequence[Piece]) -> list[int]:
    """Encode tags as control tokens and everything else as plain text, whatever it looks like."""
    ids: list[int] = []
    for piece in pieces:
        if isinstance(piece, Tag):
            ids.append(tokenizer.convert_tokens_to_ids(piece.text))
        else:
            ids += tokenizer.encode(piece, add_special_tokens=False, split_special_tokens=True)
    return ids


def _decode(tokenizer: Any, ids: Iterator[int]) -> Iterator[str]:
    """Turn ids into text as soon as they make whole characters."""
    from tokenizers.decoders import DecodeStream

    stream = DecodeStream(ids=[], skip_special_tokens=True)
    for token in ids:
        if text := stream.step(tokenizer.backend_tokenizer, token):
            yield text
