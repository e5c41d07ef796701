"""The local language model: messages in, words and tool calls out. Joins chat format, engine and grammar.

A model that the catalog marks as guided does not choose tools itself: the nearest tool is chosen for it, its text
arguments are words of the request, and after a tool it answers by quoting what the tool said.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

from assistant.background import run_in_background
from assistant.chat_format import (
    Family,
    Piece,
    Said,
    Tag,
    asked_results,
    family_of,
    shorten,
    tell_left_out,
    turns,
    write_call,
    write_guided_prompt,
    write_prompt,
)
from assistant.chooser import choose_tool
from assistant.errors import BadInput, ModelUnavailable
from assistant.grammars import call_grammar, guided_grammar, quote_grammar, read_call
from assistant.residents import Weights, load, resident, residents
from assistant.rounds import Rounds
from assistant.settings import Settings
from assistant.types import Message, Notice, Progress, ReplyPart, ToolCall, ToolSpec, Usage
from assistant.zerogpu import is_zerogpu, on_gpu

log = logging.getLogger(__name__)
LEAVING = 4  # turns
SPOKEN = 512  # answers whose ids are kept
REPETITION_PENALTY = 1.1  # for guided models, which otherwise repeat themselves without end


@dataclass(frozen=True, slots=True)
class Speaker:
    """An engine with everything that turns words into ids and back."""

    engine: Any
    tokenizer: Any
    vocabulary: Any
    family: Family
    end: frozenset[int]
    guided: bool
    spoken: dict[str, list[int]] = field(default_factory=dict)
    """The ids of what the model said, by its words: encoding them anew may give other ids, which were never read."""

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
def _speaker(weights: Weights, progress: Progress) -> Speaker:
    from assistant.engine.grammar import Vocabulary
    from assistant.engine.load import load_engine

    entry = weights.entry
    compiled = residents().catalog.compiled if entry.quantize in ("int8", "int4") else None
    engine, tokenizer = load_engine(weights.path, entry.dtype, entry.quantize, progress, compiled=compiled)
    family = family_of(tokenizer.get_vocab())
    end = frozenset(tokenizer.convert_tokens_to_ids([tag.text for tag in family.end]))
    return Speaker(engine, tokenizer, Vocabulary(tokenizer, engine.vocabulary_size, end), family, end, entry.guided)


_rounds: Rounds[Speaker] = Rounds(_speaker)
"""Everybody who talks to the model of this process at the same time."""


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
        guided = residents().catalog.choose("chat").entry.guided
        plan = Plan(tuple(tools))
        if guided:
            # before the rounds, because choosing takes another model, and on a thread that ends: a thread keeps the
            # helpers that torch gave it, and with more of them than cores the model's own wait four times as long
            plan = yield from run_in_background(lambda report: _plan_guided(messages, tools), stop)
        # what tells the relevance holds the library, which cannot go to another process
        plan = replace(plan, tools=tuple(replace(tool, relevance=None) for tool in plan.tools))
        draws = self._settings.max_new_tokens, self._settings.temperature, self._settings.seed
        try:
            yield from _speak(Request(tuple(messages), plan, *draws), stop)
        except (RuntimeError, ValueError) as error:  # torch's own, out of memory among them, and the grammar's
            log.exception("the language model failed")
            raise ModelUnavailable(f"The language model broke off ({error}). Send the message again.") from error


@dataclass(frozen=True, slots=True)
class Plan:
    """How one reply is made: from which tools, and under which grammar (None is free text)."""

    tools: tuple[ToolSpec, ...] = ()
    guided: str | None = None

    @property
    def grammar(self) -> str | None:
        """The grammar to stay in."""
        return self.guided or (call_grammar(self.tools) if self.tools else None)


@dataclass(frozen=True, slots=True)
class Request:
    """What one reply is made from; plain values, because on ZeroGPU they go to another process."""

    messages: tuple[Message, ...]
    plan: Plan
    max_new_tokens: int
    temperature: float
    seed: int
    started: float = field(default_factory=time.monotonic)


@on_gpu(seconds=60)
def _speak(request: Request, stop: threading.Event | None = None) -> Iterator[ReplyPart]:
    stop = stop or threading.Event()
    if is_zerogpu():  # this process serves one call, and threads do not come along into it
        with _speaker(stop) as speaker:
            yield from (part for part in _answer(speaker, request, stop) if part is not None)
    else:
        parts: Iterator[ReplyPart] = _rounds.run(partial(_answer, request=request, stop=stop), stop)
        yield from parts


def _answer(speaker: Speaker, request: Request, stop: threading.Event) -> Iterator[ReplyPart | None]:
    """Yield the parts of a reply; None where others may have a turn."""
    from assistant.engine.decode import Count

    count, plan = Count(), request.plan
    ids, left_out = _fit(speaker, plan, request.messages, request.max_new_tokens)
    if left_out:
        yield tell_left_out(left_out)
    text, first, said = "", 0.0, _Listener(speaker.tokenizer)
    for batch in _generate(speaker, request, ids, count, stop):
        piece = said.add(batch)
        first = first or (time.monotonic() - request.started if batch else 0.0)
        text += piece
        yield None if plan.tools and text.startswith("{") else piece or None
    held = plan.tools and text.startswith("{")
    part = read_call(text) if held else text
    # a call will be written anew from its arguments, a number or letter perhaps in another form
    speaker.remember(write_call(part.name, part.arguments) if isinstance(part, ToolCall) else text, said.ids)
    if held and not stop.is_set():
        yield part
    yield Usage(count.prompt, count.reused, count.generated, first, time.monotonic() - request.started)


def _generate(
    speaker: Speaker, request: Request, ids: list[int], count: Any, stop: threading.Event
) -> Iterator[list[int]]:
    from assistant.engine.sample import Sampling

    grammar = request.plan.grammar
    penalty = REPETITION_PENALTY if speaker.guided and not grammar else 1.0
    sampling = Sampling(request.max_new_tokens, request.temperature, repetition_penalty=penalty, seed=request.seed)
    constraint = speaker.vocabulary.constraint(grammar) if grammar else None
    copies = bool(asked_results(turns(request.messages)[-1]))
    return speaker.engine.stream(ids, sampling, speaker.end, stop, count, constraint, copies=copies)  # type: ignore[no-any-return]


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
    # several leave at a time: with each leaving the beginning is another, and everything is read again
    singly = len(kept) - (len(kept) - 1) % LEAVING  # the last few, where even the last leaving of several is too little
    for left_out in (*range(0, len(kept), LEAVING), *range(singly, len(kept))):
        rest = [message for turn in kept[left_out:] for message in turn]
        if speaker.guided:
            pieces = write_guided_prompt(speaker.family, rest)
        else:
            pieces = write_prompt(speaker.family, rest, plan.tools)
        ids = _encode(speaker.tokenizer, pieces, speaker.spoken)
        size = len(ids)
        if size <= limit:
            return ids, left_out
    raise BadInput(f"This message has {size} tokens; the model reads {limit}. Shorten it and send it again.")


def _encode(tokenizer: Any, pieces: Sequence[Piece], spoken: Mapping[str, list[int]]) -> list[int]:
    """Encode tags as control tokens and everything else as plain text, whatever it looks like; what the model said has
    the ids in `spoken`."""
    ids: list[int] = []
    for piece in pieces:
        if isinstance(piece, Tag):
            ids.append(tokenizer.convert_tokens_to_ids(piece.text))
        elif isinstance(piece, Said) and piece in spoken:
            ids += spoken[piece]
        else:
            ids += tokenizer.encode(piece, add_special_tokens=False, split_special_tokens=True)
    return ids


class _Listener:
    """Turns generated ids into text as soon as they make whole characters; `ids` are those of the text so far."""

    def __init__(self, tokenizer: Any) -> None:
        from tokenizers.decoders import DecodeStream

        self._stream = DecodeStream(ids=[], skip_special_tokens=True)
        self._tokenizer = tokenizer.backend_tokenizer
        self._pending: list[int] = []
        self.ids: list[int] = []

    def add(self, batch: Sequence[int]) -> str:
        text = ""
        for token in batch:
            self._pending.append(token)
            if piece := self._stream.step(self._tokenizer, token):
                text += piece
                self.ids += self._pending
                self._pending = []
        return text
