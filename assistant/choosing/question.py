"""Chooses tools for a model too small to do so by itself: what to ask its adapter, and what to make of the answer.

Nearness to what the tools say of themselves narrows them and is added to what the adapter finds likely; the arguments
are words of the conversation, files are told from handles and history. Knows no tool by name and no front end. The
numbers of `Calibration` were set on the development half of tests/data; models/tool_choice/README.md has the figures.
"""

from __future__ import annotations

import json
import re
import uuid
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from assistant.chat_format import asked_results, turns
from assistant.choosing.carry import carry
from assistant.choosing.files import Known, choose_files, mentions_kind
from assistant.choosing.head import Head
from assistant.choosing.numbers import passing_numbers
from assistant.choosing.text import REPLY, RESULT, Before, is_file, words_of
from assistant.choosing.wishes import split_wishes
from assistant.nearness import nearest, nearness
from assistant.types import Artifact, Kind, Message, ToolCall, ToolResult, ToolSpec

LISTED = 6  # tools nearest to the request, beside those of the last turns
HELD, HELD_FROM = 100.0, 0.35  # what a cosine similarity to what a tool holds adds, and from where on
AGAIN_FROM = 0.35  # cosine similarity from which a question is about a line of an earlier result
RESULTS, LINES = 4, 60  # of earlier results that are looked at, and of their lines
SAID_BEFORE = 3  # earlier messages whose words may be arguments
BLOCKED_FROM = 0.35  # cosine similarity from which a person may have meant a tool that cannot be called now
ASKS = re.compile(r"^\W*(?:and |so |but |from |at |in |by |to )?(?:wh|how\b)|\?\W*$", re.IGNORECASE)
NAMES: Mapping[Kind, str] = {"image": "a picture", "document": "a document"}


@dataclass(frozen=True, slots=True)
class Share:
    """What is added to the adapter's log probabilities: for a cosine similarity of 1, for "no tool", and how much of
    the head's."""

    nearness: float
    reply: float
    head: float = 0.0


@dataclass(frozen=True, slots=True)
class Calibration:
    """How much weighs where the head knows all tools that are listed, and where it does not."""

    known: Share
    others: Share

    @staticmethod
    def read(folder: Path) -> Calibration:
        """Read the numbers that were set for the adapter in `folder`."""
        table = json.loads((folder / "calibration.json").read_text())
        return Calibration(Share(**table["known"]), Share(**table["others"]))


@dataclass(frozen=True, slots=True)
class Candidate:
    """A tool that may be meant, how near it is to the request, as a cosine similarity, and how likely by the head."""

    tool: ToolSpec
    near: float
    head: float = 0.0
    held: float = 0.0
    """How near the request is to what the tool holds."""


@dataclass(frozen=True, slots=True)
class Question:
    """Everything a choice is made from, in plain values."""

    said: str
    candidates: tuple[Candidate, ...]
    reply_by_head: float | None = None
    """How likely no tool is by the head; None where it does not know all candidates."""
    blocked: tuple[Candidate, ...] = ()
    """Tools that cannot be called now, if one of them may be meant."""
    files: tuple[Known, ...] = ()
    before: tuple[Before, ...] = ()
    said_before: tuple[str, ...] = ()
    result: str | None = None
    """What the last tool returned."""
    made: tuple[ToolCall, ...] = ()
    """The calls of this turn."""
    again: ToolCall | None = None
    """The earlier call whose result the request seems to ask about."""

    def was_made(self, call: ToolCall) -> bool:
        """Tell whether the same call was made before in this turn."""
        return any((call.name, dict(call.arguments)) == (made.name, dict(made.arguments)) for made in self.made)

    def earlier(self, tool: ToolSpec) -> Mapping[str, Any] | None:
        """Return the arguments of the last call, if it was of `tool`."""
        last = self.before[-1] if self.before else None
        return last.arguments if last and last.tool == tool.name else None


