"""The language model of a server: a scripted one on a free port for every case, and llama-cpp-python's own."""

from __future__ import annotations

import importlib.util
import json
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr

from assistant import Assistant, completions
from assistant.cli import main
from assistant.errors import AssistantError, BadInput, ModelUnavailable
from assistant.formats.calls import find_calls
from assistant.prompts import render
from assistant.remote import RemoteChat, write_messages
from assistant.settings import Settings, read_settings
from assistant.types import (
    Artifact,
    CallFinished,
    Event,
    Message,
    Notice,
    ReplyPart,
    TextDelta,
    ToolCall,
    ToolResult,
    TurnFinished,
    Usage,
)
from tests.conftest import DEMO_TOOLS, text_of

LIMIT = 30  # seconds after which a waiting test gives up
KEY = "sk-very-secret"
PICTURE = Artifact("image-1", "image", "image/png", "red.png", "0" * 64, 1)
SPECS = [tool.spec([PICTURE], {}) for tool in DEMO_TOOLS]
HELLO = Message("u", None, "user", "Hello")
Answer = Callable[["Handler"], None]


class Backend(ThreadingHTTPServer):
    """A server that answers each request for a completion with the next of `answers`."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server_port}/v1"
        self.models: Any = {"data": [{"id": "qwen"}]}
        self.answers: list[Answer] = []
        self.asked: list[dict[str, Any]] = []
        self.keys: list[str | None] = []
        self.left = threading.Event()  # the client closed the connection of a silent stream

    def handle_error(self, request: object, client_address: object) -> None:
        """Say nothing of clients that left."""


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Backend

    def do_GET(self) -> None:
        self.server.keys.append(self.headers["Authorization"])
        self.answer(200 if self.path == "/v1/models" else 404, self.server.models)

    def do_POST(self) -> None:
        assert self.path == "/v1/chat/completions"
        self.server.keys.append(self.headers["Authorization"])
        self.server.asked.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
        self.server.answers.pop(0)(self)

    def answer(self, status: int, body: object) -> None:
        sent = body.encode() if isinstance(body, str) else json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(sent)))
        self.end_headers()
        self.wfile.write(sent)

    def begin_stream(self) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream; charset=utf-8")
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()

    def send(self, data: str) -> None:
        sent = f"data: {data}\n\n".encode()
        self.wfile.write(f"{len(sent):x}\r\n".encode() + sent + b"\r\n")

    def end_stream(self) -> None:
        self.wfile.write(b"0\r\n\r\n")

    def log_message(self, format: str, *args: object) -> None:
        pass


def said(text: str | None = None, finish: str | None = None, calls: object = None) -> dict[str, Any]:
    return {"choices": [{"delta": {"content": text, "tool_calls": calls}, "finish_reason": finish}]}


def piece(arguments: str | None, name: str | None = None, id: str | None = None, index: int = 0) -> dict[str, Any]:
    return said(calls=[{"index": index, "id": id, "function": {"name": name, "arguments": arguments}}])


def stream(*chunks: object, done: bool = True) -> Answer:
    def answer(handler: Handler) -> None:
        handler.begin_stream()
        for chunk in chunks:
            handler.send(chunk if isinstance(chunk, str) else json.dumps(chunk))
        if done:
            handler.send("[DONE]")
        handler.end_stream()

    return answer


def words(*texts: str) -> Answer:
    return stream(*map(said, texts), said(finish="stop"))


def refuse(status: int, body: object) -> Answer:
    return lambda handler: handler.answer(status, body)


def fall_silent(handler: Handler, *texts: str) -> None:
    """Say `texts`, then nothing until the client leaves."""
    handler.begin_stream()
    for text in texts:
        handler.send(json.dumps(said(text)))
    wait_for_leave(handler)


def wait_for_leave(handler: Handler) -> None:
    handler.connection.settimeout(LIMIT)
    try:
        gone = handler.connection.recv(1) == b""
    except ConnectionResetError:
        gone = True
    if gone:
        handler.server.left.set()
    handler.close_connection = True


def drop(handler: Handler) -> None:
    """Say a word and close the connection in the middle of the stream."""
    handler.begin_stream()
    handler.send(json.dumps(said("Half ")))
    handler.connection.shutdown(socket.SHUT_RDWR)
    handler.close_connection = True


@pytest.fixture
def backend() -> Iterator[Backend]:
    server = Backend()
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
    yield server
    server.shutdown()
    server.server_close()


@pytest.fixture
def chat(backend: Backend, settings: Settings) -> RemoteChat:
    return RemoteChat(settings.model_copy(update={"remote_url": backend.url, "remote_key": SecretStr(KEY)}))


@pytest.fixture
def served(backend: Backend, settings: Settings) -> Iterator[Assistant]:
    """An assistant over the demo tools whose model the scripted server has."""
    assistant = Assistant(settings.model_copy(update={"remote_url": backend.url}), tools=DEMO_TOOLS)
    yield assistant
    assistant.close()


def reply(chat: RemoteChat, *messages: Message, tools: Any = SPECS) -> list[ReplyPart]:
    return list(chat.reply(messages or (HELLO,), tools, threading.Event()))


def spoken(parts: Sequence[ReplyPart]) -> str:
    return "".join(part for part in parts if isinstance(part, str))


def calls(parts: Sequence[ReplyPart]) -> list[ToolCall]:
    return [part for part in parts if isinstance(part, ToolCall)]


def results(events: Sequence[Event]) -> list[tuple[str, bool]]:
    return [(event.result.text, event.result.failed) for event in events if isinstance(event, CallFinished)]


def test_words_are_passed_on_as_they_come(chat: RemoteChat, backend: Backend) -> None:
    go_on = threading.Event()

    def slowly(handler: Handler) -> None:
        handler.begin_stream()
        handler.send(json.dumps(said("Good ")))
        assert go_on.wait(LIMIT)
        handler.send(json.dumps(said("day\u2028.", "stop")))
        handler.end_stream()  # a server that does not say [DONE]

    backend.answers = [slowly]
    parts = chat.reply([HELLO], SPECS, threading.Event())
    assert next(parts) == "Good "
    go_on.set()
    assert spoken(list(parts)) == "day\u2028."


def test_done_ends_a_reply_whatever_the_connection_does(chat: RemoteChat, backend: Backend) -> None:
    def linger(handler: Handler) -> None:
        handler.begin_stream()
        handler.send(json.dumps(said("Hi.")))
        handler.send("[DONE]")
        wait_for_leave(handler)

    backend.answers = [linger]
    assert spoken(reply(chat)) == "Hi."
    assert backend.left.wait(LIMIT)


def test_the_request_is_what_the_settings_and_the_tools_say(chat: RemoteChat, backend: Backend) -> None:
    backend.answers = [words("Hi."), words("Hi.")]
    reply(chat)
    reply(chat, tools=[])
    asked, without = backend.asked
    assert {key: asked[key] for key in ("model", "max_tokens", "temperature", "seed", "stream")} == {
        "model": "qwen",
        "max_tokens": 1024,
        "temperature": 0.0,
        "seed": 0,
        "stream": True,
    }
    assert asked["parallel_tool_calls"] is False
    assert asked["tools"][0]["type"] == "function"
    turn_image = asked["tools"][0]["function"]
    assert (turn_image["name"], turn_image["description"]) == ("turn_image", "Turn a picture.")
    assert turn_image["parameters"]["properties"]["image"] == {
        "type": "string",
        "description": "The picture to turn.",
        "enum": ["image-1"],
    }
    assert "tools" not in without and "parallel_tool_calls" not in without
    assert backend.keys == [f"Bearer {KEY}"] * 3
    assert asked["messages"][0]["content"].endswith("To talk, answer in plain words without a tool.")
    assert "parameters" not in asked["messages"][0]["content"]  # the server tells the model its tools
    assert without["messages"][0]["content"] == render("system", tools=[])


def test_a_conversation_is_replayed_with_handles_calls_and_results() -> None:
    count, turn = ToolCall("7", "count_letters", {"text": "Bär"}), ToolCall("8", "turn_image", {"image": "image-1"})
    lost = ToolCall("9", "break_down", {})
    added = Message("t", None, "tool", result=ToolResult(ToolCall("up", "weigh", {}), "red.png weighs nothing."))
    conversation = [
        Message("u", None, "user", "Look.", (PICTURE,)),
        added,
        Message("a", None, "assistant", "I look.", calls=(turn, count, lost)),
        Message("t", None, "tool", result=ToolResult(turn, "image-2")),
        Message("t", None, "tool", result=ToolResult(count, "3")),
        Message("a", None, "assistant", "Done."),
        Message("u", None, "user", "Thanks."),
    ]

    def called(text: str, call: ToolCall, arguments: str) -> dict[str, Any]:
        function = {"name": call.name, "arguments": arguments}
        return {
            "role": "assistant",
            "content": text,
            "tool_calls": [{"id": call.id, "type": "function", "function": function}],
        }

    assert write_messages(conversation, [])[1:] == [
        {"role": "user", "content": "[image-1: red.png]\n[red.png weighs nothing.]\nLook."},
        called("I look.", turn, '{"image": "image-1"}'),
        {"role": "tool", "tool_call_id": "8", "content": "image-2"},
        called("", count, '{"text": "Bär"}'),
        {"role": "tool", "tool_call_id": "7", "content": "3"},
        {"role": "assistant", "content": "Done."},
        {"role": "user", "content": "Thanks."},
    ]


def test_calls_come_in_pieces_and_all_are_taken_in_order(chat: RemoteChat, backend: Backend) -> None:
    backend.answers = [
        stream(
            said("I count."),
            piece("", "count_letters", "call-1"),
            piece('{"te'),
            piece('{"text": "two"}', "count_letters", "call-2", index=1),
            piece('{"text": "three"}', "count_letters", "call-3"),  # some servers give every call the index 0
            piece('xt": "lamp"}', "count_letters", "call-1"),  # some repeat name and id with each piece
            said(finish="tool_calls"),
        )
    ]
    parts = reply(chat)
    assert spoken(parts) == "I count."
    assert calls(parts) == [
        ToolCall("call-1", "count_letters", {"text": "lamp"}),
        ToolCall("call-2", "count_letters", {"text": "two"}),
        ToolCall("call-3", "count_letters", {"text": "three"}),
    ]


@pytest.mark.parametrize("place", [0, None])
def test_calls_without_ids_are_told_apart_by_their_names(chat: RemoteChat, backend: Backend, place: int | None) -> None:
    def part(arguments: str, name: str | None = None) -> dict[str, Any]:
        return said(calls=[{"index": place, "function": {"name": name, "arguments": arguments}}])

    backend.answers = [
        stream(
            part('{"text":', "count_letters"),
            part(' "a"}', "count_letters"),  # the name once more, in the middle of the call
            part('{"loudly": false}', "break_down"),
            said(finish="tool_calls"),
        )
    ]
    made = calls(reply(chat))
    assert [(call.name, call.arguments) for call in made] == [
        ("count_letters", {"text": "a"}),
        ("break_down", {"loudly": False}),
    ]
    assert len({call.id for call in made}) == 2


def test_two_calls_of_one_reply_run_and_both_results_are_told(served: Assistant, backend: Backend) -> None:
    backend.answers = [
        stream(
            piece('{"text": "lamp"}', "count_letters", "1"),
            piece('{"text": "oven"}', "count_letters", "1", index=1),  # the same id again
            piece('{"text": "cup"}', "count_letters", "2", index=2),
            said(finish="tool_calls"),
        ),
        words("Fine."),
    ]
    events = list(served.chat("How many letters have lamp, oven and cup?"))
    assert results(events) == [("4", False), ("4", False), ("3", False)]
    roles = [message["role"] for message in backend.asked[1]["messages"]]
    assert roles == ["system", "user", *(["assistant", "tool"] * 3)]
    answers = [message["tool_call_id"] for message in backend.asked[1]["messages"] if message["role"] == "tool"]
    assert answers[0] == "1" and len(set(answers)) == 3


def test_a_call_that_is_also_written_is_told_once(chat: RemoteChat, backend: Backend) -> None:
    backend.answers = [stream(said(CALL), piece("{}", "break_down", "1"), said(finish="tool_calls"))]
    parts = reply(chat)
    assert (spoken(parts), calls(parts)) == ("", [ToolCall("1", "break_down", {})])


@pytest.mark.parametrize("given", ['{"text": "lamp"}', '"{\\"text\\": \\"lamp\\"}"', {"text": "lamp"}])
def test_arguments_may_be_text_text_in_text_or_an_object(chat: RemoteChat, backend: Backend, given: Any) -> None:
    backend.answers = [stream(piece(given, "count_letters", "1"), said(finish="tool_calls"))]
    assert calls(reply(chat)) == [ToolCall("1", "count_letters", {"text": "lamp"})]


def test_a_call_without_arguments_has_none(chat: RemoteChat, backend: Backend) -> None:
    backend.answers = [stream(piece(None, "break_down", "1"), said(finish="tool_calls"))]
    assert calls(reply(chat)) == [ToolCall("1", "break_down", {})]


@pytest.mark.parametrize("given", ["", None, "seen"])
def test_a_call_without_an_id_of_its_own_gets_one(chat: RemoteChat, backend: Backend, given: str | None) -> None:
    before = ToolCall("seen", "break_down", {})
    earlier = [
        Message("a", None, "assistant", "", calls=(before,)),
        Message("t", None, "tool", result=ToolResult(before, "No.")),
    ]
    backend.answers = [stream(piece("{}", "break_down", given), said(finish="tool_calls"))]
    (call,) = calls(reply(chat, HELLO, *earlier))
    assert call.id not in ("", "seen")


def test_a_tool_runs_and_the_model_sees_its_result(served: Assistant, backend: Backend) -> None:
    backend.answers = [
        stream(piece('{"text": "lamp"}', "count_letters", "1"), said(finish="tool_calls")),
        words("Four."),
    ]
    events = list(served.chat("How many letters has lamp?"))
    assert results(events) == [("4", False)]
    assert text_of(events) == "Four."
    assert backend.asked[1]["messages"][-1] == {"role": "tool", "tool_call_id": "1", "content": "4"}


@pytest.mark.parametrize(
    ("given", "lost"), [('{"text": "la', '"la'), ("[1]", "[1]"), ("lamp", "lamp"), ('{"text": "a"} b', " b")]
)
def test_the_model_is_told_of_arguments_nobody_can_read_and_corrects_them(
    served: Assistant, backend: Backend, given: str, lost: str
) -> None:
    backend.answers = [
        stream(piece(given, "count_letters", "1"), said(finish="tool_calls")),
        stream(piece('{"text": "lamp"}', "count_letters", "2"), said(finish="tool_calls")),
        words("Four."),
    ]
    events = list(served.chat("How many letters has lamp?"))
    (complaint, failed), corrected = results(events)
    assert failed and corrected == ("4", False)
    assert complaint.startswith("count_letters: 'text' is missing; there is no argument ")
    assert f"not valid JSON from {lost!r} on" in complaint.replace("\\'", "'")
    assert backend.asked[1]["messages"][-1]["content"] == complaint
    shown = json.loads(backend.asked[1]["messages"][-2]["tool_calls"][0]["function"]["arguments"])
    assert list(shown.values()) == [given]


CALL = '{"name": "count_letters", "parameters": {"text": "a {lamp} ```"}}'


@pytest.mark.parametrize(
    "text",
    [
        CALL,
        f"  \n{CALL}",
        CALL.replace("parameters", "arguments"),
        f"```json\n{CALL}\n```",
        f"```\n{CALL}\n```",
        f"<|python_tag|>{CALL}",
        f"<tool_call>\n{CALL}\n</tool_call>",
        CALL[:-1],
        CALL[:-2],
        f"```json\n{CALL[:-2]}\n```",
        f"<tool_call>\n{CALL[:-2]}\n</tool_call>",
        CALL.replace("{", '{"type": "function", ', 1),
        CALL.replace('{"text": "a {lamp} ```"}', json.dumps('{"text": "a {lamp} ```"}')),
        f"{CALL}\nThat is the call.",
    ],
)
def test_a_call_written_as_text_becomes_a_call(chat: RemoteChat, backend: Backend, text: str) -> None:
    backend.answers = [words(*text)]  # letter by letter
    parts = reply(chat)
    (call,) = calls(parts)
    assert (call.name, call.arguments) == ("count_letters", {"text": "a {lamp} ```"})
    assert spoken(parts) == ""


def test_a_written_call_cut_off_within_its_arguments_is_not_run_with_half_of_them() -> None:
    (call,) = find_calls('{"name": "count_letters", "parameters": {"text": "la', SPECS)
    assert isinstance(call, ToolCall)
    assert (call.name, list(call.arguments.values())) == ("count_letters", ['{"text": "la'])


def test_a_written_call_of_a_tool_there_is_not_becomes_a_sentence(chat: RemoteChat, backend: Backend) -> None:
    backend.answers = [words('{"name": "fly", "parameters": {}}')]
    parts = reply(chat)
    assert calls(parts) == []
    assert spoken(parts) == "The model tried to call 'fly', which is none of its tools. Ask again in other words."


@pytest.mark.parametrize("text", ['{"name": "Anna", "age": 5}', "{", '```json\n{"a": 1}\n```', "``", "```python\n1"])
def test_words_that_only_begin_like_a_call_stay_words(chat: RemoteChat, backend: Backend, text: str) -> None:
    backend.answers = [words(*text)]
    assert spoken(reply(chat)) == text


def test_words_that_cannot_become_a_call_are_not_held_back(chat: RemoteChat, backend: Backend) -> None:
    backend.answers = [words("Well", ", {", "}"), words("{", '"a": 1}')]
    assert [part for part in reply(chat) if isinstance(part, str)] == ["Well", ", {", "}"]
    assert [part for part in reply(chat, tools=[]) if isinstance(part, str)] == ["{", '"a": 1}']


def test_a_call_where_no_tool_was_offered_becomes_a_sentence(chat: RemoteChat, backend: Backend) -> None:
    backend.answers = [stream(piece("{}", "break_down", "1"), said(finish="tool_calls"))]
    parts = reply(chat, tools=[])
    assert calls(parts) == []
    assert "'break_down' where no tool was offered" in spoken(parts)


def test_the_usage_is_the_servers_count(chat: RemoteChat, backend: Backend) -> None:
    count = {"prompt_tokens": 90, "completion_tokens": 7, "prompt_tokens_details": {"cached_tokens": 64}}
    backend.answers = [stream(said("Hi."), said(finish="stop"), {"choices": [], "usage": count})]
    usage = reply(chat)[-1]
    assert isinstance(usage, Usage)
    assert (usage.prompt_tokens, usage.reused_tokens, usage.generated_tokens) == (90, 64, 7)
    assert 0 < usage.first_token_seconds <= usage.seconds
    assert backend.asked[0]["stream_options"] == {"include_usage": True}


def test_without_the_servers_count_the_pieces_are_counted(chat: RemoteChat, backend: Backend) -> None:
    backend.answers = [words("One", " two", " three")]
    usage = reply(chat)[-1]
    assert isinstance(usage, Usage)
    assert (usage.prompt_tokens, usage.generated_tokens) == (0, 3)


@pytest.mark.parametrize("status", [400, 422])
def test_what_a_server_refuses_by_name_is_left_out(chat: RemoteChat, backend: Backend, status: int) -> None:
    unknown = {"detail": [{"loc": ["body", "stream_options"], "msg": "extra"}, {"loc": ["body", "seed"]}]}
    backend.answers = [refuse(status, unknown), refuse(status, {"error": "no parallel_tool_calls"}), words("Hi.")]
    assert spoken(reply(chat)) == "Hi."
    left_out = [key for key in ("seed", "stream_options", "parallel_tool_calls") if key not in backend.asked[2]]
    assert left_out == ["seed", "stream_options", "parallel_tool_calls"]
    assert "temperature" in backend.asked[2]


def test_stop_closes_the_stream_at_once_also_while_the_server_is_silent(served: Assistant, backend: Backend) -> None:
    backend.answers = [lambda handler: fall_silent(handler, "One ", "two ")]
    turn = served.chat("Count.")
    events: list[Event] = []
    for event in turn:
        events.append(event)
        if text_of(events) == "One two ":
            turn.cancel()
    assert backend.left.wait(LIMIT)
    last = events[-1]
    assert isinstance(last, TurnFinished) and last.stopped
    assert last.usage.generated_tokens == 2
    assert served.conversations.path(turn.conversation)[-1].text == "One two "


def test_stop_closes_the_connection_before_the_first_word(chat: RemoteChat, backend: Backend) -> None:
    asked, stop = threading.Event(), threading.Event()

    def think(handler: Handler) -> None:
        asked.set()
        wait_for_leave(handler)

    backend.answers = [think]
    parts: list[ReplyPart] = []
    waiting = threading.Thread(target=lambda: parts.extend(chat.reply([HELLO], SPECS, stop)))
    waiting.start()
    assert asked.wait(LIMIT)
    stop.set()
    waiting.join(LIMIT)
    assert backend.left.wait(LIMIT)
    assert [type(part) for part in parts] == [Usage]


def test_a_front_end_that_leaves_closes_the_stream(served: Assistant, backend: Backend) -> None:
    backend.answers = [lambda handler: fall_silent(handler, "One ")]
    turn = served.chat("Count.")
    assert next(turn) == TextDelta("One ")
    turn.close()
    assert backend.left.wait(LIMIT)
    assert served.conversations.path(turn.conversation)[-1].text == "One "


def test_a_call_that_stop_cut_off_is_not_made(chat: RemoteChat, backend: Backend) -> None:
    begun, stop = threading.Event(), threading.Event()

    def begin_call(handler: Handler) -> None:
        handler.begin_stream()
        handler.send(json.dumps(piece('{"text": "lamp"}', "count_letters", "1")))
        begun.set()
        wait_for_leave(handler)

    backend.answers = [begin_call]
    threading.Thread(target=lambda: begun.wait(LIMIT) and stop.set()).start()
    assert calls(list(chat.reply([HELLO], SPECS, stop))) == []


@pytest.mark.parametrize(
    ("status", "body", "sentence"),
    [
        (401, {"error": {"message": f"Incorrect API key provided: {KEY}."}}, "refuses the key (Incorrect API key pro"),
        (403, "", "refuses the key (it does not say why). Set ASSISTANT_REMOTE_KEY to one that it accepts."),
        (404, {"error": {"message": "no such"}}, "has no model 'qwen'. Set ASSISTANT_REMOTE_MODEL to one that it has"),
        (400, {"error": {"code": "model_not_found"}}, "has no model 'qwen'"),
        (400, {"object": "error", "message": "bad template"}, "refused the request (400: bad template). Send"),
        (422, {"detail": [{"msg": "strange"}]}, 'refused the request (422: [{"msg": "strange"}])'),
        (429, {"error": "slow down"}, "has too much to do (slow down). Wait a little and send it again."),
        (500, "<html>\n oops", "failed (500: <html> oops). Send the message again; if that does not help, see its log"),
        (503, {"error": {"message": "Loading model"}}, "failed (503: Loading model)"),
        (307, "", "refused the request (307: it does not say why)"),
    ],
)
def test_what_a_server_refuses_is_a_sentence_without_the_key(
    chat: RemoteChat, backend: Backend, status: int, body: object, sentence: str
) -> None:
    backend.answers = [refuse(status, body)]
    with pytest.raises(ModelUnavailable) as refusal:
        reply(chat)
    said = str(refusal.value)
    assert said.startswith(f"The language model's server at {backend.url} ") and sentence in said
    assert KEY not in said


def test_an_error_within_the_stream_keeps_the_words_that_came(served: Assistant, backend: Backend) -> None:
    backend.answers = [stream(said("Half "), {"error": {"message": "out of memory", "code": 507}}, done=False)]
    events = list(served.chat("Hello"))
    (conversation,) = served.conversations.all()
    kept = served.conversations.path(conversation.id)[-1].text
    assert kept == text_of(events)
    assert kept.startswith("Half \n\n⚠ The language model's server at ") and "failed (507: out of memory)" in kept


@pytest.mark.parametrize("answer", [drop, stream(said("Half "), done=False)])
def test_a_stream_cut_in_the_middle_keeps_the_words_that_came(
    served: Assistant, backend: Backend, answer: Answer
) -> None:
    backend.answers = [answer]
    told = text_of(list(served.chat("Hello")))
    assert told.startswith("Half \n\n⚠ The language model's server at ") and "broke off" in told


def test_a_call_in_a_stream_that_was_cut_is_not_made(chat: RemoteChat, backend: Backend) -> None:
    backend.answers = [stream(piece('{"text": "lamp"}', "count_letters", "1"), done=False)]
    parts: list[ReplyPart] = []
    with pytest.raises(ModelUnavailable, match="broke off"):
        parts.extend(chat.reply([HELLO], SPECS, threading.Event()))
    assert calls(parts) == []


def test_a_server_that_falls_silent_is_given_up(
    served: Assistant, backend: Backend, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(completions, "SILENCE_SECONDS", 0.2)
    backend.answers = [lambda handler: fall_silent(handler, "Half ")]
    told = text_of(list(served.chat("Hello")))
    assert told.startswith("Half \n\n⚠ ") and "fell silent" in told
    assert backend.left.wait(LIMIT)


@pytest.mark.parametrize(
    ("answer", "sentence"),
    [
        (stream("{broken"), "sent what is no chat completion: {broken."),
        (stream("[1]"), "sent what is no chat completion: [1]."),
        (refuse(200, {"choices": []}), "does not answer in a stream"),
    ],
)
def test_what_is_no_completion_is_a_sentence(chat: RemoteChat, backend: Backend, answer: Answer, sentence: str) -> None:
    backend.answers = [answer]
    with pytest.raises(ModelUnavailable) as refusal:
        reply(chat)
    assert sentence in str(refusal.value)


def test_a_model_that_only_thought_says_so(chat: RemoteChat, backend: Backend) -> None:
    thought = {"choices": [{"delta": {"reasoning_content": "Hm."}, "finish_reason": None}]}
    backend.answers = [stream(thought, said(finish="length")), stream(thought, said("Hi.", "stop"))]
    with pytest.raises(ModelUnavailable, match="Raise ASSISTANT_MAX_NEW_TOKENS"):
        reply(chat)
    assert spoken(reply(chat)) == "Hi."


@pytest.mark.parametrize("url", ["http://127.0.0.1:{port}/v1", "http://no-such-host.invalid/v1", "http://a..b/v1"])
def test_a_server_that_is_not_there_is_a_sentence(settings: Settings, url: str) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    url = url.format(port=port)
    chat = RemoteChat(settings.model_copy(update={"remote_url": url, "remote_model": "qwen"}))
    with pytest.raises(ModelUnavailable) as refusal:
        reply(chat)
    said = str(refusal.value)
    assert said.startswith(f"The language model's server at {url} cannot be reached (")
    assert said.endswith("Start it, or correct ASSISTANT_REMOTE_URL.")
    nameless = RemoteChat(settings.model_copy(update={"remote_url": url}))
    assert "cannot be reached" in nameless.describe()


TOO_LONG = (
    {"error": {"message": "This model's maximum context length is 4096 tokens. However, you requested 9000."}},
    {"error": {"type": "exceed_context_size_error", "message": "the request exceeds the available context size"}},
    {"error": {"message": "The decoder prompt (length 9000) is longer than the maximum model length of 4096."}},
)


@pytest.mark.parametrize("body", TOO_LONG)
def test_a_conversation_too_long_leaves_out_the_oldest_turns_and_says_so(
    chat: RemoteChat, backend: Backend, body: object
) -> None:
    talk = [Message("u", None, "user", f"{i}") for i in range(8)]
    backend.answers = [refuse(400, body), refuse(400, body), stream({"error": body, "code": 400}), words("Hi.")]
    parts = reply(chat, *talk)
    assert parts[0] == Notice("The conversation is longer than the model reads; its oldest 4 turns were left out.")
    assert spoken(parts) == "Hi."
    assert [len(asked["messages"]) - 1 for asked in backend.asked] == [8, 7, 6, 4]
    assert backend.asked[3]["messages"][1]["content"] == "4"


def test_a_message_too_long_by_itself_is_refused_with_a_sentence(chat: RemoteChat, backend: Backend) -> None:
    talk = [Message("u", None, "user", f"{i}") for i in range(4)]
    backend.answers = [refuse(400, TOO_LONG[0])] * 4
    with pytest.raises(BadInput, match=r"This message is longer than the model reads \(This model's maximum"):
        reply(chat, *talk)
    assert len(backend.asked) == 4


def test_the_only_model_of_a_server_is_taken_and_found_again(chat: RemoteChat, backend: Backend) -> None:
    assert chat.status().name == "the server's only model"
    assert chat.describe() == f"qwen on the server at {backend.url}."
    assert (chat.status().name, chat.status().where) == ("qwen", backend.url)
    backend.models = {"data": [{"id": "llama"}]}
    backend.answers = [refuse(404, {"message": "The model `qwen` does not exist."}), words("Hi.")]
    with pytest.raises(ModelUnavailable, match=r"no model 'qwen'.*: llama\."):
        reply(chat)
    reply(chat)
    assert backend.asked[1]["model"] == "llama"


@pytest.mark.parametrize(
    ("models", "sentence"),
    [
        ({"data": [{"id": "a"}, {"id": "b"}]}, "has several models: a, b. Set ASSISTANT_REMOTE_MODEL"),
        ({"data": []}, "has no model."),
        ({"strange": 1}, "does not list its models. Set ASSISTANT_REMOTE_MODEL."),
    ],
)
def test_without_a_single_model_one_must_be_named(
    chat: RemoteChat, backend: Backend, models: object, sentence: str
) -> None:
    backend.models = models
    with pytest.raises(AssistantError) as refusal:
        reply(chat)
    assert sentence in str(refusal.value)
    assert sentence in chat.describe()


def test_a_named_model_is_used_without_asking(backend: Backend, settings: Settings) -> None:
    chat = RemoteChat(settings.model_copy(update={"remote_url": backend.url, "remote_model": "b"}))
    assert chat.describe() == f"b on the server at {backend.url}."
    assert backend.keys == []
    backend.answers = [words("Hi.")]
    reply(chat)
    assert backend.asked[0]["model"] == "b"
    assert backend.keys == [None]  # no key is set, so none is sent


def test_a_wrong_path_says_how_the_address_usually_ends(backend: Backend, settings: Settings) -> None:
    chat = RemoteChat(settings.model_copy(update={"remote_url": f"{backend.url}/more"}))
    with pytest.raises(ModelUnavailable, match=r"Correct ASSISTANT_REMOTE_URL, which usually ends in /v1\."):
        reply(chat)


def test_nothing_goes_through_the_proxies_and_logins_of_the_environment(
    chat: RemoteChat, backend: Backend, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login me password hub\n")
    monkeypatch.setenv("NETRC", str(netrc))
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    backend.answers = [words("Hi.")]
    assert spoken(reply(chat)) == "Hi."
    assert backend.keys == [f"Bearer {KEY}"] * 2


def test_the_key_is_never_shown(
    backend: Backend, settings: Settings, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("ASSISTANT_DATA", str(settings.data))
    monkeypatch.setenv("ASSISTANT_REMOTE_URL", backend.url)
    monkeypatch.setenv("ASSISTANT_REMOTE_KEY", f"{KEY}\n")
    assert read_settings().remote_key.get_secret_value() == KEY
    for command in (["settings"], ["settings", "--json"], ["models"], ["models", "--load", "chat"]):
        assert main(command) == 0
    captured = capsys.readouterr()
    assert KEY not in captured.out + captured.err + repr(read_settings()) + repr(RemoteChat(read_settings())._server)
    assert f"chat     the server's only model (remote, on {backend.url})" in captured.out
    assert f"chat     qwen (remote, on {backend.url})" in captured.out
    assert f"qwen on the server at {backend.url}." in captured.err


@pytest.mark.parametrize(
    ("name", "value", "sentence"),
    [
        ("URL", "127.0.0.1:8000/v1", "remote_url: must be an address such as http://127.0.0.1:8000/v1"),
        ("URL", "http://", "remote_url: must be an address"),
        ("URL", f"http://me:{KEY}@host/v1", "remote_url: must be without user and password"),
        ("KEY", f"{KEY}\n{KEY}", "remote_key: must be of plain letters, digits and signs"),
    ],
)
def test_a_wrong_setting_is_a_sentence_without_the_key(
    name: str, value: str, sentence: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(f"ASSISTANT_REMOTE_{name}", value)
    with pytest.raises(BadInput) as refusal:
        read_settings()
    assert sentence in str(refusal.value) and KEY not in str(refusal.value)


@pytest.mark.parametrize("line", [f'api_key = "{KEY}"', f'remote_key = ["{KEY}"]'])
def test_a_key_misplaced_in_the_file_is_not_shown(line: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "assistant.toml").write_text(line)
    with pytest.raises(BadInput) as refusal:
        read_settings()
    assert line.split()[0] in str(refusal.value) and KEY not in str(refusal.value)


@pytest.fixture
def real_server(house: Settings, tmp_path: Path) -> Iterator[tuple[str, subprocess.Popen[bytes]]]:
    """The OpenAI server of llama-cpp-python on the embedded model, as (url, process)."""
    if importlib.util.find_spec("llama_cpp") is None:
        pytest.skip("llama-cpp-python, which is compiled from source, is not installed: pip install llama-cpp-python")
    weights = next((house.data / "weights").resolve().rglob("*.gguf"), None)
    if weights is None:
        pytest.skip("the embedded model is fetched by the tests of the local model; run tests/test_llama.py first")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "llama_cpp.server", "--model", str(weights), "--port", str(port)]
    options = ["--n_threads", "1", "--n_ctx", "1024", "--model_alias", "smollm2"]
    with (tmp_path / "log").open("wb") as log:
        process = subprocess.Popen([*command, *options], stdout=log, stderr=log)
    try:
        while not is_up(port):
            assert process.poll() is None, (tmp_path / "log").read_text()
            time.sleep(0.1)
        yield f"http://127.0.0.1:{port}/v1", process
    finally:
        process.kill()
        process.wait()


def is_up(port: int) -> bool:
    try:
        urllib.request.urlopen(f"http://127.0.0.1:{port}/v1/models", timeout=LIMIT).close()
    except OSError:
        return False
    return True


def test_a_real_server_streams_stops_and_is_missed_when_it_is_killed(
    real_server: tuple[str, subprocess.Popen[bytes]], settings: Settings
) -> None:
    url, process = real_server
    changed = settings.model_copy(update={"remote_url": url, "max_new_tokens": 400})
    assistant = Assistant(changed, tools=())
    try:
        assert assistant.model.describe() == f"smollm2 on the server at {url}."
        turn = assistant.chat("What is the capital of France?")
        events = list(turn)
        assert "Paris" in text_of(events)
        assert sum(isinstance(event, TextDelta) for event in events) > 3
        last = events[-1]
        assert isinstance(last, TurnFinished) and last.usage.generated_tokens > 3

        told: list[Event] = []
        turn = assistant.chat("Write a long story about a ship.", conversation=turn.conversation)
        for event in turn:
            told.append(event)
            if sum(isinstance(event, TextDelta) for event in told) == 5:
                turn.cancel()
        assert isinstance(told[-1], TurnFinished) and told[-1].stopped
        assert sum(isinstance(event, TextDelta) for event in told) == 5
        assert "Paris" in text_of(list(assistant.chat("What is the capital of France?")))  # it is free again

        story = assistant.chat("Write a long story about a ship.")
        assert isinstance(next(story), TextDelta)
        process.kill()
        ending = text_of(list(story))
        assert f"⚠ The language model's server at {url} broke off" in ending
        assert "cannot be reached" in text_of(list(assistant.chat("Are you there?")))
    finally:
        assistant.close()
