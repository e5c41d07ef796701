"""Messages and events become bubbles, and nothing in them is rendered that should not be."""

from __future__ import annotations

from assistant.types import Artifact, Message, Receipt, ToolCall, ToolResult
from assistant.ui.bubbles import answer, bubbles_of, finished, progressed, started

PICTURE = Artifact("image-1", "image", "image/png", "red.png", "aa", 1)
CALL = ToolCall("c1", "turn_image", {"image": "image-1", "degrees": 90})


def address(artifact: Artifact) -> str:
    return f"/cache/{artifact.id}.png"


def test_a_stored_conversation_is_drawn_in_order() -> None:
    result = ToolResult(CALL, "done", artifacts=(PICTURE,), receipt=Receipt(1.5, ("m@1",)))
    messages = [
        Message("1", None, "user", "Turn it.", artifacts=(PICTURE,)),
        Message("2", "1", "assistant", calls=(CALL,)),
        Message("3", "2", "tool", result=result),
        Message("4", "3", "assistant", "Here it is."),
    ]
    said, step, picture, words = bubbles_of(messages, address)
    assert [part.get("text", part.get("path")) for part in said["content"]] == [
        "/cache/image-1.png",
        "`image-1` red.png",
        "Turn it.",
    ]
    assert step["metadata"] == {
        "title": '⚙ turn_image(image="image-1", degrees=90)',
        "status": "done",
        "id": "c1",
        "duration": 1.5,
    }
    assert "m@1" in step["content"]
    assert picture["content"]["path"] == "/cache/image-1.png"
    assert words == {"role": "assistant", "content": "Here it is."}


def test_a_running_step_spins_and_tells_how_far_it_is() -> None:
    assert started(CALL)["metadata"]["status"] == "pending"
    assert progressed(CALL, 0.5, "turning")["content"] == "turning 50%"
    assert progressed(CALL, None, "turning")["content"] == "turning"


def test_a_failed_step_says_so() -> None:
    (step,) = finished(ToolResult(CALL, "It broke.", failed=True), address)
    assert step["metadata"]["title"].startswith("⚠ turn_image(")
    assert step["metadata"]["title"].endswith("failed")


def test_what_a_tool_returns_stays_inside_its_code_block() -> None:
    sly = "```\n![x](http://elsewhere/pixel.png)\n<img src=http://elsewhere/>"
    (step,) = finished(ToolResult(CALL, sly), address)
    assert step["content"] == f"````text\n{sly}\n````"


def test_words_load_no_picture_from_elsewhere() -> None:
    drawn = answer("look ![x](http://elsewhere/pixel.png) <img src=y>")["content"]
    assert "![" not in drawn
    assert "<img" not in drawn


def test_a_long_result_is_cut_and_counted() -> None:
    (step,) = finished(ToolResult(CALL, "x" * 5000), address)
    assert "… and 3000 more characters" in step["content"]
