"""Pictures are found by likeness and by words; none is lost, doubled, or compared across models."""

from __future__ import annotations

import hashlib
import io
import os
import subprocess
import sys
import threading
import uuid
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
import pytest
from PIL import Image as Pictures
from PIL import ImageColor
from PIL.Image import Image

from assistant import Assistant
from assistant.artifacts import content_path, write_once
from assistant.database import Database
from assistant.errors import BadInput, Cancelled
from assistant.library import ImageIndex, images
from assistant.settings import Settings
from assistant.types import Progress
from assistant.vision.features import BATCH, embed_images, embed_texts

Added = tuple[str, str, Image]


def quiet(fraction: float | None, note: str) -> None:
    """Hear progress and say nothing."""


class Eyes:
    """A features model that sees the mean colour of a picture, and in a word the colour it names."""

    def __init__(self) -> None:
        self.model = "colours@1"
        self.dimensions = 3
        self.batches: list[int] = []

    def look(self, images: Sequence[Image], stop: threading.Event | None, progress: Progress) -> np.ndarray:
        if stop is not None and stop.is_set():
            raise Cancelled("Stopped.")
        self.batches.append(len(images))
        progress(1.0, "seen")
        return self.unit([image.resize((1, 1), Pictures.Resampling.BOX).getpixel((0, 0)) for image in images])

    def read(self, texts: Sequence[str], stop: threading.Event | None, progress: Progress) -> np.ndarray:
        return self.unit([ImageColor.getrgb(text) for text in texts])

    def unit(self, colours: Sequence[object]) -> np.ndarray:
        vectors = np.zeros((len(colours), self.dimensions), np.float32)
        vectors[:, -3:] = colours
        return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


@pytest.fixture
def eyes(monkeypatch: pytest.MonkeyPatch) -> Eyes:
    """Let every index of the test see with hand-made vectors."""
    made = Eyes()
    monkeypatch.setattr(images, "embed_images", made.look)
    monkeypatch.setattr(images, "embed_texts", made.read)
    monkeypatch.setattr(images, "_model_in_use", lambda: made.model)
    return made


@pytest.fixture
def open_index(settings: Settings, tmp_path: Path) -> Iterator[Callable[[], ImageIndex]]:
    """Open the same owner's pictures as another process would: over a connection and an index of its own."""
    databases: list[Database] = []

    def make() -> ImageIndex:
        databases.append(Database(tmp_path / "maru.sqlite", images.SCHEMA))
        return ImageIndex(databases[-1], tmp_path / "files", settings)

    yield make
    for database in databases:
        database.close()


@pytest.fixture
def index(open_index: Callable[[], ImageIndex], eyes: Eyes) -> ImageIndex:
    return open_index()


@pytest.fixture
def paint(tmp_path: Path) -> Callable[..., Added]:
    """Make a picture of one colour whose content lies among the owner's files."""

    def make(colour: str | tuple[int, int, int], size: tuple[int, int] = (8, 6), name: str | None = None) -> Added:
        image = Pictures.new("RGB", size, colour)
        buffer = io.BytesIO()
        image.save(buffer, "PNG")
        digest = hashlib.sha256(buffer.getvalue()).hexdigest()
        write_once(content_path(tmp_path / "files", digest), buffer.getvalue())
        image.info["digest"] = digest
        return digest, name or f"{colour}.png", image

    return make


def names(found: Sequence[images.FoundImage]) -> list[str]:
    return [image.name for image in found]


def test_the_most_similar_come_first_without_the_picture_itself(index: ImageIndex, paint: Callable[..., Added]) -> None:
    red = paint("red")
    others = [paint(colour) for colour in ("yellow", "blue", (255, 51, 0))]
    assert index.add([red, *others, paint("red", (9, 9), "again.png")], None, quiet) == 5
    found = index.find_similar(red[2], 3, None, quiet)
    assert names(found) == ["again.png", "(255, 51, 0).png", "yellow.png"]
    assert [image.similarity for image in found] == pytest.approx([1, 5 / 26**0.5, 0.5**0.5], abs=1e-6)
    assert len(index.find_similar(red[2], 20, None, quiet)) == 4
    assert len(index.find_similar(Pictures.new("RGB", (8, 6), "red"), 20, None, quiet)) == 5, "none of the five is it"


def test_words_find_what_they_describe_and_it_can_be_opened(index: ImageIndex, paint: Callable[..., Added]) -> None:
    index.add([paint("red"), paint("lime", (4, 5)), paint("blue")], None, quiet)
    found = index.find_described("lime", 1, None, quiet)
    assert names(found) == ["lime.png"]
    opened = index.open(found[0])
    assert (opened.size, opened.getpixel((1, 1))) == ((4, 5), (0, 255, 0))
    assert found[0] not in index.find_similar(opened, 20, None, quiet), "what was opened is left out as well"


