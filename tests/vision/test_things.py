"""What a person asks for becomes names a detector knows, and counts become words."""

from __future__ import annotations

import pytest

from assistant.errors import ToolError
from assistant.vision.things import counted, missing, named_things


@pytest.mark.parametrize(
    ("what", "things"),
    [
        ("dog", ["dog"]),
        ("2 dogs and a cat", ["dog", "cat"]),
        ("all three chairs", ["chair"]),
        ("the red cups, all the plates; my keys", ["red cup", "plate", "key"]),
        ("Dogs, dog, DOG!", ["dog"]),
        ("people or children", ["person", "child"]),
        ("cups of tea, glass of water", ["cup of tea", "glass of water"]),
        ("cherries, boxes, buses, wolves, sheep, scissors", ["cherry", "box", "bus", "wolf", "sheep", "scissors"]),
        ("houses, cookies, glass, cactus, sandwich", ["house", "cookie", "glass", "cactus", "sandwich"]),
        ("an android and a sandal", ["android", "sandal"]),
    ],
)
def test_things_are_named_one_by_one_in_the_singular(what: str, things: list[str]) -> None:
    assert named_things(what) == things


@pytest.mark.parametrize("what", ["", " , ", "and", "?"])
def test_naming_nothing_is_a_sentence(what: str) -> None:
    with pytest.raises(ToolError, match="Name one or more things"):
        named_things(what)


def test_counts_are_told_in_words() -> None:
    assert counted({"dog": 2, "cat": 1, "bird": 0}) == "2 dogs, 1 cat"
    assert counted({"person": 3, "cherry": 2, "glass of water": 2, "toy": 2}) == (
        "3 people, 2 cherries, 2 glasses of water, 2 toys"
    )
    assert counted({"bus": 2, "box": 4, "sheep": 5, "knife": 1}) == "2 buses, 4 boxes, 5 sheep, 1 knife"
    assert counted({}) == ""


def test_what_there_is_none_of_is_said() -> None:
    assert missing({"dog": 0}) == "No dog was found."
    assert missing({"dog": 0, "cat": 1, "bird": 0}) == "No dog or bird was found."
    assert missing({"cat": 1}) == ""
