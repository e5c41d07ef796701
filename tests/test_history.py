"""Conversations are trees that lose nothing, written as things happen."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from assistant import Assistant, history
from assistant.database import Database
from assistant.errors import BadInput
from assistant.history import History
from assistant.settings import Settings
from assistant.types import Artifact, Message, Receipt, ToolCall, ToolResult
from tests.conftest import DEMO_TOOLS, ScriptedModel

REPOSITORY = Path(__file__).parent.parent
DEATH = """
import os, sys
from pathlib import Path
from assistant import Assistant
from assistant.settings import Settings
from assistant.types import CallStarted
from tests.conftest import DEMO_TOOLS, ScriptedModel, call

class Mortal(ScriptedModel):
    def reply(self, messages, tools, stop):
        for part in super().reply(messages, tools, stop):
            if part == "die":
                os._exit(7)
            yield part

model = Mortal(*{replies})
assistant = Assistant(Settings(data=Path(sys.argv[1])), "local", model, DEMO_TOOLS)
for event in assistant.chat("Count the letters of lamp."):
    if isinstance(event, CallStarted) and event.call.arguments["text"] == "die":
        os._exit(7)
"""


@pytest.fixture
def past(tmp_path: Path) -> Iterator[History]:
    database = Database(tmp_path / "test.sqlite", history.SCHEMA)
    yield History(database)
    database.close()


@pytest.fixture
def die(tmp_path: Path) -> Callable[[str], list[Message]]:
    """Run a turn in a process that dies in the middle of it; return what another process then finds."""

    def run(replies: str) -> list[Message]:
        command = [sys.executable, "-c", DEATH.format(replies=replies), str(tmp_path / "data")]
        died = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, timeout=120, check=False)
        assert died.returncode == 7, died.stderr
        later = Assistant(Settings(data=tmp_path / "data"), "local", ScriptedModel(), DEMO_TOOLS)
        assert later.notice is None
        (conversation,) = later.conversations.all()
        path = later.conversations.path(conversation.id)
        later.close()
        return path

    return run


def say(past: History, conversation: str, *ids: str) -> list[Message]:
    """Write a chain of messages below the head, by turns of the person and the assistant."""
    written = []
    for i, name in enumerate(ids):
        path = past.path(conversation)
        role = "assistant" if i % 2 else "user"
        written.append(Message(name, path[-1].id if path else None, role, f"{name} says"))
        past.write(conversation, written[-1])
    return written


def test_a_conversation_is_the_path_from_its_root_to_its_head(past: History) -> None:
    one, other = past.create(), past.create()
    written = say(past, one, "a", "b", "c")
    say(past, other, "x")
    assert past.path(one) == written
    assert [message.parent for message in past.path(one)] == [None, "a", "b"]


def test_a_new_or_unknown_conversation_is_an_empty_path(past: History) -> None:
    assert past.path(past.create()) == past.path("nowhere") == []


def test_another_answer_is_a_branch_and_the_first_one_stays(past: History) -> None:
    here = past.create()
    question, first = say(past, here, "question", "first")
    past.move_head(here, "question")
    second = Message("second", "question", "assistant", "Another answer.")
    past.write(here, second)
    assert past.path(here) == [question, second]
    past.move_head(here, "first")
    assert past.path(here) == [question, first]


def test_undone_messages_stay_in_the_tree(past: History) -> None:
    here = past.create()
    written = say(past, here, "a", "b", "c", "d")
    past.move_head(here, "b")
    assert past.path(here) == written[:2]
    past.move_head(here, None)
    assert past.path(here) == []
    past.move_head(here, "d")
    assert past.path(here) == written


def test_growing_text_is_one_message(past: History) -> None:
    here = past.create()
    (question,) = say(past, here, "question")
    for text in ("One.", "One. Two.", "One. Two. Three."):
        past.write(here, Message("answer", "question", "assistant", text))
    assert past.path(here) == [question, Message("answer", "question", "assistant", "One. Two. Three.")]


def test_a_title_is_the_first_thing_said_on_one_line_and_cut(past: History) -> None:
    here = past.create()
    past.write(here, Message("a", None, "user", f"What  is\nthis? {'x' * 99}"))
    past.write(here, Message("b", "a", "assistant", "No idea."))
    assert past.all()[0].title == f"What is this? {'x' * 99}"[: history.TITLE_CHARACTERS]


def test_a_message_of_files_alone_is_titled_by_their_names(past: History) -> None:
    here = past.create()
    files = tuple(Artifact(f"image-{i}", "image", "image/png", f"{i}.png", "0" * 64, 1) for i in (1, 2))
    past.write(here, Message("a", None, "user", "", files))
    assert past.all()[0].title == "1.png, 2.png"


def test_the_newest_conversation_comes_first_and_empty_ones_are_left_out(past: History) -> None:
    one, two, _ = past.create(), past.create(), past.create()
    say(past, one, "a")
    say(past, two, "b")
    assert [conversation.id for conversation in past.all()] == [two, one]
    say(past, one, "c")
    newest, oldest = past.all()
    assert (newest.id, oldest.id) == (one, two) and newest.updated >= oldest.updated


def test_a_message_comes_back_as_it_was_written(past: History) -> None:
    here = past.create()
    file = Artifact("image-1", "image", "image/png", "Bär 🐻.png", "0" * 64, 12)
    call = ToolCall("call-1", "turn_image", {"image": "image-1", "degrees": 90, "deep": {"list": [1, None, 2.5]}})
    receipt = Receipt(1.25, ("BLIP-2@abc",), 7, ("1" * 64,))
    result = ToolResult(call, "Turned.", {"picture": "image-2", "boxes": [[1, 2]]}, (file,), False, receipt)
    messages = [
        Message("a", None, "user", "Turn it\u2028 please 🐻", (file,)),
        Message("b", "a", "assistant", "", calls=(call, call)),
        Message("c", "b", "tool", result=result),
        Message("d", "c", "tool", result=ToolResult(call, "Broken.", failed=True)),
    ]
    for message in messages:
        past.write(here, message)
    assert past.path(here) == messages


def test_an_unknown_conversation_is_refused(past: History) -> None:
    past.require(past.create())
    with pytest.raises(BadInput, match=r"no conversation 'nowhere'\. Begin a new one"):
        past.require("nowhere")


def test_what_was_said_before_the_process_died_is_there(die: Callable[[str], list[Message]]) -> None:
    path = die('[["I count. ", call("count_letters", text="lamp")], ["It has four. ", "Is th", "die"]]')
    assert [message.role for message in path] == ["user", "assistant", "tool", "assistant"]
    assert [path[0].text, path[1].text] == ["Count the letters of lamp.", "I count. "]
    assert path[1].calls[0].name == "count_letters"
    assert path[2].result is not None and path[2].result.data == 4
    assert path[3].text.startswith("It has four.")


def test_a_call_that_the_process_died_in_is_there(die: Callable[[str], list[Message]]) -> None:
    path = die('[["I count. ", call("count_letters", text="die")]]')
    assert [message.role for message in path] == ["user", "assistant"]
    assert path[1].calls[0].arguments == {"text": "die"}


def test_a_conversation_is_called_what_a_person_says(past: History) -> None:
    here = past.create()
    say(past, here, "a")
    past.entitle(here, "Greetings")
    assert past.all()[0].title == "Greetings"
    past.rename(here, "  My\n talk ")
    past.entitle(here, "Greetings again")
    say(past, here, "b")
    assert past.all()[0].title == "My talk"
    with pytest.raises(BadInput, match="needs a name"):
        past.rename(here, " \n")
    with pytest.raises(BadInput, match="no conversation"):
        past.rename("nowhere", "x")


def test_pinned_conversations_stay_at_the_top(past: History) -> None:
    one, two = past.create(), past.create()
    say(past, one, "a")
    say(past, two, "b")
    past.pin(one, True)
    assert [(found.id, found.pinned) for found in past.all()] == [(one, True), (two, False)]
    past.pin(one, False)
    assert [found.id for found in past.all()] == [two, one]


def test_what_was_deleted_can_be_brought_back_until_it_is_forgotten(past: History) -> None:
    one, two = past.create(), past.create()
    written = say(past, one, "a", "b")
    say(past, two, "x")
    past.delete(one)
    assert [found.id for found in past.all()] == [two]
    assert [hit.message for hit in past.search("says")] == ["x"]
    with pytest.raises(BadInput, match="no conversation"):
        past.require(one)
    assert past.forget(60) == []
    past.restore(one)
    assert past.path(one) == written
    past.delete(one)
    assert past.forget(0) == [one]
    assert past.path(one) == []
    with pytest.raises(BadInput, match="no conversation"):
        past.restore(one)
    assert [found.id for found in past.all()] == [two]


def test_every_message_with_others_in_its_place_knows_them(past: History) -> None:
    here = past.create()
    say(past, here, "question", "first", "more", "end")
    past.move_head(here, "question")
    past.write(here, Message("second", "question", "assistant", "Another answer."))
    assert past.versions(here) == {"second": ("first", "second")}
    past.show(here, "first")
    assert [message.id for message in past.path(here)] == ["question", "first", "more", "end"]
    assert past.versions(here) == {"first": ("first", "second")}
    past.show(here, "second")
    assert [message.id for message in past.path(here)] == ["question", "second"]
    with pytest.raises(BadInput, match="not in this conversation"):
        past.show(here, "elsewhere")


def test_a_branch_is_shown_as_it_was_last(past: History) -> None:
    here = past.create()
    say(past, here, "a", "b")
    past.write(here, Message("c1", "b", "user", "one"))
    past.write(here, Message("c2", "b", "user", "two"))
    past.write(here, Message("a2", None, "user", "other beginning"))
    past.show(here, "a")
    assert [message.id for message in past.path(here)] == ["a", "b", "c2"]
    assert past.versions(here) == {"a": ("a", "a2"), "c2": ("c1", "c2")}


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("parcel", ["The Parcel"]),
        ("PARCEL rott", ["The Parcel"]),
        ("고양이", ["고양이가"]),
        ("사과", ["고양이가"]),
        ("100%", ["It is 100%"]),
        ("0_", []),
        ('"quoted" OR x', []),
        ('say "hi"', ['They say "hi"']),
        ("hold four", ["It is 100%"]),
        ("  ", []),
        ("nothing of this", []),
    ],
)
def test_messages_are_found_by_their_words(past: History, query: str, found: list[str]) -> None:
    here = past.create()
    texts = ("The Parcel leaves Rotterdam.", "고양이가 사과를 먹어요", "It is 100% sure", 'They say "hi" to you')
    for number, text in enumerate(texts):
        past.write(here, Message(str(number), str(number - 1) if number else None, "user", text))
    result = ToolResult(ToolCall("1", "count", {}), "They hold four keys.")
    past.write(here, Message("2", "1", "tool", "It is 100% sure", result=result))
    hits = past.search(query)
    assert [texts[int(hit.message)][: len(start)] for hit, start in zip(hits, found, strict=True)] == found
    assert all(hit.conversation == here and hit.title == "The Parcel leaves Rotterdam." for hit in hits)


def test_a_hit_shows_what_stands_around_it(past: History) -> None:
    here = past.create()
    past.write(here, Message("a", None, "user", f"{'x ' * 99}Needle {'y ' * 99}"))
    (hit,) = past.search("needle")
    assert hit.found == "Needle"
    assert hit.before.startswith("…") and hit.before.endswith("x ")
    assert hit.after.startswith(" y") and hit.after.endswith("…")


def test_text_that_grows_is_found_by_its_last_words(past: History) -> None:
    here = past.create()
    for text in ("The ans", "The answer is late"):
        past.write(here, Message("a", None, "assistant", text))
    assert len(past.search("late")) == len(past.search("answer")) == 1


def test_a_repaired_database_finds_words_again(tmp_path: Path) -> None:
    path = tmp_path / "test.sqlite"
    database = Database(path, history.SCHEMA)
    past = History(database)
    here = past.create()
    say(past, here, "lighthouse")
    database.close()
    content = bytearray(path.read_bytes())
    content[0:16] = b"not a database!!"
    path.write_bytes(content)
    repaired = Database(path, history.SCHEMA)
    assert repaired.repaired
    again = History(repaired)
    assert again.search("lighthouse") == []  # nothing could be read of a file without its head
    say(again, again.create(), "harbour")
    assert len(again.search("harbour")) == 1
    repaired.close()
