"""What every test may use: settings in a temporary folder, a scripted chat model, three demo tools, no network."""

from __future__ import annotations

import os
import shutil
import tempfile
import threading
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

os.environ["HF_HUB_OFFLINE"] = "1"  # read once, when huggingface_hub is imported, and so is HF_HOME
os.environ["HF_HOME"] = tempfile.mkdtemp(prefix="maru-hub-")
os.environ["ASSISTANT_COMPILE"] = "false"  # minutes of work; tests that need it do it themselves

import platformdirs
import pytest
from PIL import Image as Pictures
from PIL import ImageDraw, ImageFont
from PIL.Image import Image

from assistant import Assistant
from assistant.broker import LOADING
from assistant.errors import ToolError
from assistant.settings import Settings
from assistant.tools import Run, tool
from assistant.types import Event, Message, ReplyPart, TextDelta, ToolCall, ToolSpec, Usage
from tests.tiny import assistant_with, at_home

pytest_plugins = ["tests.fake_models"]

DATA = Path(__file__).parent / "data"
LETTER = (
    "Dear Ms Alder,",
    "your parcel 4471 leaves Rotterdam on Tuesday 3 March.",
    "Please bring the yellow form to desk 12.",
    "Kind regards, Port Office",
)


def pytest_unconfigure() -> None:
    """Remove what the tests downloaded."""
    shutil.rmtree(os.environ["HF_HOME"], ignore_errors=True)


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skip what needs a GPU where there is none."""
    if item.get_closest_marker("gpu"):
        import torch

        if not torch.cuda.is_available():
            pytest.skip("there is no GPU here")


class ScriptedModel:
    """A chat model that says what the test told it to and remembers what it was asked."""

    def __init__(self, *replies: Sequence[ReplyPart]) -> None:
        self.replies = list(replies)
        self.asked: list[tuple[list[Message], list[ToolSpec]]] = []

    def describe(self) -> str:
        return "A scripted model."

    def reply(
        self, messages: Sequence[Message], tools: Sequence[ToolSpec], stop: threading.Event
    ) -> Iterator[ReplyPart]:
        self.asked.append((list(messages), list(tools)))
        for part in self.replies.pop(0):
            if stop.is_set():
                break
            yield part
        yield Usage(prompt_tokens=10, generated_tokens=2, seconds=0.1)


@tool
def turn_image(image: Image, degrees: int = 90, *, run: Run) -> Image:
    """Turn a picture.

    Args:
        image: The picture to turn.
        degrees: How far, counter-clockwise.
    """
    run.progress(0.5, "turning")
    return image.rotate(degrees, expand=True)


@tool
def count_letters(text: str) -> int:
    """Count the letters of a text.

    Args:
        text: The text to count.
    """
    return len(text)


@tool
def break_down(loudly: bool = False, *, run: Run) -> str:
    """Fail, in one of two ways.

    Args:
        loudly: Whether to fail with a bug instead of a sentence.
    """
    if loudly:
        raise ZeroDivisionError("a bug")
    raise ToolError("It did not work. Try something else.")


DEMO_TOOLS = (turn_image, count_letters, break_down)


@pytest.fixture(autouse=True)
def nothing_loads_on() -> Iterator[None]:
    """Wait for a model that a stopped test was loading: while one loads, no other may, in this whole process."""
    yield
    while LOADING.is_busy():
        time.sleep(0.01)


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(data=tmp_path / "data", profile="embedded")


@pytest.fixture
def make_assistant(settings: Settings) -> Iterator[Callable[..., Assistant]]:
    """Make an assistant over demo tools whose model replies as scripted; all are closed at the end."""
    made: list[Assistant] = []

    def make(*replies: Sequence[ReplyPart], owner: str = "local") -> Assistant:
        made.append(Assistant(settings, owner, ScriptedModel(*replies), DEMO_TOOLS))
        return made[-1]

    yield make
    for assistant in made:
        assistant.close()


@pytest.fixture
def picture(tmp_path: Path) -> Path:
    path = tmp_path / "red.png"
    Pictures.new("RGB", (40, 20), "red").save(path)
    return path


@pytest.fixture
def letter(tmp_path: Path) -> Path:
    """A rendered page of text."""
    page = Pictures.new("RGB", (900, 320), "white")
    font = ImageFont.load_default(28)
    for i, line in enumerate(LETTER):
        ImageDraw.Draw(page).text((40, 40 + 60 * i), line, fill="black", font=font)
    path = tmp_path / "letter.png"
    page.save(path)
    return path


def text_of(events: Sequence[Event]) -> str:
    """Join what was said."""
    return "".join(event.text for event in events if isinstance(event, TextDelta))


def call(name: str, **arguments: object) -> ToolCall:
    """Make a call as a model would."""
    return ToolCall(f"call-{name}", name, arguments)


@pytest.fixture(scope="session")
def house(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    """Settings over the embedded weights, which are fetched once per machine; one set of loaded models serves all."""
    data = tmp_path_factory.mktemp("house")
    kept = platformdirs.user_cache_path("maru-tests") / "weights"
    kept.mkdir(parents=True, exist_ok=True)
    (data / "weights").symlink_to(kept)
    return Settings(data=data, profile="embedded")


@pytest.fixture
def maru(house: Settings) -> Iterator[Assistant]:
    """The real thing on the embedded models, for an owner nobody was before."""
    assistant = Assistant(house, owner=uuid.uuid4().hex)
    yield assistant
    assistant.close()


@pytest.fixture(scope="session")
def tiny(house: Settings, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[..., Assistant]]:
    """Make an assistant over tiny checkpoints: `tiny("cpu", "caption", "vqa")`."""
    folder = tmp_path_factory.mktemp("tiny")
    made: dict[tuple[str, ...], Assistant] = {}

    def make(profile: str, *roles: str) -> Assistant:
        if (profile, *roles) not in made:
            made[profile, *roles] = assistant_with(house, folder, profile, *roles)
        return at_home(made[profile, *roles])  # another test may have installed other residents meanwhile

    yield make
    for assistant in made.values():
        assistant.close()
