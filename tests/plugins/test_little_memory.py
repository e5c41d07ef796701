"""A look for which memory runs out is taken again when idle models are gone; then it is a sentence."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from assistant import Assistant
from assistant.residents import declared, residents
from tests.little_memory import always, once, run_out

LOOKS = {
    "caption": ("generate", "describe_image", {"max_words": 5}),
    "vqa": ("forward", "answer_about_image", {"question": "what color is the dog ?"}),
    "features": ("get_image_features", "classify_image", {"labels": ["cat", "dog"]}),
    "classify": ("forward", "classify_image", {}),
    "detect": ("forward", "find_objects", {"what": "red"}),
    "docqa": ("forward", "answer_about_document", {"question": "When?"}),
}


@pytest.mark.parametrize("role", LOOKS)
def test_out_of_memory_frees_what_is_idle_and_looks_once_more(
    tiny: Callable[..., Assistant], letter: Path, monkeypatch: pytest.MonkeyPatch, role: str
) -> None:
    method, tool, arguments = LOOKS[role]
    idle = "vqa" if role != "vqa" else "caption"
    assistant = tiny("cpu", role, idle)

    def call() -> Any:
        return assistant.call(tool, image=str(letter), **arguments)

    expected = call()
    assert not expected.failed, expected.text
    with declared[role]() as (*_, model):
        kind = type(model)
    with declared[idle]():
        pass
    run_out(monkeypatch, kind, method, once())
    assert call().text == expected.text
    assert residents().is_loaded(role) and not residents().is_loaded(idle)
    run_out(monkeypatch, kind, method, always)
    without_room = call()
    assert without_room.failed and without_room.text.startswith("There is not enough memory for this. Try a smaller")