def test_an_empty_index_finds_nothing(index: ImageIndex) -> None:
    assert index.find_described("red", 3, None, quiet) == [] and index.uncompared() == 0


def test_the_same_content_is_added_once(index: ImageIndex, eyes: Eyes, paint: Callable[..., Added]) -> None:
    red, same = paint("red"), paint("red", name="copy.png")
    assert index.add([red, same], None, quiet) == 1
    assert index.add([same, paint("blue")], None, quiet) == 1
    assert eyes.batches == [1, 1], "what is known is not looked at"
    assert len(index.find_described("red", 20, None, quiet)) == 2


def test_two_that_add_the_same_at_once_make_no_double(
    index: ImageIndex, open_index: Callable[[], ImageIndex], eyes: Eyes, paint: Callable[..., Added]
) -> None:
    red, other = paint("red"), open_index()

    def look(seen: Sequence[Image], stop: threading.Event | None, progress: Progress) -> np.ndarray:
        if not eyes.batches:  # while one looks, the other adds
            eyes.batches.append(0)
            assert other.add([red], None, quiet) == 1
        return eyes.look(seen, stop, progress)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(images, "embed_images", look)
        assert index.add([red], None, quiet) == 0
    assert names(index.find_described("red", 20, None, quiet)) == ["red.png"]


def test_stop_keeps_what_is_done(index: ImageIndex, eyes: Eyes, paint: Callable[..., Added]) -> None:
    many = [paint((255, 0, grey)) for grey in range(2 * BATCH + 5)]
    stop, said = threading.Event(), list[tuple[float | None, str]]()

    def progress(fraction: float | None, note: str) -> None:
        said.append((fraction, note))
        if note.startswith(str(2 * BATCH)):
            stop.set()

    with pytest.raises(Cancelled):
        index.add(many, stop, progress)
    assert len(index.find_described("red", 100, None, quiet)) == 2 * BATCH
    assert said[-1] == (2 * BATCH / len(many), f"{2 * BATCH} of {len(many)} pictures")
    assert said == sorted(said, key=lambda row: row[0]), "progress never goes back"
    assert index.add(many, None, quiet) == 5
    assert eyes.batches == [BATCH, BATCH, 5]


def test_a_folder_is_added_with_all_below_it_and_what_is_no_picture_is_told(
    index: ImageIndex, eyes: Eyes, tmp_path: Path
) -> None:
    folder = tmp_path / "holiday"
    (folder / "sea" / "deep").mkdir(parents=True)
    Pictures.new("RGB", (5, 5), "red").save(folder / "red.png")
    Pictures.new("RGB", (5, 5), "red").save(folder / "sea" / "same.png")
    Pictures.new("RGB", (7, 5), "blue").save(folder / "sea" / "deep" / "blue.gif")
    (folder / "words.txt").write_text("No picture at all.")
    (folder / "empty.png").touch()
    odd = os.fsdecode(b"gr\xfcn.png")  # no UTF-8
    Pictures.new("RGB", (5, 5), "lime").save(folder / odd, "PNG")
    report = index.add_folder(folder)
    assert (report.added, report.known) == (3, 1)
    assert [reason.split("'")[1] for reason in report.skipped] == ["empty.png", "words.txt"]
    again = index.add_folder(folder)
    assert (again.added, again.known, again.skipped) == (0, 4, report.skipped)
    assert eyes.batches == [3]
    for path in sorted(folder.rglob("*"), reverse=True):
        path.rmdir() if path.is_dir() else path.unlink()
    best = [index.find_described(colour, 1, None, quiet)[0] for colour in ("red", "blue", "lime")]
    assert names(best) == ["red.png", "blue.gif", "gr?n.png"]
    assert [index.open(found).getpixel((2, 2)) for found in best] == [(255, 0, 0), (0, 0, 255), (0, 255, 0)]


def test_a_folder_that_was_interrupted_goes_on_where_it_was(index: ImageIndex, eyes: Eyes, tmp_path: Path) -> None:
    folder, stop, fractions = tmp_path / "many", threading.Event(), list[float | None]()
    folder.mkdir()
    for number in range(40):
        Pictures.new("RGB", (4, 4), (255, 0, number)).save(folder / f"{number:02}.png")

    def progress(fraction: float | None, note: str) -> None:
        fractions.append(fraction)
        if note == f"{BATCH} of 40 files":
            stop.set()

    with pytest.raises(Cancelled):
        index.add_folder(folder, stop, progress)
    assert fractions[-1] == BATCH / 40
    assert len(index.find_described("red", 100, None, quiet)) == BATCH
    fractions.clear()
    report = index.add_folder(folder, progress=progress)
    assert (report.added, report.known, report.skipped) == (40 - BATCH, BATCH, ())
    assert sum(eyes.batches) == 40
    assert fractions == sorted(fractions) and fractions[-1] == 1, "progress never goes back"


