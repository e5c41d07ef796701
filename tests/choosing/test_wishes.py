"""Two wishes in one message are told apart; one wish stays whole."""

from __future__ import annotations

import pytest

from assistant.choosing.wishes import split_wishes


@pytest.mark.parametrize(
    ("said", "wishes"),
    [
        ("read this letter and look it up in my documents", ["read this letter", "look it up in my documents"]),
        ("Paint a fox, then cut it out", ["Paint a fox", "cut it out"]),
        ("find my beach photo. After that describe it please", ["find my beach photo", "describe it please"]),
        ("Read the sign; then, please, translate it", ["Read the sign", "please, translate it"]),
        (
            "describe it and then add it to my pictures and then find others",
            ["describe it", "add it to my pictures", "find others"],
        ),
        (
            "could you read it, and could you look up the sender?",
            ["could you read it", "could you look up the sender?"],
        ),
    ],
)
def test_wishes_are_split_where_something_new_is_to_be_done(said: str, wishes: list[str]) -> None:
    assert split_wishes(said) == wishes


@pytest.mark.parametrize(
    "said",
    [
        "find the cups and the spoons",
        "paint a fox and a hare in the snow, with a red barn",
        "I got this letter, what do they want?",
        "Hello. How are you?",
        "read it",
        "paint a man who reads and writes",
        "",
    ],
)
def test_one_wish_stays_whole(said: str) -> None:
    assert split_wishes(said) == [said]
