"""Handlers draw what is known when they draw, with an assistant over demo tools and no browser."""

from __future__ import annotations

from pathlib import Path

import pytest
from PIL.Image import Image

from assistant import Assistant
from assistant.settings import Settings
from assistant.tools import Run, tool
from assistant.ui.bubbles import Bubble
from assistant.ui.handlers import Handlers, House
from tests.conftest import ScriptedModel, call, turn_image


@tool(on_upload=True)
def look_at(image: Image, *, run: Run) -> str:
    """Look at a picture.

    Args:
        image: The picture.
    """
    run.describe(image, f"A picture of {image.width} by {image.height}.")
    return "Looked."


@pytest.fixture
def house(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> House:
    """A house whose only assistant has tools that look at pictures and turn them."""
    model = ScriptedModel([call("turn_image", image="image-1")], [call("look_at", image="image-2")], ["Turned."])
    assistant = Assistant(settings, "local", model, [look_at, turn_image])
    house = House(settings, shared=False)
    monkeypatch.setattr(house, "anybody", lambda: assistant)
    monkeypatch.setattr(house, "assistant", lambda browser: assistant)
    return house


def alts(frame: list[Bubble]) -> list[str]:
    """Collect what the pictures of a frame say to those who do not see them."""
    contents = [bubble["content"] for bubble in frame]
    parts = [part for content in contents for part in (content if isinstance(content, list) else [content])]
    return [part["props"]["alt_text"] for part in parts if "props" in part]


def test_pictures_are_drawn_with_what_is_known_of_them_by_then(house: House, picture: Path) -> None:
    do = Handlers(house)
    seat = {"browser": "", "conversation": None}
    frames = [frame for frame, *_ in do.send({"text": "Turn it.", "files": [str(picture)]}, seat)]
    assert alts(frames[0]) == ["image-1, red.png"], "before anything has looked at it"
    assert ["image-1, red.png", "image-2: made by turn_image"] in [alts(frame) for frame in frames]
    known = ["image-1, red.png: A picture of 40 by 20.", "image-2: A picture of 20 by 40."]
    assert alts(frames[-1]) == known
    conversation = house.anybody().conversations.all()[0].id
    assert alts(do.choose(conversation, seat)[0]) == known, "drawn anew from what is stored"