def pose(messages: Sequence[Message], tools: Sequence[ToolSpec], head: Head | None = None) -> Question | None:
    """Return what is to be chosen next in the last turn, or None when nothing is left to be done in it."""
    *earlier, turn = turns(messages)
    done = asked_results(turn)
    wishes = split_wishes(turn[0].text, beginnings(tools))
    if not turn[0].text.strip() or len(done) >= len(wishes) or (done and done[-1].failed):
        return None
    said = wishes[len(done)]
    before = [_before(old) for old in (*earlier, *([turn] if done else []))]
    files = tuple(_files(messages, tools, said))
    results = [result for old in (*earlier, turn) for result in asked_results(old) if not result.failed]
    listed, blocked = _narrow(said, tools, {old.tool for old in before[-2:]})
    last, kinds = before[-1].tool if before else None, {known.file.kind for known in files}
    by_head = head.likely(said, last, kinds, [one.tool.name for one in listed]) if head and listed else None
    if by_head:
        listed = [replace(one, head=by_head[one.tool.name]) for one in listed]
    return Question(
        said,
        tuple(listed),
        by_head[REPLY] if by_head else None,
        () if done else tuple(blocked),
        files,
        tuple(before),
        (turn[0].text, *(old[0].text for old in reversed(earlier[-SAID_BEFORE:]))),
        results[-1].text if results else None,
        tuple(result.call for result in done),
        None if done else _asked_again(said, results, {one.tool.name for one in listed}),
    )


def _narrow(said: str, tools: Sequence[ToolSpec], called: Collection[str]) -> tuple[list[Candidate], list[Candidate]]:
    """Return the tools to list, those `called` lately among them, and those that cannot be called but may be meant."""
    held = {tool.name: tool.relevance(said) for tool in tools if tool.relevance}
    # what tells the relevance holds the library, which cannot go to another process
    plain = [replace(tool, relevance=None) for tool in tools]
    near = {name: max(own, held.get(name, own)) for name, own in nearness(said, plain).items()}
    candidates = [Candidate(tool, near[tool.name], held=held.get(tool.name, 0.0)) for tool in plain]
    ranked = sorted(candidates, key=lambda one: -one.near)
    there = [one for one in ranked if one.tool.callable]
    listed = [one for place, one in enumerate(there) if place < LISTED or one.tool.name in called]
    return listed, [one for one in ranked if not one.tool.callable and one.near > BLOCKED_FROM][:LISTED]


def _asked_again(said: str, results: Sequence[ToolResult], callable_: Collection[str]) -> ToolCall | None:
    """Return the call of the result that has a line near to what is asked, or None."""
    if not ASKS.search(said):
        return None
    best, found = AGAIN_FROM, None
    for result in results[-RESULTS:]:
        near = nearest(said, [line for line in result.text.splitlines()[:LINES] if line.strip()])
        if near >= best and result.call.name in callable_:
            best, found = near, result.call
    return found and replace(found, id=uuid.uuid4().hex[:8])


def beginnings(tools: Sequence[ToolSpec]) -> frozenset[str]:
    """Return words that begin a wish: the verbs of the tools' names."""
    return frozenset(tool.name.split("_")[0].lower() for tool in tools if "_" in tool.name)


def _before(turn: Sequence[Message]) -> Before:
    """Sum up a turn: its last call, or that it was answered in words."""
    said, done = turn[0].text, asked_results(turn)
    if not done:
        answer = next((m.text for m in reversed(turn) if m.role == "assistant" and m.text), "")
        return Before(said, REPLY, {}, answer)
    call = done[-1].call
    handles = {artifact.id for message in turn for artifact in _artifacts(message)}
    words = {name: v for name, v in call.arguments.items() if not (isinstance(v, str) and v in handles)}
    return Before(said, call.name, words, done[-1].text)


def _artifacts(message: Message) -> Sequence[Artifact]:
    return (*message.artifacts, *(message.result.artifacts if message.result else ()))


def _files(messages: Sequence[Message], tools: Sequence[ToolSpec], said: str) -> Iterator[Known]:
    """Collect the files of a conversation with what is known of them; pictures that only illustrate are none."""
    illustrating = {tool.name for tool in tools if tool.illustrates}
    results = [message.result for message in messages if message.result]
    turn = turns(messages)[-1]
    last = next((r for old in reversed(turns(messages)) for r in reversed(asked_results(old))), None)
    in_turn = bool(asked_results(turn))
    attached = () if in_turn else [artifact.id for artifact in turn[0].artifacts]
    made = [artifact.id for artifact in last.artifacts] if last and last.call.name not in illustrating else []
    used = [str(value) for value in last.call.arguments.values() if isinstance(value, str)] if last else []
    for message in messages:
        result = message.result
        only_shows = result is not None and result.call.name in illustrating and bool(_handles(result, messages))
        for artifact in _artifacts(message):
            if only_shows and artifact.id not in said:
                continue
            yield Known(
                artifact,
                about=" ".join((artifact.name, artifact.alt, *_said_of(artifact, results))),
                fresh=artifact.id in (attached or made),
                used=artifact.id in used,
            )


