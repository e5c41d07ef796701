"""describe_image says a sentence of a bounded length, names its model, and stops when asked to."""

from __future__ import annotations

import importlib.util
import pickle
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest

from assistant import Assistant
from assistant.assistant import DIRECT
from assistant.residents import residents
from assistant.types import ToolCall
from assistant.vision import captions


@pytest.fixture(params=["cpu", "gpu"])
def assistant(request: pytest.FixtureRequest, tiny: Callable[..., Assistant]) -> Assistant:
    return tiny(request.param, "caption")


@pytest.mark.parametrize("most", [5, 17, 100])
def test_a_picture_becomes_one_sentence_of_at_most_so_many_words(
    assistant: Assistant, picture: Path, most: int
) -> None:
    result = assistant.call("describe_image", image=str(picture), max_words=most)
    assert not result.failed, result.text
    assert len(result.text.split()) == most, "a random model babbles until it is cut"
    assert result.text[0].isupper() and result.text.endswith(".")
    assert result.data == result.text


def test_forty_words_are_the_limit_unless_told_otherwise(assistant: Assistant, picture: Path) -> None:
    forty = assistant.call("describe_image", image=str(picture), max_words=40).text
    assert assistant.call("describe_image", image=str(picture)).text == forty


@pytest.mark.parametrize("most", [4, 101])
def test_limits_out_of_bounds_are_refused(assistant: Assistant, picture: Path, most: int) -> None:
    result = assistant.call("describe_image", image=str(picture), max_words=most)
    assert result.failed and "'max_words'" in result.text


def test_an_attached_picture_is_described_for_those_who_do_not_see_it(assistant: Assistant, picture: Path) -> None:
    result = assistant.call("describe_image", image=str(picture), max_words=7)
    attached = assistant.artifacts(DIRECT)[-1]
    assert attached.alt == result.text
    calls = assistant._registry.on_upload(attached)
    assert ToolCall(f"describe_image-{attached.id}", "describe_image", {"image": attached.id}) in calls


def test_on_zerogpu_too_a_description_gets_home(
    assistant: Assistant, picture: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    module = ModuleType("spaces")  # what goes to the other process is pickled, and a run tells nothing from there
    module.GPU = lambda duration: lambda work: lambda **given: work(**pickle.loads(pickle.dumps(given)))  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "spaces", module)
    spec = importlib.util.find_spec("plugins.describe_image")
    assert spec is not None and spec.loader is not None
    plugin = importlib.util.module_from_spec(spec)
    with monkeypatch.context() as there:
        there.setenv("SPACES_ZERO_GPU", "true")
        spec.loader.exec_module(plugin)
    monkeypatch.setitem(assistant._registry.tools, "describe_image", plugin.describe_image)
    result = assistant.call("describe_image", image=str(picture), max_words=7)
    assert not result.failed and assistant.artifacts(DIRECT)[-1].alt == result.text


def test_the_receipt_names_the_model_and_its_commit(assistant: Assistant, picture: Path) -> None:
    entry = residents().catalog.choose("caption").entry
    receipt = assistant.call("describe_image", image=str(picture)).receipt
    assert receipt is not None
    assert receipt.models == (f"{entry.name}@{entry.source.revision}",)
    assert entry.name.startswith("BLIP")


def test_a_stopped_call_says_so(assistant: Assistant, picture: Path) -> None:
    stop = threading.Event()
    stop.set()
    events = assistant.start_call("describe_image", {"image": str(picture)}, stop)
    with pytest.raises(StopIteration) as end:
        while True:
            next(events)
    assert end.value.value.failed and end.value.value.text == "Stopped."


def test_a_model_without_words_is_a_sentence(
    assistant: Assistant, picture: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(captions, "to_sentence", lambda text, most: "")
    result = assistant.call("describe_image", image=str(picture))
    assert result.failed and result.text.startswith("No words were found for this picture.")
