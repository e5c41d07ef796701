"""The façade: talk, retry, undo, stop and call tools, each owner in a folder of their own."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image as Pictures

from assistant import Assistant
from assistant.errors import AssistantError, BadInput, BadToolCall
from assistant.settings import Settings
from assistant.tools import Run, tool
from assistant.types import CallProgress, TextDelta, ToolResult, TurnFinished
from tests.conftest import DEMO_TOOLS, ScriptedModel, call, text_of

Make = Callable[..., Assistant]


def talk(assistant: Assistant, text: str, *files: Path, conversation: str | None = None) -> tuple[str, str]:
    """Say something; return the answer and the conversation."""
    turn = assistant.chat(text, files, conversation)
    return text_of(list(turn)), turn.conversation


def texts(assistant: Assistant, conversation: str) -> list[str]:
    return [message.text for message in assistant.conversations.path(conversation)]


def test_a_chat_goes_on_in_its_conversation(make_assistant: Make) -> None:
    assistant = make_assistant(["Good day."], ["Red."], ["Hello again."])
    answer, here = talk(assistant, "  Hello ")
    assert answer == "Good day."
    assert talk(assistant, "What is red?", conversation=here) == ("Red.", here)
    assert texts(assistant, here) == ["Hello", "Good day.", "What is red?", "Red."]
    _, there = talk(assistant, "Hello")
    assert there != here and [c.id for c in assistant.conversations.all()] == [there, here]


def test_files_get_handles_in_their_conversation(make_assistant: Make, picture: Path, letter: Path) -> None:
    assistant = make_assistant([call("turn_image", image="image-2")], ["Turned."])
    _, here = talk(assistant, "Turn the second", picture, letter)
    assert [(file.id, file.name) for file in assistant.artifacts(here)] == [
        ("image-1", "red.png"),
        ("image-2", "letter.png"),
        ("image-3", "turn_image.png"),
    ]
    assert assistant.path(assistant.artifacts(here)[0]).read_bytes() == picture.read_bytes()
    assert assistant.conversations.path(here)[0].artifacts == tuple(assistant.artifacts(here)[:2])


@pytest.mark.parametrize("text", ["", " \n "])
def test_nothing_said_is_refused(make_assistant: Make, text: str) -> None:
    assistant = make_assistant()
    with pytest.raises(BadInput, match=r"Write a message or attach a file"):
        assistant.chat(text)
    assert assistant.conversations.all() == []


def test_a_file_alone_is_a_message(make_assistant: Make, picture: Path) -> None:
    assert talk(make_assistant(["A red one."]), "", picture)[0] == "A red one."


def test_a_bad_file_is_named_and_nothing_was_said(make_assistant: Make, picture: Path, tmp_path: Path) -> None:
    assistant = make_assistant(["Good day."], ["A red one."])
    _, here = talk(assistant, "Hello")
    bad = tmp_path / "bad.png"
    bad.write_bytes(bytes(range(256)))
    for conversation in (here, None):
        with pytest.raises(BadInput, match=r"'bad\.png' is no file that Maru reads"):
            assistant.chat("What is it?", [picture, bad], conversation)
    assert texts(assistant, here) == ["Hello", "Good day."] and assistant.artifacts(here) == []
    assert [conversation.id for conversation in assistant.conversations.all()] == [here]
    assert talk(assistant, "What is it?", picture, conversation=here) == ("A red one.", here)


def test_an_unknown_conversation_is_refused(make_assistant: Make) -> None:
    assistant = make_assistant()
    for attempt in (lambda: assistant.chat("Hello", conversation="nowhere"), lambda: assistant.retry("nowhere")):
        with pytest.raises(BadInput, match=r"no conversation 'nowhere'"):
            attempt()


def test_retry_answers_the_last_message_anew(make_assistant: Make) -> None:
    assistant = make_assistant(["One."], ["Red."], ["Blue."], ["Why not?"])
    _, here = talk(assistant, "Count")
    talk(assistant, "Choose a colour", conversation=here)
    red = assistant.conversations.path(here)[-1]
    assert text_of(list(assistant.retry(here))) == "Blue."
    assert texts(assistant, here) == ["Count", "One.", "Choose a colour", "Blue."]
    assistant.conversations.move_head(here, red.id)
    assert texts(assistant, here)[-1] == "Red.", "the first answer is still in the tree"


def test_there_is_nothing_to_retry_in_a_new_conversation(make_assistant: Make) -> None:
    assistant = make_assistant(["Hello."])
    here = assistant.conversations.create()
    with pytest.raises(BadInput, match=r"no message to answer again"):
        assistant.retry(here)
    assert talk(assistant, "Hello", conversation=here) == ("Hello.", here), "it is not left busy"


def undone(assistant: Assistant, conversation: str) -> str | None:
    said = assistant.undo(conversation)
    return said and said.text


def test_an_earlier_answer_can_be_given_anew(make_assistant: Make) -> None:
    assistant = make_assistant(["One."], ["Two."], ["Another one."])
    _, here = talk(assistant, "First", conversation=None)
    talk(assistant, "Second", conversation=here)
    (_, first, *_) = assistant.conversations.path(here)
    assert text_of(list(assistant.retry(here, first.id))) == "Another one."
    assert texts(assistant, here) == ["First", "Another one."]
    assistant.conversations.show(here, first.id)
    assert texts(assistant, here) == ["First", "One.", "Second", "Two."]


def test_a_message_can_be_said_otherwise_with_its_files(make_assistant: Make, picture: Path) -> None:
    assistant = make_assistant(["Red."], ["Thanks."], ["Turned."])
    _, here = talk(assistant, "What is it?", picture)
    talk(assistant, "Good", conversation=here)
    old = assistant.conversations.path(here)
    assert text_of(list(assistant.edit(here, old[0].id, " Turn it "))) == "Turned."
    new = assistant.conversations.path(here)
    assert [message.text for message in new if message.role != "tool"] == ["Turn it", "Turned."]
    assert new[0].artifacts == old[0].artifacts
    assert [m.result for m in new if m.role == "tool"] == [m.result for m in old if m.role == "tool"]
    assert assistant.conversations.versions(here) == {new[0].id: (old[0].id, new[0].id)}
    assistant.conversations.show(here, old[0].id)
    assert assistant.conversations.path(here) == old


def test_what_is_not_there_cannot_be_said_otherwise(make_assistant: Make) -> None:
    assistant = make_assistant(["Hello."])
    _, here = talk(assistant, "Hi")
    before = assistant.conversations.path(here)
    for message, text, complaint in (("nowhere", "x", "not shown"), (before[0].id, "  ", "nothing to answer")):
        with pytest.raises(BadInput, match=complaint):
            assistant.edit(here, message, text)
    assert assistant.conversations.path(here) == before
    assert talk(make_assistant(["Again."]), "Hi")[0] == "Again."


def test_undo_takes_back_one_message_and_its_answer(make_assistant: Make) -> None:
    assistant = make_assistant(["One."], [call("count_letters", text="red")], ["Three."], ["Two."])
    _, here = talk(assistant, "Count")
    talk(assistant, "Count red", conversation=here)
    assert undone(assistant, here) == "Count red" and texts(assistant, here) == ["Count", "One."]
    assert talk(assistant, "Go on", conversation=here)[0] == "Two."
    assert [undone(assistant, here) for _ in range(3)] == ["Go on", "Count", None]
    assert texts(assistant, here) == []


def test_stop_ends_the_running_turn(make_assistant: Make) -> None:
    assistant = make_assistant(["One ", "two."])
    turn = assistant.chat("Count")
    next(turn)
    assistant.stop("another")
    assistant.stop(turn.conversation)
    (last,) = turn
    assert isinstance(last, TurnFinished) and last.stopped and last.message.text == "One "
    assistant.stop(turn.conversation)


def test_a_second_message_waits_for_the_first_answer(make_assistant: Make) -> None:
    assistant = make_assistant(["One."], ["Elsewhere."], ["Two."])
    turn = assistant.chat("Count")
    assert next(turn) == TextDelta("One.")
    here = turn.conversation
    more = (lambda: assistant.chat("More", conversation=here), lambda: assistant.retry(here))
    for attempt in (*more, lambda: assistant.undo(here)):
        with pytest.raises(BadInput, match=r"still answering\. Wait for it, or press Stop"):
            attempt()
    assert talk(assistant, "Hello")[0] == "Elsewhere."
    list(turn)
    assert talk(assistant, "More", conversation=here)[0] == "Two."
    assert texts(assistant, here) == ["Count", "One.", "More", "Two."]


def test_a_turn_closed_before_its_first_event_lets_go(make_assistant: Make) -> None:
    assistant = make_assistant(["Two."])
    turn = assistant.chat("Count")
    turn.close()
    newer = assistant.chat("More", conversation=turn.conversation)
    turn.close()
    with pytest.raises(BadInput, match=r"still answering"):
        assistant.chat("Even more", conversation=turn.conversation)
    assert text_of(list(newer)) == "Two."


def test_a_call_takes_a_path_a_picture_or_a_handle(make_assistant: Make, picture: Path) -> None:
    assistant = make_assistant(["Nice."])
    _, here = talk(assistant, "Look", picture)
    for image in (picture, str(picture), Pictures.new("RGB", (40, 20)), "image-1"):
        result = assistant.call("turn_image", conversation=here, image=image, degrees="90")
        assert not result.failed and result.receipt is not None and result.receipt.seed == 0
        with Pictures.open(assistant.path(result.artifacts[0])) as turned:
            assert turned.size == (20, 40)
    assert assistant.call("count_letters", text="lamp").data == 4


def test_a_call_without_a_conversation_leaves_no_trace_in_the_list(make_assistant: Make, picture: Path) -> None:
    assistant = make_assistant()
    assert assistant.call("turn_image", image=picture).data == "image-2"
    assert assistant.conversations.all() == []


def test_a_call_tells_progress_on_the_way(make_assistant: Make, picture: Path) -> None:
    running = make_assistant().start_call("turn_image", {"image": picture}, threading.Event())
    report = next(running)
    assert isinstance(report, CallProgress) and (report.fraction, report.note) == (0.5, "turning")
    with pytest.raises(StopIteration) as end:
        next(running)
    assert isinstance(end.value.value, ToolResult)


def test_an_unknown_tool_is_answered_with_the_tools(make_assistant: Make) -> None:
    with pytest.raises(BadToolCall, match=r"no tool 'fly'\. The tools are: turn_image, count_letters, break_down"):
        make_assistant().call("fly")


def test_a_call_that_goes_wrong_says_so_in_its_result(make_assistant: Make) -> None:
    assistant = make_assistant()
    assert assistant.call("break_down").failed and assistant.call("break_down", loudly=True).failed
    for image, complaint in ((5, "'image' is 5: input should be a valid string"), (None, "'image' is None")):
        result = assistant.call("turn_image", image=image)
        assert result.failed and complaint in result.text


def test_a_call_with_a_path_that_is_none_is_refused(make_assistant: Make, tmp_path: Path) -> None:
    for path in (tmp_path / "missing.png", "image-1", "x" * 5000):
        with pytest.raises(AssistantError, match=r"Check the path"):
            make_assistant().call("turn_image", image=path)


def test_closing_stops_what_runs(settings: Settings) -> None:
    stopped = threading.Event()

    @tool
    def listen(*, run: Run) -> str:
        """Wait until stopped."""
        run.progress(None)
        if run.stop.wait(30):
            stopped.set()
        return ""

    assistant = Assistant(settings, "local", ScriptedModel([call("listen")]), [*DEMO_TOOLS, listen])
    turn = assistant.chat("Listen")
    while not isinstance(next(turn), CallProgress):
        pass
    assistant.close()
    assert stopped.wait(30)


def test_two_owners_see_nothing_of_each_other(make_assistant: Make, picture: Path) -> None:
    ann, bob = make_assistant(["Hello Ann."], owner="ann"), make_assistant(["Hello Bob."], owner="bob")
    _, here = talk(ann, "I am Ann", picture)
    assert bob.conversations.all() == [] and bob.conversations.path(here) == []
    assert bob.artifacts(here) == []
    for attempt in (lambda: bob.chat("Who is Ann?", conversation=here), lambda: bob.retry(here)):
        with pytest.raises(BadInput, match=r"no conversation"):
            attempt()
    with pytest.raises(BadInput, match=r"no conversation"):
        bob.call("turn_image", conversation=here, image="image-1")
    with pytest.raises(BadInput, match=r"no file 'image-1'"):
        bob.call("turn_image", image="image-1")
    assert not bob.path(ann.artifacts(here)[0]).exists()


@pytest.mark.parametrize("owner", ["", "-", "../ann", "a/b", "a b", "ann.", "ann\0"])
def test_an_owner_has_only_letters_digits_and_hyphens(make_assistant: Make, settings: Settings, owner: str) -> None:
    with pytest.raises(BadInput, match=r"only letters, digits and hyphens"):
        make_assistant(owner=owner)
    assert not settings.data.exists()


def test_a_conversation_survives_a_new_start(make_assistant: Make, picture: Path) -> None:
    first = make_assistant([call("turn_image", image="image-1")], ["Turned."])
    _, here = talk(first, "Turn it", picture)
    path, files = first.conversations.path(here), first.artifacts(here)
    first.close()
    second = make_assistant(["As I said."])
    assert second.notice is None
    assert [(c.id, c.title) for c in second.conversations.all()] == [(here, "Turn it")]
    assert second.conversations.path(here) == path and second.artifacts(here) == files
    assert talk(second, "Well?", conversation=here)[0] == "As I said."
    assert second.call("turn_image", conversation=here, image="image-2").data == "image-3"


def test_words_and_names_that_are_no_text_are_kept_readable(make_assistant: Make, picture: Path) -> None:
    odd = picture.rename(picture.with_name("re\udcffd.png"))
    assistant = make_assistant(["Hello."])
    answer, here = talk(assistant, "half an emoji: \ud83d", odd)
    assert answer == "Hello."
    assert texts(assistant, here)[0] == "half an emoji: ?"
    assert assistant.artifacts(here)[0].name == "re?d.png"


def test_deleted_conversations_leave_nothing_behind_after_a_day(
    make_assistant: Make, settings: Settings, picture: Path, letter: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assistant = make_assistant(["Red."], ["A letter."])
    _, here = talk(assistant, "What is it?", picture, letter)
    _, there = talk(assistant, "And this?", picture)
    shared, alone = assistant.artifacts(here)
    assistant.conversations.delete(here)
    assert [one.id for one in Assistant(settings, model=assistant.model, tools=[]).conversations.all()] == [there]
    assert assistant.path(alone).exists(), "it can still be brought back"
    monkeypatch.setattr("assistant.assistant.KEPT_SECONDS", 0)
    later = Assistant(settings, model=assistant.model, tools=[])
    assert later.artifacts(here) == []
    assert (assistant.path(alone).exists(), assistant.path(shared).exists()) == (False, True)
    with pytest.raises(BadInput, match="no conversation"):
        later.conversations.restore(here)
    assert len(later.conversations.path(there)) >= 2
    later.close()
