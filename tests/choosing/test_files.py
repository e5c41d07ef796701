"""Which file is meant, told from what was said, by whom it was made and what was spoken of last."""

from __future__ import annotations

import pytest

from assistant.choosing.files import Known, choose_file, choose_files, mentions_kind
from assistant.types import Artifact, Kind


def known(handle: str, about: str = "", fresh: bool = False, used: bool = False) -> Known:
    kind: Kind = "document" if handle.startswith("document") else "image"
    return Known(Artifact(handle, kind, "", "", handle, 1), about, fresh, used)


THREE = [known("image-1"), known("image-2"), known("image-3")]
TALKED = [known("image-1"), known("image-2", used=True), known("image-3")]
NAMED = [
    known("image-1", "receipt.jpg a receipt of a supermarket"),
    known("image-2", "beach.jpg two children at the beach"),
    known("document-1", "lease.pdf"),
]


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        ("read image-2", "image-2"),
        ("what is in picture 2?", "image-2"),
        ("Photo no. 1 please", "image-1"),
        ("what does the second one say", "image-2"),
        ("describe the first picture", "image-1"),
        ("now the 2nd", "image-2"),
        ("read the last one", "image-3"),
        ("what about the third?", "image-3"),
        ("read it", "image-3"),
        ("what does the first line say", "image-3"),
        ("in the second world war, was this here?", "image-3"),
    ],
)
def test_handles_and_places_are_understood(said: str, expected: str) -> None:
    assert choose_file(said, "image", THREE) == expected


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        ("and what colour is the car?", "image-2"),
        ("do the same for the next picture", "image-3"),
        ("no, the one before", "image-1"),
        ("the previous one", "image-1"),
        ("look for it in the older photo instead", "image-1"),
        ("in my own photo I mean", "image-1"),
        ("now the other one", "image-3"),
    ],
)
def test_what_was_spoken_of_last_is_what_other_and_next_start_from(said: str, expected: str) -> None:
    assert choose_file(said, "image", TALKED) == expected


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        ("the receipt, not the photo", "image-1"),
        ("not the receipt, the beach", "image-2"),
        ("how many children are there", "image-2"),
        ("I meant the beach one", "image-2"),
        ("what does the supermarket charge", "image-1"),
    ],
)
def test_names_and_what_files_show_tell_them_apart(said: str, expected: str) -> None:
    assert choose_file(said, "image", NAMED) == expected


def test_what_came_with_the_message_goes_before_what_was_spoken_of() -> None:
    files = [known("image-1", used=True), known("image-2", fresh=True), known("image-3")]
    assert choose_file("and this?", "image", files) == "image-2"
    assert choose_file("and image-1?", "image", files) == "image-1"


def test_a_kind_that_is_not_there_has_no_handle() -> None:
    assert choose_file("read it", "document", THREE) is None
    assert choose_file("read image-9", "image", THREE) == "image-3"
    assert choose_file("the second one", "image", [known("image-1")]) == "image-1"


def test_several_files_come_in_their_order_or_as_they_were_named() -> None:
    assert choose_files("compare them", "image", THREE, 2) == ["image-2", "image-3"]
    assert choose_files("compare image-3 with image-1", "image", THREE, 2) == ["image-3", "image-1"]
    assert choose_files("compare them", "image", THREE[:1], 2) == ["image-1"]


@pytest.mark.parametrize(
    ("said", "kind"),
    [
        ("what does the pdf say", "document"),
        ("in this photo", "image"),
        ("the photo, not the pdf", "image"),
        ("it", None),
    ],
)
def test_a_kind_is_heard_in_what_is_said(said: str, kind: Kind | None) -> None:
    assert mentions_kind(said) == kind
