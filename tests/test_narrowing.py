"""Of many tools those nearest to the request are offered, and those that were called; without an embedder, all."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

from assistant import nearness
from assistant.errors import ModelUnavailable
from assistant.llama import LlamaChat
from assistant.narrowing import MOST, narrow, offer_nearest
from assistant.remote import RemoteChat
from assistant.settings import Settings
from assistant.types import Message, Notice, ToolCall, ToolSpec
from tests.conftest import DEMO_TOOLS

EMPTY: dict[str, Any] = {"type": "object", "properties": {}}
TOOLS = [ToolSpec(f"tool_{i}", f"{i}", EMPTY, (f"{i} or so",)) for i in range(60)]


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """What an embedder was asked to embed that sees only the number with which a text begins."""
    made: list[list[str]] = []

    def embed(texts: Sequence[str]) -> np.ndarray:
        made.append(list(texts))
        angles = np.array([int(text.split()[0]) for text in texts]) * 0.05
        return np.stack([np.cos(angles), np.sin(angles)], axis=1).astype(np.float32)

    monkeypatch.setattr(nearness, "_vectors", {})
    monkeypatch.setattr(nearness, "embed", embed)
    return made


def names(tools: Sequence[ToolSpec]) -> list[str]:
    return [tool.name for tool in tools]


def test_the_nearest_are_kept_in_their_order_and_those_called_before(asked: list[list[str]]) -> None:
    kept = narrow("30 of them", TOOLS, {"tool_3", "gone"}, 5)
    assert names(kept) == ["tool_3", *(f"tool_{i}" for i in (28, 29, 30, 31, 32))]
    assert names(narrow("30 of them", TOOLS[::-1], {"tool_3"}, 5)) == names(kept)[::-1]


def test_examples_and_what_a_tool_holds_count_too(asked: list[list[str]]) -> None:
    by_example = ToolSpec("example", "55", EMPTY, ("1 more",))
    holds = ToolSpec("holds", "55", EMPTY, (), lambda request: 0.9999)
    assert names(narrow("1 here", [*TOOLS[10:], by_example, holds], (), 2)) == ["example", "holds"]


def test_vectors_of_tools_are_made_once(asked: list[list[str]]) -> None:
    for request in ("1 a", "2 b", "3 c"):
        narrow(request, TOOLS, (), 5)
    assert [len(texts) for texts in asked] == [1, 120, 1, 1]
    narrow("4 d", [*TOOLS, ToolSpec("new", "7 new", EMPTY)], (), 5)
    assert asked[-1] == ["7 new"]


def test_old_vectors_leave(asked: list[list[str]], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(nearness, "KEPT", 30)
    assert len(narrow("1 a", TOOLS, (), 5)) == 5
    assert len(nearness._vectors) == 30


@pytest.mark.parametrize(("request_text", "tools"), [("1 a", TOOLS[:MOST]), ("  ", TOOLS)])
def test_few_tools_and_no_words_need_no_embedder(
    request_text: str, tools: list[ToolSpec], asked: list[list[str]]
) -> None:
    assert narrow(request_text, tools, (), MOST) == tools
    assert asked == []


def user(text: str) -> Message:
    return Message("u", None, "user", text)


def offer(messages: Sequence[Message], tools: Sequence[ToolSpec]) -> tuple[list[Notice], list[ToolSpec]]:
    work = offer_nearest(messages, tools, threading.Event())
    notices = []
    while True:
        try:
            notices.append(next(work))
        except StopIteration as done:
            return notices, done.value


def test_what_was_called_in_the_conversation_stays(asked: list[list[str]]) -> None:
    before = [user("50 a"), Message("a", None, "assistant", calls=(ToolCall("1", "tool_55", {}),))]
    notices, kept = offer([*before, user("5 b")], TOOLS)
    assert notices == []
    assert names(kept) == [*(f"tool_{i}" for i in range(20)), "tool_55"]


def test_without_an_embedder_all_are_offered_with_a_notice(monkeypatch: pytest.MonkeyPatch) -> None:
    def embed(texts: Sequence[str]) -> np.ndarray:
        raise ModelUnavailable("There are no weights.")

    monkeypatch.setattr(nearness, "embed", embed)
    (notice,), kept = offer([user("5 b")], TOOLS)
    assert notice.text.startswith("All 60 tools are offered at once") and notice.text.endswith("There are no weights.")
    assert kept == TOOLS


def test_the_work_is_done_on_a_thread_that_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    threads: list[threading.Thread] = []

    def embed(texts: Sequence[str]) -> np.ndarray:
        threads.append(threading.current_thread())
        raise ModelUnavailable("No.")

    monkeypatch.setattr(nearness, "embed", embed)
    offer([user("5 b")], TOOLS)
    threads[0].join(10)
    assert threads[0] is not threading.current_thread() and not threads[0].is_alive()


def test_the_embedder_that_ships_finds_what_is_meant(house: Settings) -> None:
    from assistant import residents

    residents.install(house)
    others = [ToolSpec(f"tool_{i}", f"Book flight number {i} to an airport.", EMPTY) for i in range(30)]
    turn = next(tool for tool in DEMO_TOOLS if tool.name == "turn_image").spec((), {})
    kept = narrow("rotate my photo a bit", [*others, turn], (), 3)
    assert kept[-1].name == "turn_image" and len(kept) == 3


def test_both_models_that_choose_tools_themselves_narrow_them(
    monkeypatch: pytest.MonkeyPatch, settings: Settings
) -> None:
    """The calls into the engine and the server are cut off where they begin; what they would get is looked at."""
    from assistant import llama, remote, residents

    given: list[list[str]] = []

    def speak(request: llama.Request, stop: threading.Event) -> Any:
        given.append(names(request.plan.tools))
        return iter(())

    def narrowed(messages: Any, tools: Sequence[ToolSpec], stop: Any) -> Any:
        return list(tools[:3])
        yield

    residents.install(settings)
    entry = type("Entry", (), {"chooser": None})()
    monkeypatch.setattr(residents.residents(), "is_loaded", lambda role: True)
    monkeypatch.setattr(residents.residents().catalog, "choose", lambda role: type("Choice", (), {"entry": entry})())
    monkeypatch.setattr(llama, "_speak", speak)
    monkeypatch.setattr(llama, "offer_nearest", narrowed)
    list(LlamaChat(settings).reply([user("Hi")], TOOLS, threading.Event()))
    monkeypatch.setattr(remote, "offer_nearest", narrowed)
    chat = RemoteChat(settings.model_copy(update={"remote_url": "http://127.0.0.1:1/v1", "remote_model": "x"}))

    def open_(model: str, messages: Any, tools: Sequence[ToolSpec], stop: Any) -> Any:
        given.append(names(tools))
        raise ModelUnavailable("cut off")

    monkeypatch.setattr(chat, "_open", open_)
    with pytest.raises(ModelUnavailable, match="cut off"):
        list(chat.reply([user("Hi")], TOOLS, threading.Event()))
    assert given == [["tool_0", "tool_1", "tool_2"]] * 2
