"""Numbers said in passing find their parameters, and others stay out of the call."""

from __future__ import annotations

from typing import Any

import pytest

from assistant import Assistant
from assistant.choosing.numbers import passing_numbers
from assistant.types import ToolSpec

COUNT = {"type": "integer", "minimum": 1, "maximum": 4, "description": "How many pictures to paint, versions of it."}
SIDE = {"anyOf": [{"type": "integer", "minimum": 64}, {"type": "null"}]}
PROPERTIES = {
    "prompt": {"type": "string", "description": "What to paint."},
    "width": {**SIDE, "description": "Width in pixels."},
    "height": {**SIDE, "description": "Height in pixels."},
    "steps": {"type": "integer", "description": "How many steps to paint in."},
    "count": COUNT,
}
PAINT = ToolSpec("paint", "Paints.", {"type": "object", "properties": PROPERTIES, "required": ["prompt"]})


@pytest.mark.parametrize(
    ("said", "arguments", "wanted"),
    [
        ("i want 4 versions of a robot", {"prompt": "a robot"}, {"count": 4}),
        ("three pictures of a robot, please", {"prompt": "a robot"}, {"count": 3}),
        ("a city on Mars, 768 by 512", {"prompt": "a city on Mars"}, {"width": 768, "height": 512}),
        ("a city, 768x512, in 20 steps", {"prompt": "a city"}, {"width": 768, "height": 512, "steps": 20}),
        ("paint 3 robots", {"prompt": "3 robots"}, {}),
        ("i want 9 versions of a robot", {"prompt": "a robot"}, {}),
        ("4 versions of a robot", {"prompt": "a robot", "count": 2}, {}),
        ("a robot by 3.30 pm on 12/05", {"prompt": "a robot"}, {}),
        ("a robot", {"prompt": "a robot"}, {}),
    ],
)
def test_numbers_find_their_parameters(
    maru: Assistant, said: str, arguments: dict[str, Any], wanted: dict[str, int]
) -> None:
    assert passing_numbers(PAINT, arguments, said) == wanted
