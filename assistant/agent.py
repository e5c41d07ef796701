"""One turn of a conversation: the model answers or calls tools, until it has answered in words.

Knows messages, events and the contracts of model and registry; no token, no tool by name, no screen.
"""

from __future__ import annotations

import json
import threading
import uuid
from collections.abc import Iterator
from dataclasses import replace

from assistant.artifacts import ArtifactStore
from assistant.chat_format import asked_results, turns
from assistant.claims import Ground, find_unsupported, tell
from assistant.errors import AssistantError, Cancelled
from assistant.history import History
from assistant.registry import Registry
from assistant.settings import Settings
from assistant.types import (
    CallFinished,
    CallStarted,
    ChatModel,
    Event,
    Message,
    Notice,
    TextDelta,
    ToolCall,
    ToolResult,
    TurnFinished,
    Usage,
)

ALREADY_MADE = (
    "{name} was already called with these arguments in this turn, and its result stands above. "
    "Use that result, change the arguments, or answer in words."
)
SENTENCE_ENDS = (".", "!", "?", "\n", ":")


class Turn:
    """The state of one turn; iterate `run()` once. Everything is stored the moment it happens."""

    def __init__(
        self,
        model: ChatModel,
        registry: Registry,
        history: History,
        store: ArtifactStore,
        settings: Settings,
        conversation: str,
        stop: threading.Event,
    ) -> None:
        """Answer the last user message of `conversation`."""
        self._model = model
        self._registry = registry
        self._history = history
        self._store = store
        self._settings = settings
        self._conversation = conversation
        self._stop = stop
        self._messages = history.path(conversation)
        self._answer = self._new_answer()
        self._usage = Usage()
        self._made: set[tuple[str, str]] = set()
        self._repeats = 0

    def run(self) -> Iterator[Event]:
        """Yield the events of the turn; the last is `TurnFinished`."""
        yield from self._take_in_files()
        for round_number in range(self._settings.max_rounds):
            if self._stop.is_set():
                break
            self._answer = self._new_answer()
            last = self._repeats > 1 or round_number == self._settings.max_rounds - 1
            try:
                yield from self._reply(offer_tools=not last)
            except Cancelled:
                break
            except AssistantError as error:
                yield self._warn(error)
                break
            if not self._answer.calls:
                yield from self._doubt()
                break
            for call in self._answer.calls:
                if not self._stop.is_set():
                    yield from self._ask(call)
        yield TurnFinished(self._answer, self._usage, stopped=self._stop.is_set())

    def _take_in_files(self) -> Iterator[Event]:
        """Run the tools that attached files set off, unless an earlier try at this turn did so well."""
        done = {m.result.call.id for m in self._messages if m.result and not m.result.failed}
        for artifact in next(m for m in reversed(self._messages) if m.role == "user").artifacts:
            for call in self._registry.on_upload(artifact):
                if call.id not in done and not self._stop.is_set():
                    yield from self._call(call)

    def _reply(self, offer_tools: bool) -> Iterator[Event]:
        """Stream one reply into the answer."""
        tools = self._registry.describe(self._store.all()) if offer_tools else []
        try:
            for part in self._model.reply(list(self._messages), tools, self._stop):
                match part:
                    case str():
                        self._answer = replace(self._answer, text=self._answer.text + part)
                        if part.rstrip(" ").endswith(SENTENCE_ENDS):
                            self._history.write(self._conversation, self._answer)
                        yield TextDelta(part)
                    case ToolCall():
                        self._answer = replace(self._answer, calls=(*self._answer.calls, part))
                    case Usage():
                        self._usage = _add(self._usage, part)
                    case Notice():
                        yield part
        finally:  # also when the front end has gone
            if self._answer.text or self._answer.calls:
                self._write(self._answer)

    def _doubt(self) -> Iterator[Event]:
        """Say below a whole answer what it claims without ground."""
        *before, turn = turns(self._messages)
        results = asked_results(turn)
        taken_in = [m.result.text for m in turn if m.result and m.result not in results]  # what became of files
        earlier = [message for old in before for message in old]
        files = [f"{file.id} {file.name} {file.alt}" for file in self._store.all()]
        said = [*files, *taken_in, *(message.text for message in earlier), turn[0].text]
        abilities = {tool.name: tool.description for tool in self._registry.tools.values()}
        ground = Ground(results, [message.result for message in earlier if message.result], said, abilities)
        claims = find_unsupported(self._answer.text, ground)
        if claims and not self._stop.is_set():
            yield self._warn(tell(claims))

    def _warn(self, warning: AssistantError | str) -> TextDelta:
        """Say below what was said so far what to beware of, or why no more comes."""
        sentence = f"\n\n⚠ {warning}" if self._answer.text else f"⚠ {warning}"
        self._answer = replace(self._answer, text=self._answer.text + sentence)
        self._history.write(self._conversation, self._answer)
        return TextDelta(sentence)

    def _ask(self, call: ToolCall) -> Iterator[Event]:
        """Run a call of the model, unless it made the same one before in this turn: that leads nowhere new."""
        fingerprint = (call.name, json.dumps(dict(call.arguments), sort_keys=True))
        if fingerprint not in self._made:
            self._made.add(fingerprint)
            yield from self._call(call)
            return
        self._repeats += 1
        yield CallStarted(call)
        result = ToolResult(call, ALREADY_MADE.format(name=call.name), failed=True)
        self._write(Message(_new_id(), self._head, "tool", result=result))
        yield CallFinished(result)

    def _call(self, call: ToolCall) -> Iterator[Event]:
        """Run one call and store its result."""
        yield CallStarted(call)
        result = yield from self._registry.run(call, self._store, self._settings.seed, self._stop)
        self._write(Message(_new_id(), self._head, "tool", result=result))
        yield CallFinished(result)

    @property
    def _head(self) -> str | None:
        return self._messages[-1].id if self._messages else None

    def _new_answer(self) -> Message:
        return Message(_new_id(), self._head, "assistant")

    def _write(self, message: Message) -> None:
        self._history.write(self._conversation, message)
        self._messages.append(message)


def _new_id() -> str:
    return uuid.uuid4().hex


def _add(one: Usage, other: Usage) -> Usage:
    return Usage(
        one.prompt_tokens + other.prompt_tokens,
        one.reused_tokens + other.reused_tokens,
        one.generated_tokens + other.generated_tokens,
        one.first_token_seconds or other.first_token_seconds,
        one.seconds + other.seconds,
    )
