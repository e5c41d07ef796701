"""The registry finds tools and runs calls: whatever goes wrong becomes a failed result with a sentence."""

from __future__ import annotations

import contextlib
import hashlib
import importlib
import io
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

import pytest
from PIL import Image as Pictures
from PIL.Image import Image

from assistant import artifacts
from assistant.artifacts import ArtifactStore, Document
from assistant.database import Database
from assistant.errors import Cancelled, PluginError
from assistant.registry import Registry, discover
from assistant.residents import used
from assistant.settings import Settings
from assistant.tools import Run, tool
from assistant.types import Artifact, CallProgress, ToolCall, ToolResult
from tests.conftest import DEMO_TOOLS, call

PLUGIN = '''"""A plugin."""
from assistant.tools import tool

@tool
def {name}(text: str) -> str:
    """Echo a text.

    Args:
        text: What to echo.
    """
    return text
'''
Outcome = tuple[list[CallProgress], ToolResult]
LIMIT = 30  # seconds after which a waiting test gives up


class Shelf:
    """A service."""


@dataclass(frozen=True, slots=True)
class Cut:
    """A picture in two parts."""

    text: str
    parts: tuple[Image, ...]
    sizes: dict[str, list[int]]


@tool
def cut_image(image: Image, *, shelf: Shelf, run: Run) -> Cut:
    """Cut a picture in two.

    Args:
        image: The picture.
    """
    names = used.get()
    assert names is not None and isinstance(shelf, Shelf)
    names += ["scissors@1", "scissors@1"]
    width, height = image.size
    parts = (image.crop((0, 0, width // 2, height)), image.crop((width // 2, 0, width, height)))
    return Cut("Cut in two.", parts, {"widths": [part.width for part in parts]})


@tool(on_upload=True)
def weigh(document: Document) -> dict[str, object]:
    """Weigh a document.

    Args:
        document: What to weigh.
    """
    return {"name": document.name, "bytes": len(document.path.read_bytes()), "light": True, "owner": None}


@tool
def give_nonsense() -> object:
    """Return what is no data."""
    return {1, 2}


@pytest.fixture
def stores(settings: Settings, tmp_path: Path) -> Iterator[Callable[[str], ArtifactStore]]:
    database = Database(tmp_path / "test.sqlite", artifacts.SCHEMA)
    yield lambda conversation: ArtifactStore(database, tmp_path / "files", conversation, settings)
    database.close()


@pytest.fixture
def store(stores: Callable[[str], ArtifactStore], picture: Path) -> ArtifactStore:
    """A conversation with the files image-1 and document-1."""
    filled = stores("here")
    filled.add_file(picture)
    filled.add(b"plain words", "notes.txt")
    return filled


@pytest.fixture
def registry() -> Registry:
    return Registry([*DEMO_TOOLS, cut_image, weigh, give_nonsense], {Shelf: Shelf()})


@pytest.fixture
def make_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., ModuleType]]:
    """Make an importable package whose files each hold a tool of the given name."""

    def make(**tools: str) -> ModuleType:
        folder = tmp_path / "demo_plugins"
        folder.mkdir()
        (folder / "__init__.py").touch()
        for file, name in tools.items():
            (folder / f"{file}.py").write_text(PLUGIN.format(name=name))
        monkeypatch.syspath_prepend(tmp_path)
        return importlib.import_module("demo_plugins")

    yield make
    for name in [name for name in sys.modules if name.split(".")[0] == "demo_plugins"]:
        del sys.modules[name]


def run(registry: Registry, wanted: ToolCall, store: ArtifactStore, seed: int = 0) -> Outcome:
    """Run a call to its end; return what it reported and its result."""
    running = registry.run(wanted, store, seed, threading.Event())
    reports = []
    while True:
        try:
            reports.append(next(running))
        except StopIteration as end:
            return reports, end.value


def failure(registry: Registry, wanted: ToolCall, store: ArtifactStore) -> str:
    """Run a call that must fail and return its sentence."""
    _, result = run(registry, wanted, store)
    assert result.failed and result.call == wanted and not result.artifacts
    return result.text


def test_a_preview_arrives_as_a_picture(store: ArtifactStore) -> None:
    @tool
    def sketch(*, run: Run) -> str:
        """Draw slowly."""
        run.show(Pictures.new("RGBA", (8, 4), (255, 0, 0, 255)))
        return "done"

    seen = []
    events = Registry([sketch], {}).run(call("sketch"), store, 0, threading.Event())
    with contextlib.suppress(StopIteration):
        while True:
            seen.append(next(events))
    (jpeg,) = [event.preview for event in seen if event.preview]
    with Pictures.open(io.BytesIO(jpeg)) as picture:
        assert (picture.format, picture.size) == ("JPEG", (8, 4))


def test_what_a_tool_sees_in_a_picture_is_kept(store: ArtifactStore) -> None:
    @tool
    def look_at(image: Image, *, run: Run) -> str:
        """Look at a picture.

        Args:
            image: The picture.
        """
        run.describe(image.rotate(90), "Something red.")
        return "done"

    result = run(Registry([look_at], {}), call("look_at", image="image-1"), store)[1]
    assert result.text == "done"
    assert (store.get("image-1").alt, store.get("document-1").alt) == ("Something red.", "")


def test_a_picture_that_a_tool_makes_shows_what_the_tool_says(registry: Registry, store: ArtifactStore) -> None:
    _, cut = run(registry, call("cut_image", image="image-1"), store)
    assert [artifact.alt for artifact in cut.artifacts] == ["Cut in two.", "Cut in two."]
    _, turned = run(registry, call("turn_image", image="image-1"), store)
    assert [artifact.alt for artifact in turned.artifacts] == ["made by turn_image"], "a handle shows nothing"
    assert store.get("image-4") == turned.artifacts[0]


def test_every_plugin_file_is_found(make_package: Callable[..., ModuleType]) -> None:
    found = discover(make_package(zebra="echo_low", ape="echo_loud"))
    assert [tool.name for tool in found] == ["echo_loud", "echo_low"]


def test_two_tools_of_one_name_are_refused_naming_the_file(make_package: Callable[..., ModuleType]) -> None:
    with pytest.raises(PluginError, match=r"second\.py.*'echo'.*rename"):
        discover(make_package(first="echo", second="echo"))


def test_a_tool_that_wants_an_unknown_service_is_refused() -> None:
    with pytest.raises(PluginError, match=r"cut_image.*shelf"):
        Registry([cut_image], {})


def test_a_tool_whose_files_do_not_exist_cannot_be_called(registry: Registry, store: ArtifactStore) -> None:
    def offered(*alive: Artifact) -> set[str]:
        return {spec.name for spec in registry.describe(alive) if spec.callable}

    image, document = store.all()
    always = {"count_letters", "break_down", "give_nonsense"}
    assert offered() == always
    assert offered(image) == always | {"turn_image", "cut_image"}
    assert offered(document) == always | {"weigh"}
    missing = {spec.name: spec.missing for spec in registry.describe([image])}
    assert missing["weigh"] == ("document",) and missing["turn_image"] == ()


def test_an_attached_file_sets_off_only_the_tools_that_take_its_kind(registry: Registry, store: ArtifactStore) -> None:
    image, document = store.all()
    assert registry.on_upload(image) == []
    assert registry.on_upload(document) == [ToolCall("weigh-document-1", "weigh", {"document": "document-1"})]


def test_progress_comes_before_the_result(registry: Registry, store: ArtifactStore) -> None:
    turn = call("turn_image", image="image-1")
    reports, result = run(registry, turn, store)
    assert reports == [CallProgress(turn, 0.5, "turning")]
    assert result.call == turn and not result.failed


def test_a_picture_becomes_an_artifact_and_its_handle_the_data(registry: Registry, store: ArtifactStore) -> None:
    _, result = run(registry, call("turn_image", image="image-1"), store)
    assert (result.data, result.text) == ("image-2", "image-2")
    assert result.artifacts == (store.get("image-2"),)
    assert store.image(result.artifacts[0]).size == (20, 40)


def test_a_dataclass_becomes_data_with_handles(registry: Registry, store: ArtifactStore) -> None:
    _, result = run(registry, call("cut_image", image="image-1"), store)
    assert result.text == "Cut in two."
    assert result.data == {"text": "Cut in two.", "parts": ["image-2", "image-3"], "sizes": {"widths": [20, 20]}}
    assert [artifact.id for artifact in result.artifacts] == ["image-2", "image-3"]


def test_plain_data_is_json_for_the_model(registry: Registry, store: ArtifactStore) -> None:
    _, result = run(registry, call("weigh", document="document-1"), store)
    assert result.data == {"name": "notes.txt", "bytes": 11, "light": True, "owner": None}
    assert result.text == '{"name": "notes.txt", "bytes": 11, "light": true, "owner": null}'


def test_the_receipt_says_what_really_ran(registry: Registry, store: ArtifactStore) -> None:
    _, result = run(registry, call("cut_image", image="image-1"), store, seed=7)
    assert result.receipt is not None and result.receipt.seconds >= 0
    assert (result.receipt.seed, result.receipt.models) == (7, ("scissors@1",))
    contents = [store.path(artifact).read_bytes() for artifact in result.artifacts]
    assert result.receipt.digests == tuple(hashlib.sha256(content).hexdigest() for content in contents)


def test_a_tool_error_becomes_a_failed_result(
    registry: Registry, store: ArtifactStore, caplog: pytest.LogCaptureFixture
) -> None:
    assert failure(registry, call("break_down"), store) == "It did not work. Try something else."
    assert not caplog.records


def test_a_bug_is_logged_with_its_traceback_and_becomes_a_failed_result(
    registry: Registry, store: ArtifactStore, caplog: pytest.LogCaptureFixture
) -> None:
    sentence = failure(registry, call("break_down", loudly=True), store)
    assert sentence == "break_down broke (ZeroDivisionError: a bug). Try other arguments or another tool."
    assert "Traceback" in caplog.text and "in break_down" in caplog.text


def test_a_result_that_is_no_data_becomes_a_failed_result(registry: Registry, store: ArtifactStore) -> None:
    assert "give_nonsense returned a set" in failure(registry, call("give_nonsense"), store)


def test_an_unknown_tool_is_answered_with_the_tools(registry: Registry, store: ArtifactStore) -> None:
    names = "turn_image, count_letters, break_down, cut_image, weigh, give_nonsense"
    assert failure(registry, call("fly"), store) == f"There is no tool 'fly'. The tools are: {names}."


def test_wrong_arguments_are_answered_with_the_arguments(registry: Registry, store: ArtifactStore) -> None:
    sentence = failure(registry, call("turn_image", image="image-1", degrees="far"), store)
    assert "'degrees' is 'far'" in sentence and sentence.endswith("Its arguments are: image, degrees.")


def test_a_handle_of_another_conversation_is_answered_with_the_files(
    registry: Registry, store: ArtifactStore, stores: Callable[[str], ArtifactStore]
) -> None:
    stores("there").add_image(Pictures.new("RGB", (2, 2)), "a.png")
    other = stores("there").add_image(Pictures.new("RGB", (3, 3)), "b.png")
    sentence = failure(registry, call("turn_image", image=other.id), store)
    assert sentence == "There is no 'image-2' in this conversation. The files are: image-1, document-1."


def test_a_handle_of_the_wrong_kind_is_answered_with_the_files_of_the_right_one(
    registry: Registry, store: ArtifactStore
) -> None:
    sentence = failure(registry, call("turn_image", image="document-1"), store)
    assert "'image' must be image, but document-1 is document" in sentence
    assert sentence.endswith("The files of kind image are: image-1.")


def test_stop_returns_at_once_even_if_the_tool_ignores_it(store: ArtifactStore) -> None:
    release, left = threading.Event(), threading.Event()

    @tool
    def sleep() -> str:
        """Ignore everything."""
        release.wait(LIMIT)
        left.set()
        return "too late"

    stop = threading.Event()
    running = Registry([sleep], {}).run(call("sleep"), store, 0, stop)
    threading.Timer(0.1, stop.set).start()
    with pytest.raises(StopIteration) as end:
        next(running)
    assert (end.value.value.text, end.value.value.failed) == ("Stopped.", True)
    assert not left.is_set()
    release.set()
    assert left.wait(LIMIT)


@pytest.mark.parametrize("end", ["stop", "close"])
def test_a_tool_that_looks_meets_cancelled(store: ArtifactStore, end: str) -> None:
    left, stop = threading.Event(), threading.Event()

    @tool
    def watch(*, run: Run) -> str:
        """Look until stopped."""
        run.progress(None, "looking")
        run.stop.wait(LIMIT)
        try:
            run.check()
        except Cancelled:
            left.set()
            raise
        return "never stopped"

    running = Registry([watch], {}).run(call("watch"), store, 0, stop)
    assert next(running).note == "looking"
    if end == "close":
        running.close()
    else:
        stop.set()
    assert left.wait(LIMIT)
