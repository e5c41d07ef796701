"""The language model of a server: messages in, words and tool calls out. Knows messages and tools, no HTTP.

The server writes the prompt in its model's own format and reads the calls out of the reply. What it does badly is made
good here: calls written as text, arguments that are no JSON, ids given twice.
"""

from __future__ import annotations

import contextlib
import json
import logging
import threading
import time
import uuid
from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any

from assistant.background import run_in_background
from assistant.chat_format import asked_results, describe_tool, shorten, tell_left_out, turns, user_text
from assistant.completions import CallDelta, Chunk, Count, Function, Server, TooLong
from assistant.errors import BadInput, Cancelled, ModelUnavailable
from assistant.formats.calls import UNREADABLE, Draft, read_arguments
from assistant.narrowing import offer_nearest
from assistant.prompts import render
from assistant.residents import Status
from assistant.settings import Settings
from assistant.types import Message, ReplyPart, ToolCall, ToolSpec, Usage

log = logging.getLogger(__name__)


class RemoteChat:
    """A `ChatModel` over any server with OpenAI's chat completions: vLLM, llama.cpp, Ollama, Ray Serve."""

    def __init__(self, settings: Settings) -> None:
        """Take address, key, model, length, temperature and seed from `settings`; nothing is asked yet."""
        self._settings = settings
        self._server = Server(settings.remote_url, settings.remote_key.get_secret_value())
        self._found = ""  # the only model of the server, where none is set

    def describe(self) -> str:
        """Say which model of which server this is, or what keeps it from being used."""
        try:
            return f"{self._find_model()} on the server at {self._server.url}."
        except (BadInput, ModelUnavailable) as error:
            return str(error)

    def status(self) -> Status:
        """Return the row of this model in the list of models; asks nobody."""
        name = self._settings.remote_model or self._found or "the server's only model"
        return Status("chat", name, "remote", "-", 0, self._server.url, None, None, "")

    def reply(
        self, messages: Sequence[Message], tools: Sequence[ToolSpec], stop: threading.Event
    ) -> Iterator[ReplyPart]:
        """Yield words as they come, calls, notices, and the usage at the end."""
        tools = [tool for tool in tools if tool.callable]
        hearing = Hearing(tools, {call.id for message in messages for call in _calls_of(message)})
        try:
            model = yield from run_in_background(lambda report: self._find_model(), stop)
            tools = yield from offer_nearest(messages, tools, stop)
            first, rest, left_out = self._open(model, messages, tools, stop)
            if left_out:
                yield tell_left_out(left_out)
            with contextlib.closing(rest):
                for chunk in chain(first, rest):
                    yield from hearing.take(chunk)
            yield from hearing.end()
        except Cancelled:
            log.info("stopped")
        except ModelUnavailable:
            self._found = ""  # the server may come back with another model
            raise
        yield hearing.usage()

    def _open(
        self, model: str, messages: Sequence[Message], tools: Sequence[ToolSpec], stop: threading.Event
    ) -> tuple[list[Chunk], Generator[Chunk, None, None], int]:
        """Return the first chunk of a reply, the rest, and how many turns were left out before the server took it."""
        kept, left_out = turns(messages), 0
        while True:
            body = self._write(model, [message for turn in kept[left_out:] for message in turn], tools)
            chunks = self._server.stream(body, stop)
            try:
                return [chunk for chunk in [next(chunks, None)] if chunk], chunks, left_out
            except TooLong:
                if left_out == len(kept) - 1:
                    raise
                left_out = min(2 * left_out or 1, len(kept) - 1)

    def _find_model(self) -> str:
        if self._settings.remote_model or self._found:
            return self._settings.remote_model or self._found
        names = self._server.models()
        if len(names) != 1:
            there = f"several models: {', '.join(names)}" if names else "no model"
            raise BadInput(f"The server at {self._server.url} has {there}. Set ASSISTANT_REMOTE_MODEL to one it has.")
        self._found = names[0]
        return self._found

    def _write(self, model: str, messages: Sequence[Message], tools: Sequence[ToolSpec]) -> dict[str, Any]:
        """Write the request."""
        body = {
            "model": model,
            "messages": write_messages(messages, tools),
            "max_tokens": self._settings.max_new_tokens,
            "temperature": self._settings.temperature,
            "seed": self._settings.seed,
            "stream": True,
            "stream_options": {"include_usage": True},
        }
        if tools:  # some servers refuse the one without the other
            # no grammar of ours keeps the handles to those alive, so the model and its server are told which there are
            functions = [{"type": "function", "function": describe_tool(tool, handles=True)} for tool in tools]
            body |= {"tools": functions, "parallel_tool_calls": False}
        return body


