"""Conversations go out and come back whole, and nothing broken or hostile comes in."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from assistant import Assistant
from assistant.errors import BadInput
from assistant.exports import BODY, FILES
from assistant.settings import Settings
from tests.conftest import call

Make = Callable[..., Assistant]


@pytest.fixture
def talked(make_assistant: Make, picture: Path) -> tuple[Assistant, str]:
    """A conversation with a picture, a tool's step and two answers, the first of which is shown."""
    assistant = make_assistant([call("turn_image", image="image-1")], ["Turned | for you."], ["Turned again."])
    turn = assistant.chat("Turn it\nplease", [picture])
    list(turn)
    here = turn.conversation
    first = assistant.conversations.path(here)[-1].id
    list(assistant.retry(here))
    assistant.conversations.show(here, first)
    assistant.conversations.rename(here, "A red picture")
    return assistant, here


def repacked(exported: bytes, change: Callable[[dict[str, Any]], None], **files: bytes) -> bytes:
    """Return an export with another body, and other contents of files."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(exported)) as old, zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as new:
        for name in old.namelist():
            content = old.read(name)
            if name == BODY:
                body = json.loads(content)
                change(body)
                content = json.dumps(body).encode()
            new.writestr(name, files.get(name.removeprefix(FILES), content))
    return buffer.getvalue()


def test_markdown_is_what_was_shown(talked: tuple[Assistant, str]) -> None:
    assistant, here = talked
    text = assistant.export(here, "md").decode()
    assert text.startswith("# A red picture\n\n## You\n\n- `image-1` red.png\n\nTurn it\nplease\n")
    assert '> **turn_image** `{"image": "image-1"' in text
    assert "> `image-2` turn_image.png" in text
    assert text.endswith("## Maru\n\nTurned | for you.\n")
    assert "again" not in text


def test_json_has_all_branches_and_receipts(talked: tuple[Assistant, str]) -> None:
    assistant, here = talked
    whole = json.loads(assistant.export(here, "json"))
    texts = [message["text"] for message in whole["messages"]]
    assert "Turned | for you." in texts and "Turned again." in texts
    assert any(message["result"] and message["result"]["receipt"]["seconds"] >= 0 for message in whole["messages"])
    assert [file["id"] for file in whole["artifacts"]] == ["image-1", "image-2"]


def test_a_zip_comes_back_on_another_machine(talked: tuple[Assistant, str], tmp_path: Path) -> None:
    assistant, here = talked
    exported = assistant.export(here, "zip")
    other = Assistant(Settings(data=tmp_path / "elsewhere"), "local", assistant.model, [])
    there = other.take_in(exported)
    shown, again = assistant.conversations.path(here), other.conversations.path(there)
    assert [(m.role, m.text, m.result) for m in again] == [(m.role, m.text, m.result) for m in shown]
    assert other.artifacts(there) == assistant.artifacts(here)
    for file in other.artifacts(there):
        assert other.path(file).read_bytes() == assistant.path(file).read_bytes()
    assert [one.title for one in other.conversations.all()] == ["A red picture"]
    assert json.loads(other.export(there, "json"))["messages"].__len__() == len(assistant.conversations.tree(here))
    other.close()


def test_it_can_come_back_beside_the_original(talked: tuple[Assistant, str]) -> None:
    assistant, here = talked
    there = assistant.take_in(assistant.export(here, "zip"))
    assert there != here
    assert len(assistant.conversations.all()) == 2
    assert [m.text for m in assistant.conversations.path(there)] == [m.text for m in assistant.conversations.path(here)]


def set_parent(body: dict[str, Any]) -> None:
    body["messages"][1]["parent"] = "nobody"


def set_twice(body: dict[str, Any]) -> None:
    body["messages"][1]["id"] = body["messages"][0]["id"]


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        (lambda body: body.update(maru=99), "version 99"),
        (lambda body: body.pop("messages"), "damaged"),
        (lambda body: body["messages"][0].update(role="nobody"), "damaged"),
        (set_parent, "hang together"),
        (set_twice, "hang together"),
        (lambda body: body.update(head="nobody"), "contradicts"),
        (lambda body: body["artifacts"].append(body["artifacts"][0]), "contradicts"),
        (lambda body: body["artifacts"][0].update(digest="0" * 64), "damaged"),
        (lambda body: body["artifacts"][0].update(digest="../../secret"), "damaged"),
        (lambda body: body["artifacts"][0].update(kind="document"), "is no image/png"),
        (lambda body: body["artifacts"][0].update(media_type="text/html"), "is no text/html"),
    ],
)
def test_what_does_not_fit_together_is_refused(
    talked: tuple[Assistant, str], change: Callable[[dict[str, Any]], None], complaint: str
) -> None:
    assistant, here = talked
    with pytest.raises(BadInput, match=complaint):
        assistant.take_in(repacked(assistant.export(here, "zip"), change))
    assert [one.id for one in assistant.conversations.all()] == [here]


def test_other_contents_under_a_name_are_refused(talked: tuple[Assistant, str], letter: Path) -> None:
    assistant, here = talked
    digest = assistant.artifacts(here)[0].digest
    with pytest.raises(BadInput, match="not what was exported"):
        assistant.take_in(repacked(assistant.export(here, "zip"), lambda body: None, **{digest: letter.read_bytes()}))


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 no zip", b"%PDF-1.7 something else"])
def test_another_file_is_refused(make_assistant: Make, content: bytes) -> None:
    with pytest.raises(BadInput, match="no conversation that Maru exported"):
        make_assistant().take_in(content)


def test_a_bomb_is_not_unpacked(talked: tuple[Assistant, str], settings: Settings) -> None:
    assistant, here = talked
    digest = assistant.artifacts(here)[0].digest
    bomb = repacked(assistant.export(here, "zip"), lambda body: None, **{digest: b"\0" * 200_000_000})
    assert len(bomb) < 1_000_000
    with pytest.raises(BadInput, match="has more than"):
        assistant.take_in(bomb)