def test_a_folder_that_is_none_is_a_sentence(index: ImageIndex, picture: Path) -> None:
    with pytest.raises(BadInput, match=r"There is no folder '.*red\.png'\. Check the path"):
        index.add_folder(picture)


def test_vectors_of_two_models_are_never_compared(index: ImageIndex, eyes: Eyes, paint: Callable[..., Added]) -> None:
    red, blue = paint("red"), paint("blue")
    index.add([red, blue], None, quiet)
    assert len(index.find_described("red", 20, None, quiet)) == 2
    eyes.model, eyes.dimensions = "colours@2", 5
    assert (index.find_described("red", 20, None, quiet), index.uncompared()) == ([], 2)
    assert index.add([red], None, quiet) == 1
    assert names(index.find_described("blue", 20, None, quiet)) == ["red.png"]
    eyes.model, eyes.dimensions = "colours@1", 3
    assert names(index.find_described("red", 20, None, quiet)) == ["blue.png"], "the vector of red was replaced"
    assert index.uncompared() == 1
    assert index.add([red], None, quiet) == 1
    assert names(index.find_described("red", 20, None, quiet)) == ["red.png", "blue.png"]


def test_what_another_connection_adds_is_found(
    index: ImageIndex, open_index: Callable[[], ImageIndex], paint: Callable[..., Added]
) -> None:
    index.add([paint("blue")], None, quiet)
    assert len(index.find_described("red", 20, None, quiet)) == 1
    other = open_index()
    other.add([paint("red")], None, quiet)
    assert names(index.find_described("red", 20, None, quiet)) == ["red.png", "blue.png"]


def test_a_picture_whose_content_is_gone_is_not_found(
    index: ImageIndex, tmp_path: Path, paint: Callable[..., Added]
) -> None:
    red = paint("red")
    index.add([red, paint("blue")], None, quiet)
    content_path(tmp_path / "files", red[0]).unlink()
    assert names(index.find_described("red", 2, None, quiet)) == ["blue.png"]


def draw(folder: Path, count: int) -> list[Path]:
    """Save pictures of noise, which even a random model tells apart."""
    folder.mkdir()
    noise = np.random.default_rng(0).integers(0, 256, (count, 40, 40, 3), np.uint8)
    for number, pixels in enumerate(noise):
        Pictures.fromarray(pixels).save(folder / f"{number}.png")
    return sorted(folder.iterdir())


def test_clip_finds_what_a_plain_search_over_its_vectors_finds(tiny: Callable[..., Assistant], tmp_path: Path) -> None:
    settings = tiny("cpu", "features").settings
    assistant = Assistant(settings, owner=uuid.uuid4().hex)
    paths = draw(tmp_path / "noise", 6)
    assert assistant.images.add_folder(tmp_path / "noise").added == 6
    asked = Pictures.open(paths[2]).convert("RGB")
    vectors = embed_images([Pictures.open(path).convert("RGB") for path in paths])
    for query, found in (
        (vectors[2], assistant.images.find_similar(asked, 6, None, quiet)),
        (embed_texts(["a boat"])[0], assistant.images.find_described("a boat", 6, None, quiet)),
    ):
        cosines = vectors @ query
        assert names(found) == [paths[i].name for i in np.argsort(-cosines)]
        assert [image.similarity for image in found] == pytest.approx(np.sort(cosines)[::-1], abs=1e-5)
    assistant.close()


def test_pictures_survive_a_restart_and_another_process_adds_to_them(
    tiny: Callable[..., Assistant], tmp_path: Path
) -> None:
    settings, owner = tiny("cpu", "features").settings, uuid.uuid4().hex
    first = Assistant(settings, owner)
    draw(tmp_path / "noise", 3)
    first.images.add_folder(tmp_path / "noise")
    first.close()
    second = Assistant(settings, owner)
    assert len(second.images.find_described("a boat", 20, None, quiet)) == 3
    Pictures.new("RGB", (40, 40), "navy").save(tmp_path / "navy.png")
    code = f"""
from pathlib import Path
from assistant import Assistant
from assistant.settings import Settings
other = Assistant(Settings(data=Path({str(settings.data)!r}), profile="cpu"), {owner!r})
print(other.call("add_image", image={str(tmp_path / "navy.png")!r}).text)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "navy.png was added to the pictures."
    with Pictures.open(tmp_path / "navy.png") as navy:
        found = second.images.find_similar(navy.convert("RGB"), 1, None, quiet)
    assert names(found) == ["navy.png"] and found[0].similarity == pytest.approx(1, abs=1e-5)
    second.close()