def write_messages(messages: Sequence[Message], tools: Sequence[ToolSpec]) -> list[dict[str, Any]]:
    """Write a conversation as the API's messages; a call that was cut off has no result and is left out."""
    written: list[dict[str, Any]] = [
        {"role": "system", "content": render("system", tools=tools, told_by_server=True)},
    ]
    for turn in turns(messages):
        written.append({"role": "user", "content": user_text(turn)})
        results = {result.call.id: result for result in asked_results(turn)}
        for message in turn:
            said = message.text if message.role == "assistant" else ""
            for call in message.calls:  # one pair after another: Llama's own template knows one call a message
                if call.id in results:
                    written.append({"role": "assistant", "content": said, "tool_calls": [_write_call(call)]})
                    written.append({"role": "tool", "tool_call_id": call.id, "content": shorten(results[call.id].text)})
                    said = ""
            if said:
                written.append({"role": "assistant", "content": said})
    return written


def _write_call(call: ToolCall) -> dict[str, Any]:
    arguments = json.dumps(dict(call.arguments), ensure_ascii=False)
    return {"id": call.id, "type": "function", "function": {"name": call.name, "arguments": arguments}}


def _calls_of(message: Message) -> Sequence[ToolCall]:
    return (*message.calls, *([message.result.call] if message.result else []))


@dataclass(slots=True)
class _Call:
    """A call that comes in pieces."""

    index: int | None
    id: str | None
    name: str = ""
    arguments: str | dict[str, Any] = ""

    def is_whole(self) -> bool:
        """Tell whether nothing is missing; a call without any arguments may still get some."""
        return bool(self.name and self.arguments) and UNREADABLE not in "".join(read_arguments(self.arguments))

    def add(self, function: Function) -> None:
        """Add a piece."""
        self.name = self.name or function.name or ""
        if isinstance(function.arguments, dict):
            self.arguments = function.arguments
        elif isinstance(self.arguments, str):
            self.arguments += function.arguments or ""


class Hearing:
    """One reply as it comes in: words are passed on, calls are put together, tokens are counted."""

    def __init__(self, tools: Sequence[ToolSpec], ids: set[str]) -> None:
        """Listen for calls of `tools`; `ids` are those of earlier calls."""
        self._tools = tools
        self._ids = ids
        self._started = time.monotonic()
        self._first = 0.0
        self._chunks = 0
        self._count: Count | None = None
        self._draft = Draft(tools)
        self._calls: list[_Call] = []
        self._finish = ""

    def take(self, chunk: Chunk) -> Iterator[str]:
        """Take in a chunk and yield the words that can be said."""
        self._count = chunk.usage or self._count
        for choice in chunk.choices or ():
            self._finish = choice.finish_reason or self._finish
            delta = choice.delta
            if delta is None or not (delta.content or delta.tool_calls):
                continue
            self._chunks += 1
            self._first = self._first or time.monotonic() - self._started
            for piece in delta.tool_calls or ():
                self._find(piece).add(piece.function)
            if words := self._draft.take(delta.content or ""):
                yield words

    def _find(self, piece: CallDelta) -> _Call:
        """Return the call of a piece: the one with its id, else the last with its index or at all, else a new one."""
        here = [call for call in self._calls if piece.index in (None, call.index)]
        named = [call for call in here if piece.id and call.id == piece.id]
        placed = [call for call in here if not (piece.id and call.id)]
        found = next(reversed(named or placed), None)
        # some servers give every call the same index and none an id
        if found is None or (not named and piece.function.name and found.is_whole()):
            self._calls.append(_Call(piece.index, piece.id))
            return self._calls[-1]
        found.id = found.id or piece.id
        return found

    def end(self) -> Iterator[ReplyPart]:
        """Yield what can be told only at the end: the calls, or words that looked like one."""
        if not self._calls:
            yield from self._draft.end()
            if self._finish == "length" and not self._chunks:
                raise ModelUnavailable(
                    "The model used up the longest answer thinking. Raise ASSISTANT_MAX_NEW_TOKENS and ask again."
                )
        for call in self._calls:
            if self._tools:
                new = call.id and call.id not in self._ids
                yield ToolCall(
                    call.id if call.id and new else uuid.uuid4().hex[:8], call.name, read_arguments(call.arguments)
                )
                self._ids.add(call.id or "")
            else:
                yield f"The model tried to call {call.name!r} where no tool was offered. Ask again in other words."

    def usage(self) -> Usage:
        """Tell what the reply took, by the server's count, else by the pieces that came."""
        count = self._count or Count(completion_tokens=self._chunks)
        details = count.prompt_tokens_details
        return Usage(
            count.prompt_tokens,
            (details and details.cached_tokens) or 0,
            count.completion_tokens,
            self._first,
            time.monotonic() - self._started,
        )
