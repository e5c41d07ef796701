"""One turn: the model answers or calls tools until it has answered in words, and nothing that was said is lost."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from assistant import Assistant
from assistant.artifacts import Document
from assistant.errors import BadInput, Cancelled, ModelUnavailable
from assistant.settings import Settings
from assistant.tools import Run, Tool, tool
from assistant.types import (
    CallFinished,
    CallProgress,
    CallStarted,
    Event,
    Message,
    Notice,
    ReplyPart,
    TextDelta,
    ToolCall,
    ToolSpec,
    TurnFinished,
    Usage,
)
from tests.conftest import DEMO_TOOLS, ScriptedModel, call, text_of

LIMIT = 30  # seconds after which a waiting test gives up
COUNT, FAIL = call("count_letters", text="lamp"), call("break_down")
DYE = call("dye", color="red", text="lamp")
weighed: list[str] = []


@tool(on_upload=True)
def weigh(document: Document) -> str:
    """Weigh a document.

    Args:
        document: What to weigh.
    """
    weighed.append(document.name)
    return f"{document.name} weighs nothing."


@tool
def dye(text: str, color: str) -> str:
    """Paint a text.

    Args:
        text: The text to paint.
        color: The color wanted.
    """
    return f"{text} in {color}"


@tool
def sleep(*, run: Run) -> str:
    """Wait until stopped."""
    run.progress(None, "sleeping")
    run.stop.wait(LIMIT)
    return "never stopped"


class StumblingModel(ScriptedModel):
    """A scripted model that raises the errors in its script."""

    def reply(
        self, messages: Sequence[Message], tools: Sequence[ToolSpec], stop: threading.Event
    ) -> Iterator[ReplyPart]:
        for part in super().reply(messages, tools, stop):
            if isinstance(part, Exception):
                raise part
            yield part


@pytest.fixture
def furnish(settings: Settings) -> Iterator[Callable[..., Assistant]]:
    """Make an assistant with more tools, a model that may stumble, and settings of its own."""
    made: list[Assistant] = []

    def make(*replies: Sequence[ReplyPart | Exception], tools: Sequence[Tool] = (), **changes: object) -> Assistant:
        weighed.clear()
        changed = settings.model_copy(update=changes)
        made.append(Assistant(changed, "local", StumblingModel(*replies), [*DEMO_TOOLS, *tools]))
        return made[-1]

    yield make
    for assistant in made:
        assistant.close()


@pytest.fixture
def letter_file(tmp_path: Path) -> Path:
    path = tmp_path / "letter.txt"
    path.write_text("Dear Ms Alder, the parcel leaves Rotterdam.")
    return path


def asked(assistant: Assistant) -> list[tuple[list[Message], list[ToolSpec]]]:
    """Return what the scripted model was asked, round by round."""
    assert isinstance(assistant.model, ScriptedModel)
    return assistant.model.asked


def ending(events: Sequence[Event]) -> TurnFinished:
    """Return the last event, which is the only `TurnFinished`."""
    assert [isinstance(event, TurnFinished) for event in events] == [False] * (len(events) - 1) + [True]
    last = events[-1]
    assert isinstance(last, TurnFinished)
    return last


def results(events: Sequence[Event]) -> list[tuple[str, bool]]:
    return [(event.result.text, event.result.failed) for event in events if isinstance(event, CallFinished)]


def stored(assistant: Assistant) -> list[Message]:
    (conversation,) = assistant.conversations.all()
    return assistant.conversations.path(conversation.id)


def test_a_plain_answer_is_streamed_and_stored(make_assistant: Callable[..., Assistant]) -> None:
    assistant = make_assistant(["Good ", Notice("Loading …"), "day."])
    events = list(assistant.chat("Hello"))
    last = ending(events)
    assert events[:-1] == [TextDelta("Good "), Notice("Loading …"), TextDelta("day.")]
    assert (last.message.text, last.message.role, last.stopped) == ("Good day.", "assistant", False)
    assert stored(assistant)[-1] == last.message
    assert [message.text for message in asked(assistant)[0][0]] == ["Hello"]


def test_the_model_sees_the_result_of_its_call(make_assistant: Callable[..., Assistant]) -> None:
    assistant = make_assistant([COUNT], ["Four."])
    events = list(assistant.chat("How many letters has lamp?"))
    assert events[0] == CallStarted(COUNT) and isinstance(events[1], CallFinished)
    assert text_of(events) == ending(events).message.text == "Four."
    question, ask, answer = asked(assistant)[1][0]
    assert (question.role, ask.calls, ask.parent) == ("user", (COUNT,), question.id)
    assert answer.role == "tool" and answer.result is not None
    assert (answer.result.call, answer.result.data, answer.parent) == (COUNT, 4, ask.id)
    assert stored(assistant)[:3] == asked(assistant)[1][0]


def test_progress_comes_between_start_and_end(make_assistant: Callable[..., Assistant], picture: Path) -> None:
    turn = call("turn_image", image="image-1")
    assistant = make_assistant([turn], ["Turned."])
    events = list(assistant.chat("Turn it", [picture]))
    kinds = [CallStarted, CallProgress, CallFinished, TextDelta, TurnFinished]
    assert [type(event) for event in events] == kinds
    assert "turn_image" in {spec.name for spec in asked(assistant)[0][1]}


def test_an_error_goes_back_to_the_model_as_a_result(make_assistant: Callable[..., Assistant]) -> None:
    assistant = make_assistant([FAIL], [COUNT], ["It failed, but lamp has four."])
    events = list(assistant.chat("Try it"))
    assert results(events) == [("It did not work. Try something else.", True), ("4", False)]
    seen = asked(assistant)[1][0][-1].result
    assert seen is not None and seen.failed and "Try something else" in seen.text
    assert asked(assistant)[2][1], "one failure takes no tool away"


@pytest.mark.parametrize("first", [DYE, FAIL], ids=["after it went well", "after it failed"])
def test_the_same_call_is_not_made_twice(furnish: Callable[..., Assistant], first: ToolCall) -> None:
    again = replace(first, id="another", arguments=dict(reversed(first.arguments.items())))
    assistant = furnish([first], [again], [COUNT], ["Four."], tools=[dye])
    events = list(assistant.chat("Try it"))
    (_, failed), refused, other = results(events)
    assert failed == (first is FAIL) and other == ("4", False)
    assert "already called with these arguments" in refused[0] and refused[1]
    assert CallStarted(again) in events
    assert [message.result.text for message in asked(assistant)[2][0] if message.result][1] == refused[0]
    assert all(tools for _, tools in asked(assistant)), "once is forgiven"


def test_a_call_is_not_run_again(furnish: Callable[..., Assistant], letter_file: Path) -> None:
    same = call("weigh", document="document-1")
    assistant = furnish([same], [same, same], ["Nothing."], tools=[weigh])
    events = list(assistant.chat("Weigh it", [letter_file]))
    assert [failed for _, failed in results(events)] == [False, False, True, True]
    assert len(weighed) == 2, "once for the upload, which does not count, and once for the model"


def test_repeating_calls_takes_the_tools_away(make_assistant: Callable[..., Assistant]) -> None:
    assistant = make_assistant([FAIL], [FAIL], [FAIL, call("fly")], ["I give up."])
    assert text_of(list(assistant.chat("Try it"))) == "I give up."
    assert [bool(tools) for _, tools in asked(assistant)] == [True, True, True, False]


def test_another_turn_may_make_the_same_call(make_assistant: Callable[..., Assistant]) -> None:
    assistant = make_assistant([COUNT], ["Four."], [COUNT], ["Still four."])
    turn = assistant.chat("Count")
    list(turn)
    assert results(list(assistant.chat("And again", conversation=turn.conversation))) == [("4", False)]


def test_another_failing_call_may_be_tried(make_assistant: Callable[..., Assistant]) -> None:
    assistant = make_assistant([FAIL], [call("break_down", loudly=True)], [COUNT], ["Four."])
    assert text_of(list(assistant.chat("Try it"))) == "Four."
    assert all(tools for _, tools in asked(assistant))


def test_the_last_round_offers_no_tools(furnish: Callable[..., Assistant]) -> None:
    assistant = furnish([COUNT], [COUNT], ["Four."], ["never asked"], max_rounds=3)
    assert text_of(list(assistant.chat("Count"))) == "Four."
    assert [bool(tools) for _, tools in asked(assistant)] == [True, True, False]


def test_a_model_that_only_calls_ends_after_the_last_round(furnish: Callable[..., Assistant]) -> None:
    assistant = furnish([COUNT], [COUNT], ["never asked"], max_rounds=2)
    events = list(assistant.chat("Count"))
    assert ending(events).message.calls == (COUNT,) and len(asked(assistant)) == 2


def test_an_invented_handle_fails_and_the_model_may_try_again(
    make_assistant: Callable[..., Assistant], picture: Path
) -> None:
    wrong, right = call("turn_image", image="image-9"), call("turn_image", image="image-1")
    events = list(make_assistant([wrong], [right], ["Turned."]).chat("Turn it", [picture]))
    sentence = "There is no 'image-9' in this conversation. The files are: image-1."
    assert results(events) == [(sentence, True), ("image-2", False)]
    assert text_of(events) == "Turned."


def test_usage_adds_up_over_the_rounds(make_assistant: Callable[..., Assistant]) -> None:
    last = ending(list(make_assistant([COUNT], ["Four."]).chat("Count")))
    assert last.usage == Usage(prompt_tokens=20, generated_tokens=4, seconds=0.2)


def test_cancel_ends_the_turn_within_one_piece_and_keeps_the_text(make_assistant: Callable[..., Assistant]) -> None:
    assistant = make_assistant(["One ", "two ", "three."], ["Again."])
    turn = assistant.chat("Count")
    assert next(turn) == TextDelta("One ")
    turn.cancel()
    last = ending(list(turn))
    assert (last.stopped, last.message.text) == (True, "One ")
    assert stored(assistant)[-1] == last.message
    assert not ending(list(assistant.chat("Go on", conversation=turn.conversation))).stopped
    assert [message.text for message in asked(assistant)[1][0]] == ["Count", "One ", "Go on"]


def test_cancel_before_the_first_event_asks_nothing(make_assistant: Callable[..., Assistant]) -> None:
    assistant = make_assistant()
    turn = assistant.chat("Hello")
    turn.cancel()
    assert ending(list(turn)).stopped and asked(assistant) == []


def test_cancel_while_a_tool_runs_ends_the_turn(furnish: Callable[..., Assistant]) -> None:
    assistant = furnish([call("sleep"), COUNT], ["Good morning."], tools=[sleep])
    turn = assistant.chat("Sleep")
    while not isinstance(next(turn), CallProgress):
        pass
    turn.cancel()
    events = list(turn)
    assert results(events) == [("Stopped.", True)], "the second call is not begun"
    last = ending(events)
    assert last.stopped and last.message.calls == (call("sleep"), COUNT)
    assert len(asked(assistant)) == 1, "the model is not asked again"
    assert text_of(list(assistant.chat("Wake up", conversation=turn.conversation))) == "Good morning."


def test_closing_the_turn_stops_it_and_keeps_the_text(make_assistant: Callable[..., Assistant]) -> None:
    assistant = make_assistant(["One ", "two ", "three."], ["Again."])
    turn = assistant.chat("Count")
    assert [next(turn), next(turn)] == [TextDelta("One "), TextDelta("two ")]
    turn.close()
    assert list(turn) == []
    assert stored(assistant)[-1].text == "One two "
    assert text_of(list(assistant.chat("Go on", conversation=turn.conversation))) == "Again."


def test_closing_the_turn_stops_the_tool(furnish: Callable[..., Assistant]) -> None:
    stopped = threading.Event()

    @tool
    def listen(*, run: Run) -> str:
        """Wait until stopped."""
        run.progress(None)
        if run.stop.wait(LIMIT):
            stopped.set()
        return ""

    turn = furnish([call("listen")], tools=[listen]).chat("Listen")
    while not isinstance(next(turn), CallProgress):
        pass
    turn.close()
    assert stopped.wait(LIMIT)


@pytest.mark.parametrize("error", [ModelUnavailable("There is no model."), BadInput("Too long.")])
def test_an_error_of_the_model_is_a_sentence_and_the_chat_goes_on(
    furnish: Callable[..., Assistant], error: Exception
) -> None:
    assistant = furnish([error], ["Better now."])
    turn = assistant.chat("Hello")
    events = list(turn)
    assert str(error) in text_of(events) and text_of(events) == ending(events).message.text
    assert stored(assistant)[-1] == ending(events).message
    assert text_of(list(assistant.chat("And now?", conversation=turn.conversation))) == "Better now."


def test_an_error_in_the_middle_of_an_answer_stands_below_it(furnish: Callable[..., Assistant]) -> None:
    assistant = furnish(["It is ", ModelUnavailable("The GPU is gone.")])
    events = list(assistant.chat("What is it?"))
    said = ending(events).message.text
    assert said.startswith("It is \n\n") and said.endswith("The GPU is gone.") and said == text_of(events)
    assert stored(assistant)[-1].text == said


def test_a_model_that_leaves_with_cancelled_keeps_what_it_said(furnish: Callable[..., Assistant]) -> None:
    assistant = furnish(["It is ", Cancelled("Stopped.")])
    assert ending(list(assistant.chat("What is it?"))).message == stored(assistant)[-1]
    assert stored(assistant)[-1].text == "It is "


def test_tools_for_attached_files_run_once_before_the_model_speaks(
    furnish: Callable[..., Assistant], tmp_path: Path
) -> None:
    paths = [tmp_path / name for name in ("one.txt", "two.txt")]
    for path in paths:
        path.write_text(path.name)
    assistant = furnish(["Two files."], ["Still two."], ["Three."], tools=[weigh])
    turn = assistant.chat("What are they?", paths)
    events = list(turn)
    assert results(events) == [("one.txt weighs nothing.", False), ("two.txt weighs nothing.", False)]
    assert [m.result is not None for m in asked(assistant)[0][0]] == [False, True, True]
    again = list(assistant.retry(turn.conversation))
    assert text_of(again) == "Still two." and results(again) == []
    assert asked(assistant)[1][0] == asked(assistant)[0][0]
    list(assistant.chat("And now?", paths[:1], turn.conversation))
    assert weighed == ["one.txt", "two.txt", "one.txt"]


DOUBT = "\n\n⚠ Not found in the tools' results: “42”, “Paris”. Check it before you rely on it."


def test_what_no_tool_returned_is_told_below_the_answer(make_assistant: Callable[..., Assistant]) -> None:
    assistant = make_assistant(["Asking Rome …", COUNT], ["It has 42 letters, ", "they say in Paris."])
    events = list(assistant.chat("How many letters has lamp?"))
    assert events[-2] == TextDelta(DOUBT)
    last = ending(events)
    assert last.message.text == f"It has 42 letters, they say in Paris.{DOUBT}" and not last.stopped
    assert stored(assistant)[-1] == last.message


@pytest.mark.parametrize("said", ["It has 4 letters.", "It has four letters, as Anna said."])
def test_an_answer_that_stands_on_results_and_words_is_left_alone(
    make_assistant: Callable[..., Assistant], said: str
) -> None:
    assistant = make_assistant(["Hello Anna."], [COUNT], [said])
    turn = assistant.chat("I am Anna")
    list(turn)
    assert text_of(list(assistant.chat("How many?", conversation=turn.conversation))) == said


def test_an_attached_file_and_its_results_are_ground(furnish: Callable[..., Assistant], letter_file: Path) -> None:
    again = ToolCall("again", "weigh", {"document": "document-1"})
    assistant = furnish([again], ["It is in letter.txt, which weighs nothing.", " Or in Rome."], tools=[weigh])
    assert text_of(list(assistant.chat("Where?", [letter_file]))).endswith(
        "results: “Rome”. Check it before you rely on it."
    )


def test_an_answer_about_a_file_without_a_call_may_say_what_everybody_knows(
    furnish: Callable[..., Assistant], letter_file: Path
) -> None:
    assistant = furnish(["It was sent from Rome in 1889."], tools=[weigh])
    assert text_of(list(assistant.chat("Where?", [letter_file]))) == "It was sent from Rome in 1889."


def test_work_that_no_tool_did_is_told_below_the_answer(make_assistant: Callable[..., Assistant]) -> None:
    events = list(make_assistant(["I've painted a fox for you."]).chat("Paint a fox"))
    assert text_of(events) == "I've painted a fox for you.\n\n⚠ Nothing was painted: no tool did that."
    assert ending(events).message.text == text_of(events)


def test_work_of_a_tool_is_known_by_its_description(furnish: Callable[..., Assistant]) -> None:
    assistant = furnish([DYE], ["I've painted it red."], tools=[dye])
    assert text_of(list(assistant.chat("Make the lamp red"))) == "I've painted it red."


def test_a_stopped_answer_is_not_judged(make_assistant: Callable[..., Assistant]) -> None:
    turn = make_assistant(["I painted a fox. ", "It is red."]).chat("Paint a fox")
    assert next(turn) == TextDelta("I painted a fox. ")
    turn.cancel()
    assert text_of(list(turn)) == ""
