"""Lets the adapter of a small model choose a tool and fill in its arguments. Joins `guided` and the engine.

The names of the listed tools are scored in one pass over the request; what the adapter then writes is held to words
that were said. The adapter is active for nothing else.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from typing import Any

from assistant.chat_format import Family
from assistant.choosing.grammar import said_grammar
from assistant.choosing.question import Calibration, Candidate, Question, excuse, fillable, finish_call, weigh
from assistant.choosing.text import REPLY, ask, list_tools, name_line
from assistant.speaker import ADAPTER, Speaker, encode
from assistant.types import ToolCall, ToolSpec

MOST_TOKENS = 512  # of arguments


def choose(
    speaker: Speaker, question: Question, calibration: Calibration, count: Any, stop: threading.Event
) -> Iterator[ToolCall | str | None]:
    """Yield None while it takes time, and at the end the call to make, or why it cannot be made; nothing: talk.

    `count` is told what was read and written.
    """
    prompt, likely = score(speaker, question, question.candidates, count)
    chosen = weigh(question.candidates, likely, calibration, question.reply_by_head)
    yield None
    if chosen is None and question.again:
        yield question.again
        return
    if chosen is None and question.blocked:
        chosen = _find_blocked(speaker, question, calibration, count)
        yield None
    if chosen is None or stop.is_set():
        return
    if chosen in question.blocked:
        yield excuse(chosen.tool)
        return
    written = "{}"
    for part in _fill_in(speaker, question, chosen.tool, prompt, count, stop):
        written = part or written
        yield None
    if not stop.is_set():
        call = finish_call(chosen.tool, written, question)
        yield None if question.was_made(call) else call


def _find_blocked(speaker: Speaker, question: Question, calibration: Calibration, count: Any) -> Candidate | None:
    """Return the tool that is meant if it is one that cannot be called now."""
    candidates = (*question.blocked, *question.candidates)
    _, likely = score(speaker, question, candidates, count)
    chosen = weigh(candidates, likely, calibration)
    return chosen if chosen in question.blocked else None


def score(
    speaker: Speaker, question: Question, candidates: Sequence[Candidate], count: Any
) -> tuple[list[int], list[float]]:
    """Return the prompt that was read and the log probability of each of `candidates`, that of none of them last."""
    family = speaker.family
    assert isinstance(family, Family)  # of a model with a chooser
    told = list_tools([one.tool for one in candidates])
    asked = ask(question.said, [known.file for known in question.files], question.before)
    pieces = [*family.start, *family.turn("system", told), *family.turn("user", asked), *family.open("assistant")]
    prompt = encode(speaker.tokenizer, pieces)
    names = [*(one.tool.name for one in candidates), REPLY]
    branches = [encode(speaker.tokenizer, [name_line(name)]) for name in names]
    return prompt, speaker.engine.score(prompt, branches, count, ADAPTER)


def _fill_in(
    speaker: Speaker, question: Question, tool: ToolSpec, prompt: list[int], count: Any, stop: threading.Event
) -> Iterator[str]:
    """Yield nothing new while the arguments are written, and at the end what was written."""
    from assistant.engine.sample import Sampling

    schemas, required = fillable(tool)
    if not schemas:
        return
    grammar = said_grammar(
        schemas, required, (question.said, *question.said_before), question.earlier(tool), question.result is not None
    )
    constraint = speaker.vocabulary.constraint(grammar)
    ids = [*prompt, *encode(speaker.tokenizer, [name_line(tool.name)])]
    written: list[int] = []
    sampling = Sampling(MOST_TOKENS)
    for batch in speaker.engine.stream(
        ids, sampling, speaker.end, stop, count, constraint, adapter=ADAPTER, copies=True
    ):
        written += batch
        yield ""
    if not stop.is_set():
        yield speaker.tokenizer.decode(written)