def _handles(result: ToolResult, messages: Sequence[Message]) -> set[str]:
    known = {artifact.id for message in messages for artifact in _artifacts(message)}
    return {value for value in result.call.arguments.values() if isinstance(value, str) and value in known}


def _said_of(artifact: Artifact, results: Sequence[ToolResult]) -> list[str]:
    return [r.text for r in results if not r.failed and artifact.id in r.call.arguments.values()]


def weigh(
    candidates: Sequence[Candidate],
    likely: Sequence[float],
    calibration: Calibration,
    reply_by_head: float | None = None,
) -> Candidate | None:
    """Return the best candidate, or None for no tool; `likely` are log probabilities, that of no tool last."""
    *ours, reply = likely
    share = calibration.others if reply_by_head is None else calibration.known
    totals = [
        score + share.nearness * one.near + share.head * one.head + HELD * max(0.0, one.held - HELD_FROM)
        for score, one in zip(ours, candidates, strict=True)
    ]
    best = max(range(len(totals)), key=totals.__getitem__, default=None)
    none = reply + share.reply + share.head * (reply_by_head or 0.0)
    return None if best is None or totals[best] < none else candidates[best]


def finish_call(tool: ToolSpec, written: str, question: Question) -> ToolCall:
    """Make the call of what was written for the arguments: results are put in, and the files are chosen."""
    arguments: dict[str, Any] = {name: _put_in(value, question) for name, value in json.loads(written).items()}
    earlier, about = question.earlier(tool) or {}, _words_of_files(question.files)
    for name, value in arguments.items():
        if isinstance(value, str) and isinstance(old := earlier.get(name), str) and name in words_of(tool):
            arguments[name] = carry(question.said, value, old, about)
    files = {name: schema for name, schema in tool.parameters.get("properties", {}).items() if is_file(schema)}
    required = [name for name in tool.parameters.get("required", ()) if name in files]
    wanted = required or _any_of(files, question)
    for kind in dict.fromkeys(files[name]["x-artifact"] for name in wanted):
        names = [name for name in wanted if files[name]["x-artifact"] == kind]
        arguments |= zip(names, choose_files(question.said, kind, question.files, len(names)), strict=False)
    arguments |= passing_numbers(tool, arguments, question.said)
    in_order = {name: arguments[name] for name in tool.parameters.get("properties", {}) if name in arguments}
    return ToolCall(uuid.uuid4().hex[:8], tool.name, in_order)


def _words_of_files(files: Sequence[Known]) -> set[str]:
    return {word for known in files for word in re.findall(r"[^\W\d_]+", known.file.name.lower())}


def _put_in(value: Any, question: Question) -> Any:
    if isinstance(value, list):
        return [_put_in(item, question) for item in value]
    if not isinstance(value, str):
        return value
    return question.result if value == RESULT and question.result is not None else value.strip()


def _any_of(files: Mapping[str, Any], question: Question) -> list[str]:
    """Choose the one parameter to fill in of a tool that takes a file of one kind or another."""
    there = [known for known in question.files if any(files[name]["x-artifact"] == known.file.kind for name in files)]
    if len({schema["x-artifact"] for schema in files.values()}) < 2 or not there:
        return []
    kind = mentions_kind(question.said)
    if kind not in {known.file.kind for known in there}:
        kind = max(there, key=lambda known: (known.fresh, known.used, there.index(known))).file.kind
    return [next(name for name in files if files[name]["x-artifact"] == kind)]


def excuse(tool: ToolSpec) -> str:
    """Say why `tool`, which was asked for, cannot be called now, and what to do."""
    if tool.missing:
        needs_all = any(is_file(tool.parameters["properties"][name]) for name in tool.parameters.get("required", ()))
        what = (" and " if needs_all else " or ").join(NAMES[kind] for kind in tool.missing)
        return f"For that I need {what}, and there is none in this conversation yet. Attach one and ask again."
    return f"I cannot do that here. {tool.obstacle}"


def fillable(tool: ToolSpec) -> tuple[dict[str, Any], list[str]]:
    """Return the parameters that the model fills in, and which of them must be there."""
    kinds = {key: value for key, value in tool.parameters.items() if key == "$defs"}
    words = {name: schema | kinds for name, schema in words_of(tool).items()}
    return words, [name for name in tool.parameters.get("required", ()) if name in words]
