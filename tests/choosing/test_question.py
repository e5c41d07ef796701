"""What is asked of the adapter, and what is made of its answer, without any model."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest

from assistant.choosing import question as room
from assistant.choosing.question import Calibration, Candidate, Question, Share, excuse, finish_call, pose, weigh
from assistant.choosing.text import REPLY, RESULT, Before, ask, list_tools
from assistant.types import Artifact, Message, ToolCall, ToolResult, ToolSpec

IMAGE = Artifact("image-1", "image", "", "cat.jpg", "a", 1)
MADE = Artifact("image-2", "image", "", "", "b", 1)
PAPER = Artifact("document-1", "document", "", "lease.pdf", "c", 1)


def takes(kind: str, *words: str, name: str = "look", handles: Sequence[str] = ("image-1", "image-2")) -> ToolSpec:
    properties: dict[str, Any] = {kind: {"type": "string", "x-artifact": kind, "enum": list(handles)}}
    properties |= {word: {"type": "string"} for word in words}
    return ToolSpec(name, "Look at it. Closely.\n\nMore.", {"properties": properties, "required": [kind, *words]})


READ = takes("image", name="read_sign")
ASK = takes("image", "question", name="ask_about")
SHOWS = ToolSpec("find_it", "Find.", ASK.parameters, illustrates=True)
TRANSLATE = ToolSpec("translate", "Translate.", {"properties": {"text": {"type": "string"}}, "required": ["text"]})
EITHER = ToolSpec(
    "weigh",
    "Weigh.",
    {
        "properties": {
            "image": {"anyOf": [{"type": "string", "enum": ["image-1"]}, {"type": "null"}], "x-artifact": "image"},
            "document": {"anyOf": [{"type": "string"}, {"type": "null"}], "x-artifact": "document"},
        }
    },
)


@pytest.fixture(autouse=True)
def near(monkeypatch: pytest.MonkeyPatch) -> dict[str, float]:
    """How near each tool is, instead of a model that would tell."""
    told: dict[str, float] = {}

    def nearness(said: str, tools: Sequence[ToolSpec]) -> dict[str, float]:
        return {tool.name: told.get(tool.name, 0.1) for tool in tools}

    monkeypatch.setattr(
        room, "nearest", lambda said, texts: max((0.9 * (said.rstrip("?") in text) for text in texts), default=-1)
    )
    monkeypatch.setattr(room, "nearness", nearness)
    return told


def user(text: str, *files: Artifact) -> Message:
    return Message("u", None, "user", text, files)


def called(
    name: str, text: str = "Result.", made: Sequence[Artifact] = (), failed: bool = False, **given: Any
) -> list[Message]:
    call = ToolCall("c", name, given)
    result = ToolResult(call, text, artifacts=tuple(made), failed=failed)
    return [Message("a", None, "assistant", calls=(call,)), Message("t", None, "tool", result=result)]


def posed(messages: Sequence[Message], *tools: ToolSpec) -> Question:
    question = pose(messages, tools)
    assert question is not None
    return question


def test_the_nearest_tools_are_listed_and_those_of_the_last_turns(near: dict[str, float]) -> None:
    tools = [ToolSpec(f"tool_{i}", "-", {}) for i in range(20)]
    near |= {f"tool_{i}": i / 20 for i in range(20)}
    history = [*(user("first"), *called("tool_3")), *(user("second"), *called("tool_0")), user("third")]
    listed = [one.tool.name for one in posed(history, *tools).candidates]
    assert listed == ["tool_19", "tool_18", "tool_17", "tool_16", "tool_15", "tool_14", "tool_3", "tool_0"]


def test_a_tool_that_cannot_be_called_is_kept_apart_and_only_if_it_is_near(near: dict[str, float]) -> None:
    far, close = (ToolSpec(name, "-", {}, obstacle="No model.") for name in ("far", "close"))
    lacking = replace(ASK, missing=("image",))
    near |= {"close": 0.8, "ask_about": 0.5}
    question = posed([user("hello there")], far, close, lacking, READ)
    assert [one.tool.name for one in question.candidates] == ["read_sign"]
    assert [one.tool.name for one in question.blocked] == ["close", "ask_about"]


def test_a_question_about_a_line_of_an_earlier_result_asks_for_it_again() -> None:
    asked = [
        user("read it", IMAGE),
        *called("read_sign", "Gate 4\nopens at nine", image="image-1"),
        user("opens at nine?"),
    ]
    again = posed(asked, ASK, READ).again
    assert again and (again.name, again.arguments) == ("read_sign", {"image": "image-1"})
    assert posed([*asked[:-1], user("thanks?")], ASK, READ).again is None
    assert posed([*asked[:-1], user("opens at nine")], ASK, READ).again is None
    assert posed(asked, ASK).again is None


def test_what_a_tool_holds_speaks_for_it() -> None:
    holding = replace(READ, relevance=lambda said: 0.6 if said == "when?" else 0.2)
    share = Calibration(Share(0, 0), Share(0, 0))
    for said, chosen in (("when?", "read_sign"), ("hello", None)):
        (candidate,) = posed([user(said, IMAGE)], holding).candidates
        best = weigh([candidate], [-5.0, -1.0], share)
        assert (best and best.tool.name) == chosen


def test_a_turn_is_over_when_its_wishes_are_done_or_a_tool_failed() -> None:
    one = [user("read it", IMAGE), *called("read_sign")]
    assert pose(one, [READ]) is None
    two = user("read it and then translate it", IMAGE)
    assert posed([two], READ, TRANSLATE).said == "read it"
    after = posed([two, *called("read_sign", "Guten Tag")], READ, TRANSLATE)
    assert (after.said, after.result, after.before[-1].tool) == ("translate it", "Guten Tag", "read_sign")
    assert pose([two, *called("read_sign", failed=True)], [READ, TRANSLATE]) is None
    assert pose([two, *called("read_sign"), *called("translate")], [READ, TRANSLATE]) is None
    assert pose([user("  ", IMAGE)], [READ]) is None


def test_the_same_call_is_not_made_twice_in_a_turn() -> None:
    two = user("read it and then translate it", IMAGE)
    question = posed([two, *called("read_sign", image="image-1")], READ)
    assert question.was_made(ToolCall("x", "read_sign", {"image": "image-1"}))
    assert not question.was_made(ToolCall("x", "read_sign", {"image": "image-2"}))


def test_earlier_turns_are_summed_up_without_their_files() -> None:
    history = [user("read it", IMAGE), *called("ask_about", "A cat.", image="image-1", question="what?", box=[1, 2])]
    talked = [user("hi"), Message("r", None, "assistant", "Hello!")]
    question = posed([*talked, *history, user("and now?")], ASK)
    assert question.before == (
        Before("hi", REPLY, {}, "Hello!"),
        Before("read it", "ask_about", {"question": "what?", "box": [1, 2]}, "A cat."),
    )
    assert question.said_before == ("and now?", "read it", "hi")
    assert question.earlier(ASK) == {"question": "what?", "box": [1, 2]} and question.earlier(READ) is None


def test_what_a_tool_made_is_meant_next_but_not_what_only_illustrates() -> None:
    made = [user("read it", IMAGE), *called("ask_about", made=[MADE], image="image-1", question="?"), user("and now?")]
    assert finish_call(READ, "{}", posed(made, READ, ASK)).arguments == {"image": "image-2"}
    shown = [user("find it", IMAGE), *called("find_it", made=[MADE], image="image-1", question="?"), user("read it")]
    assert finish_call(READ, "{}", posed(shown, READ, SHOWS)).arguments == {"image": "image-1"}
    asked = [*shown[:-1], user("read image-2")]
    assert finish_call(READ, "{}", posed(asked, READ, SHOWS)).arguments == {"image": "image-2"}


def test_a_call_is_completed_with_its_file_and_the_last_result() -> None:
    question = posed([user("what is it", IMAGE)], ASK)
    call = finish_call(ASK, '{"question": " what is it "}', question)
    assert call.name == "ask_about"
    assert list(call.arguments.items()) == [("image", "image-1"), ("question", "what is it")]
    after = posed([user("read it", IMAGE), *called("read_sign", "Guten Tag"), user("translate")], TRANSLATE)
    assert finish_call(TRANSLATE, f'{{"text": "{RESULT}"}}', after).arguments == {"text": "Guten Tag"}


@pytest.mark.parametrize(
    ("said", "given"),
    [
        ("weigh it", {"document": "document-1"}),
        ("weigh the photo", {"image": "image-1"}),
        ("weigh the pdf", {"document": "document-1"}),
    ],
)
def test_one_file_is_chosen_where_one_kind_or_another_will_do(said: str, given: dict[str, str]) -> None:
    assert finish_call(EITHER, "{}", posed([user(said, IMAGE, PAPER)], EITHER)).arguments == given


@pytest.mark.parametrize(
    ("share", "chosen"),
    [(Share(10, 0), 1), (Share(0, 0), 0), (Share(0, 9), None), (Share(0, 0, head=1), 0), (Share(0, 0, head=2), 1)],
)
def test_nearness_the_head_and_the_bonus_of_no_tool_are_weighed(share: Share, chosen: int | None) -> None:
    candidates = [Candidate(READ, 0.2, -2.0), Candidate(ASK, 0.5, -0.5)]
    never = Share(0, 99)
    for reply_by_head, calibration in ((-3.0, Calibration(share, never)), (None, Calibration(never, share))):
        best = weigh(candidates, [-1.0, -3.0, -9.0], calibration, reply_by_head)
        assert best is (None if chosen is None else candidates[chosen])
    assert weigh([], [-1.0], Calibration(share, share)) is None


def test_what_is_lacking_is_said() -> None:
    none = "and there is none in this conversation yet. Attach one and ask again."
    assert excuse(replace(READ, missing=("image",))) == f"For that I need a picture, {none}"
    assert excuse(replace(EITHER, missing=("image", "document"))) == f"For that I need a picture or a document, {none}"
    assert excuse(ToolSpec("paint", "-", {}, obstacle="No model.")) == "I cannot do that here. No model."


def test_tools_are_listed_in_a_line_each() -> None:
    parameters = {
        "properties": {
            "image": {"type": "string", "x-artifact": "image"},
            "unit": {"type": "string", "enum": ["a", "b"]},
            "count": {"anyOf": [{"type": "integer"}, {"type": "null"}]},
        },
        "required": ["image", "unit"],
    }
    listed = list_tools([ToolSpec("look", "Look at it.\n\nMore.", parameters)]).splitlines()
    assert listed[1] == "look(image file, unit: a|b, count?: integer): Look at it."
    assert listed[2].startswith("reply: ")


def test_a_request_stands_below_its_files_and_the_last_two_turns() -> None:
    turns = [Before("one", REPLY, {}, "1"), Before("two", "look", {"n": 2}, "2"), Before("three", REPLY, {}, "x" * 200)]
    lines = ask("what\nnow?", [IMAGE, MADE], turns).splitlines()
    assert lines[0] == 'Before: two > look {"n": 2} > 2'
    assert lines[1].startswith("Before: three > reply > xxx") and len(lines[1]) < 120
    assert lines[2:] == ["Files: image-1 (cat.jpg), image-2", "Message: what now?"]
    assert len(ask("word " * 1000, [], [])) < 1300
