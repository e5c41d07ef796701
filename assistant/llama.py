"""The local language model: messages in, words and tool calls out. Joins chat format, engine and grammar.

A model for which the catalog names a chooser is too small to choose tools by itself: an adapter chooses for it, and
after a tool it answers by quoting what the tool said.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

from assistant.background import run_in_background
from assistant.chat_format import (
    asked_results,
    shorten,
    tell_left_out,
    turns,
    write_call,
    write_guided_prompt,
    write_prompt,
)
from assistant.choosing.choose import choose
from assistant.choosing.head import read_head
from assistant.choosing.question import Question, pose
from assistant.errors import BadInput, ModelUnavailable
from assistant.formats.call_style import shown_tokens
from assistant.formats.calls import Draft
from assistant.formats.template import ChatTemplate
from assistant.grammars import CallStyle, call_grammar, quote_grammar
from assistant.narrowing import offer_nearest
from assistant.residents import load, residents
from assistant.rounds import Rounds
from assistant.settings import Settings
from assistant.speaker import HOUSE, Listener, Speaker, encode, speaker
from assistant.types import Message, Notice, ReplyPart, ToolCall, ToolSpec, Usage
from assistant.zerogpu import is_zerogpu, on_gpu

log = logging.getLogger(__name__)
LEAVING = 4  # turns
REPETITION_PENALTY = 1.1  # for guided models, which otherwise repeat themselves without end


_rounds: Rounds[Speaker] = Rounds(speaker)
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
        if chooser := residents().catalog.choose("chat").entry.chooser:
            # before the rounds, because choosing takes another model, and on a thread that ends: a thread keeps the
            # helpers that torch gave it, and with more of them than cores the model's own wait four times as long
            plan = yield from run_in_background(lambda report: _plan_guided(messages, tools, HOUSE / chooser), stop)
        else:
            there = [tool for tool in tools if tool.callable]
            nearest = yield from offer_nearest(messages, there, stop)
            # what tells the relevance holds the library, which cannot go to another process
            plan = Plan(tuple(replace(tool, relevance=None) for tool in nearest))
        draws = self._settings.max_new_tokens, self._settings.temperature, self._settings.seed
        try:
            yield from _speak(Request(tuple(messages), plan, *draws), stop)
        except (RuntimeError, ValueError) as error:  # torch's own, out of memory among them, and the grammar's
            log.exception("the language model failed")
            raise ModelUnavailable(f"The language model broke off ({error}). Send the message again.") from error


@dataclass(frozen=True, slots=True)
class Plan:
    """How one reply is made: from which tools, or for a guided model after which choice and by quoting what."""

    tools: tuple[ToolSpec, ...] = ()
    question: Question | None = None
    quoted: str | None = None
    """The grammar of the answer, where it is no free text."""

    def grammar(self, style: CallStyle) -> str | None:
        """Return the grammar to stay in."""
        return self.quoted or (call_grammar(self.tools, style) if self.tools else None)


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
        with speaker(stop) as model:
            yield from (part for part in _answer(model, request, stop) if part is not None)
    else:
        parts: Iterator[ReplyPart] = _rounds.run(partial(_answer, request=request, stop=stop), stop)
        yield from parts


def _answer(speaker: Speaker, request: Request, stop: threading.Event) -> Iterator[ReplyPart | None]:
    """Yield the parts of a reply; None where others may have a turn."""
    from assistant.engine.decode import Count

    count, plan = Count(), request.plan
    if plan.question and speaker.calibration:
        for part in choose(speaker, plan.question, speaker.calibration, count, stop):
            yield part
            if part is not None:
                yield Usage(count.prompt, count.reused, count.generated, 0.0, time.monotonic() - request.started)
                return
    ids, left_out = _fit(speaker, plan, request.messages, request.max_new_tokens)
    if left_out:
        yield tell_left_out(left_out)
    text, first, said, draft = "", 0.0, Listener(speaker.tokenizer, shown_tokens(speaker.style)), Draft(plan.tools)
    for batch in _generate(speaker, request, ids, count, stop):
        piece = said.add(batch)
        first = first or (time.monotonic() - request.started if batch else 0.0)
        text += piece
        yield draft.take(piece) or None
    parts = draft.end()
    # a call will be written anew from its arguments, a number or letter perhaps in another form
    written = [write_call(part.name, part.arguments) if isinstance(part, ToolCall) else part for part in parts]
    speaker.remember("".join(written) if text.startswith("{") else text, said.ids)
    yield from parts if not stop.is_set() else ()
    yield Usage(count.prompt, count.reused, count.generated, first, time.monotonic() - request.started)


def _generate(
    speaker: Speaker, request: Request, ids: list[int], count: Any, stop: threading.Event
) -> Iterator[list[int]]:
    from assistant.engine.sample import Sampling

    grammar = request.plan.grammar(speaker.style)
    penalty = REPETITION_PENALTY if speaker.calibration and not grammar else 1.0
    sampling = Sampling(request.max_new_tokens, request.temperature, repetition_penalty=penalty, seed=request.seed)
    constraint = speaker.vocabulary.constraint(grammar) if grammar else None
    copies = bool(asked_results(turns(request.messages)[-1]))
    return speaker.engine.stream(ids, sampling, speaker.end, stop, count, constraint, copies=copies)  # type: ignore[no-any-return]


def _plan_guided(messages: Sequence[Message], tools: Sequence[ToolSpec], chooser: Path) -> Plan:
    results = asked_results(turns(messages)[-1])
    quoted = quote_grammar([shorten(result.text) for result in results]) if results else None
    return Plan(question=pose(messages, tools, read_head(chooser)) if tools else None, quoted=quoted)


def _fit(speaker: Speaker, plan: Plan, messages: Sequence[Message], room: int) -> tuple[list[int], int]:
    """Write the prompt, leaving out the oldest turns until it and a reply of `room` tokens fit the context."""
    limit = speaker.engine.context - min(room, speaker.engine.context // 2)
    kept = turns(messages)
    size = 0
    # several leave at a time: with each leaving the beginning is another, and everything is read again
    singly = len(kept) - (len(kept) - 1) % LEAVING  # the last few, where even the last leaving of several is too little
    for left_out in (*range(0, len(kept), LEAVING), *range(singly, len(kept))):
        rest = [message for turn in kept[left_out:] for message in turn]
        if isinstance(speaker.family, ChatTemplate):
            pieces = speaker.family.write(rest, plan.tools, speaker.spoken)
        elif speaker.calibration:
            pieces = write_guided_prompt(speaker.family, rest)
        else:
            pieces = write_prompt(speaker.family, rest, plan.tools)
        ids = encode(speaker.tokenizer, pieces, speaker.spoken, speaker.family)
        size = len(ids)
        if size <= limit:
            return ids, left_out
    raise BadInput(f"This message has {size} tokens; the model reads {limit}. Shorten it and send it again.")
