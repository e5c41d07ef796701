"""Messages and events become bubbles, and nothing in them is rendered that should not be."""

from __future__ import annotations

from dataclasses import replace

from assistant.types import Artifact, Message, Receipt, ToolCall, ToolResult
from assistant.ui.bubbles import answer, bubbles_of, finished, progressed, started

PICTURE = Artifact("image-1", "image", "image/png", "red.png", "aa", 1)
CALL = ToolCall("c1", "turn_image", {"image": "image-1", "degrees": 90})


def look_up(artifact: Artifact) -> tuple[str, str]:
    return f"/cache/{artifact.id}.png", "a red square" if artifact.id == "image-1" else ""


def test_a_stored_conversation_is_drawn_in_order() -> None:
    made = replace(PICTURE, id="image-2", name="turn_image.png", alt="what was known when it was made")
    result = ToolResult(CALL, "done", artifacts=(PICTURE, made), receipt=Receipt(1.5, ("m@1",)))
    messages = [
        Message("1", None, "user", "Turn it.", artifacts=(PICTURE,)),
        Message("2", "1", "assistant", calls=(CALL,)),
        Message("3", "2", "tool", result=result),
        Message("4", "3", "assistant", "Here it is."),
    ]
    said, step, *pictures, words = bubbles_of(messages, look_up)
    attached, *texts = said["content"]
    assert attached["props"] == {"alt_text": "image-1, red.png: a red square"}
    assert [part["text"] for part in texts] == ["`image-1` red.png", "Turn it."]
    assert step["metadata"] == {
        "title": '⚙ turn_image(image="image-1", degrees=90)',
        "status": "done",
        "id": "c1",
        "duration": 1.5,
    }
    assert "m@1" in step["content"]
    drawn = [picture["content"] for picture in pictures]
    assert [content["value"]["path"] for content in drawn] == ["/cache/image-1.png", "/cache/image-2.png"]
    assert [content["props"]["alt_text"] for content in drawn] == ["image-1: a red square", "image-2"]
    assert words == {"role": "assistant", "content": "Here it is."}


def test_a_running_step_spins_and_tells_how_far_it_is() -> None:
    assert started(CALL)["metadata"]["status"] == "pending"
    assert progressed(CALL, 0.5, "turning")["content"] == "turning 50%"
    assert progressed(CALL, None, "turning")["content"] == "turning"


def test_a_failed_step_says_so() -> None:
    (step,) = finished(ToolResult(CALL, "It broke.", failed=True), look_up)
    assert step["metadata"]["title"].startswith("⚠ turn_image(")
    assert step["metadata"]["title"].endswith("failed")


def test_what_a_tool_returns_stays_inside_its_code_block() -> None:
    sly = "```\n![x](http://elsewhere/pixel.png)\n<img src=http://elsewhere/>"
    (step,) = finished(ToolResult(CALL, sly), look_up)
    assert step["content"] == f"````text\n{sly}\n````"


def test_words_load_no_picture_from_elsewhere() -> None:
    drawn = answer("look ![x](http://elsewhere/pixel.png) <img src=y>")["content"]
    assert "![" not in drawn
    assert "<img" not in drawn


def test_a_long_result_is_cut_and_counted() -> None:
    (step,) = finished(ToolResult(CALL, "x" * 5000), look_up)
    assert "… and 3000 more characters" in step["content"]
