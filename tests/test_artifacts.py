"""Files are taken in by what they hold; every bad one is refused in a sentence and leaves nothing behind."""

from __future__ import annotations

import io
import os
import random
import tracemalloc
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from PIL import Image as Pictures
from PIL import ImageFile
from PIL.Image import Image, Transpose
from PIL.PngImagePlugin import PngInfo

from assistant import artifacts
from assistant.artifacts import ArtifactStore
from assistant.database import Database
from assistant.errors import BadInput, BadToolCall
from assistant.settings import Settings

NOISE = random.Random(0).randbytes(20_000)
ORIENTATION, ARTIST, WIDTH = 0x0112, 0x013B, 0x0100  # EXIF tags
HELD = {  # by the orientation that the EXIF 2.32 standard gives it: how a camera's sensor saw the upright picture
    2: Transpose.FLIP_LEFT_RIGHT,
    3: Transpose.ROTATE_180,
    4: Transpose.FLIP_TOP_BOTTOM,
    5: Transpose.TRANSPOSE,
    6: Transpose.ROTATE_90,
    7: Transpose.TRANSVERSE,
    8: Transpose.ROTATE_270,
}


@pytest.fixture
def stores(settings: Settings, tmp_path: Path) -> Iterator[Callable[[str], ArtifactStore]]:
    database = Database(tmp_path / "test.sqlite", artifacts.SCHEMA)
    yield lambda conversation: ArtifactStore(database, tmp_path / "files", conversation, settings)
    database.close()


@pytest.fixture
def store(stores: Callable[[str], ArtifactStore]) -> ArtifactStore:
    return stores("here")


@pytest.fixture
def no_decoding(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fail when the pixels of a picture are read."""

    def load(self: ImageFile.ImageFile) -> None:
        raise AssertionError("the pixels were decoded")

    monkeypatch.setattr(ImageFile.ImageFile, "load", load)


def encoded(picture: Image, form: str = "PNG", **options: object) -> bytes:
    """Encode a picture as a file of the format `form`."""
    buffer = io.BytesIO()
    picture.save(buffer, form, **options)
    return buffer.getvalue()


def files_in(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file()]


def refused(store: ArtifactStore, content: bytes, name: str) -> str:
    """Take in a bad file, check that nothing came of it, and return the sentence."""
    with pytest.raises(BadInput) as error:
        store.add(content, name)
    assert store.all() == [] and repr(name) in str(error.value)
    return str(error.value)


@pytest.mark.parametrize("name", ["cat.png", "cat.txt", "cat.pdf"])
def test_random_bytes_are_no_file_whatever_their_name(store: ArtifactStore, name: str) -> None:
    assert "is no file that Maru reads. Attach a picture (PNG," in refused(store, NOISE, name)


def test_an_archive_is_refused(store: ArtifactStore) -> None:
    assert "is no file that Maru reads" in refused(store, b"PK\x03\x04" + NOISE, "all.zip")


@pytest.mark.parametrize("form", ["EPS", "ICO", "TGA"])
def test_a_picture_in_a_format_that_is_not_offered_is_refused(store: ArtifactStore, form: str) -> None:
    content = encoded(Pictures.new("RGB", (16, 16)), form) + NOISE
    assert "is no file that Maru reads. Attach a picture (PNG," in refused(store, content, "drawing")


def test_a_cut_short_jpeg_is_refused(store: ArtifactStore) -> None:
    whole = encoded(Pictures.frombytes("RGB", (80, 80), NOISE[:19_200]), "JPEG")
    sentence = refused(store, whole[: len(whole) // 2], "cut.jpg")
    assert "is damaged (image file is truncated" in sentence and "Save it anew" in sentence


@pytest.mark.usefixtures("no_decoding")
def test_a_picture_of_20000_by_20000_pixels_is_refused_undecoded(store: ArtifactStore) -> None:
    bomb = encoded(Pictures.new("1", (20_000, 20_000)))
    assert len(bomb) < 100_000
    assert "has more pixels than can be opened. Scale it down" in refused(store, bomb, "bomb.png")


@pytest.mark.usefixtures("no_decoding")
def test_a_picture_over_the_limit_of_pixels_is_refused_undecoded(store: ArtifactStore) -> None:
    sentence = refused(store, encoded(Pictures.new("1", (12_000, 10_000))), "big.png")
    assert "has 12000 x 10000 pixels; the limit is 100 million" in sentence
    assert "ASSISTANT_MAX_PIXELS_MILLIONS" in sentence


def test_an_empty_file_is_refused(store: ArtifactStore) -> None:
    assert refused(store, b"", "nothing.txt").startswith("'nothing.txt' is empty. Attach a picture")


def test_a_file_of_500_mb_is_refused_without_being_read(store: ArtifactStore, tmp_path: Path) -> None:
    path = tmp_path / "film.png"
    path.touch()
    os.truncate(path, 500_000_000)
    tracemalloc.start()
    try:
        with pytest.raises(BadInput, match=r"'film\.png' has 500 MB; the limit is 100 MB\..*ASSISTANT_MAX_UPLOAD_MB"):
            store.add_file(path)
        assert tracemalloc.get_traced_memory()[1] < 10_000_000
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("name", ["missing.png", ".", "n" * 300])
def test_a_path_without_a_file_is_refused(store: ArtifactStore, tmp_path: Path, name: str) -> None:
    with pytest.raises(BadInput, match=r"Check the path") as error:
        store.add_file(tmp_path / name)
    assert str(tmp_path / name) in str(error.value)


def test_one_bad_file_among_several_keeps_them_all_out(store: ArtifactStore, picture: Path, tmp_path: Path) -> None:
    bad = tmp_path / "bad.png"
    bad.write_bytes(NOISE)
    with pytest.raises(BadInput, match=r"bad\.png"):
        store.add_files([picture, bad])
    assert store.all() == [] and files_in(tmp_path / "files") == []


@pytest.mark.parametrize(
    ("content", "name", "media_type"),
    [
        ("Grüße, 你好".encode(), "letter.txt", "text/plain"),
        (b"# Title", "notes.MD", "text/markdown"),
        (b"just words", "picture.png", "text/plain"),
        (b"%PDF-1.7\n" + NOISE, "paper.png", "application/pdf"),
    ],
)
def test_a_document_is_known_by_its_content(store: ArtifactStore, content: bytes, name: str, media_type: str) -> None:
    artifact = store.add(content, name)
    assert (artifact.id, artifact.kind, artifact.media_type) == ("document-1", "document", media_type)
    assert (artifact.name, artifact.size) == (name, len(content))
    document = store.document(artifact)
    assert (document.path.read_bytes(), document.name) == (content, name)
    assert (document.media_type, document.digest) == (media_type, artifact.digest)


def test_text_in_another_encoding_is_refused_naming_utf_8(store: ArtifactStore) -> None:
    assert "in UTF-8" in refused(store, "Grüße".encode("latin-1"), "old.txt")
    assert "in UTF-8" in refused(store, "Grüße".encode("utf-16"), "wide.txt")


@pytest.mark.parametrize("form", ["PNG", "JPEG", "WebP", "GIF", "BMP", "TIFF"])
def test_a_picture_is_known_by_its_content(store: ArtifactStore, form: str) -> None:
    artifact = store.add(encoded(Pictures.new("RGB", (6, 4), "red"), form), "wrong.txt")
    assert (artifact.id, artifact.kind, artifact.media_type) == ("image-1", "image", f"image/{form.lower()}")
    red, green, blue = store.image(artifact).getpixel((3, 2))
    assert red > 250 and green < 5 and blue < 5


@pytest.mark.parametrize(
    ("mode", "colour", "form", "seen"),
    [
        ("RGBA", (10, 20, 30, 255), "PNG", (10, 20, 30)),
        ("RGBA", (10, 20, 30, 0), "PNG", (255, 255, 255)),  # black letters on nothing must stay readable
        ("P", 0, "PNG", (0, 0, 0)),
        ("L", 99, "PNG", (99, 99, 99)),
        ("LA", (99, 255), "PNG", (99, 99, 99)),
        ("1", 1, "PNG", (255, 255, 255)),
        ("I;16", 0x8000, "PNG", (128, 128, 128)),
        ("I;16", 0x8000, "TIFF", (128, 128, 128)),
        ("I;16B", 0xFFFF, "TIFF", (255, 255, 255)),
        ("CMYK", (0, 255, 255, 0), "TIFF", (255, 0, 0)),
    ],
)
def test_every_kind_of_pixel_opens_as_rgb(
    store: ArtifactStore, mode: str, colour: object, form: str, seen: tuple[int, int, int]
) -> None:
    picture = store.image(store.add(encoded(Pictures.new(mode, (4, 4), colour), form), "picture"))
    assert (picture.mode, picture.getpixel((1, 1))) == ("RGB", seen)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_picture_is_turned_the_way_its_exif_says(store: ArtifactStore, orientation: int) -> None:
    upright = Pictures.new("RGB", (64, 32), "white")
    upright.paste("black", (0, 0, 16, 16))
    exif = Pictures.Exif()
    exif[ORIENTATION] = orientation
    held = upright if orientation == 1 else upright.transpose(HELD[orientation])
    turned = store.image(store.add(encoded(held, "PNG", exif=exif), "phone.png"))
    assert turned.size == upright.size and turned.tobytes() == upright.tobytes()


def test_odd_exif_does_not_keep_a_picture_from_being_turned(store: ArtifactStore) -> None:
    exif = Pictures.Exif()
    exif[ORIENTATION], exif[ARTIST] = 6, "me"
    whole = encoded(Pictures.new("RGB", (64, 32)), "JPEG", exif=exif)
    odd = whole.replace(ARTIST.to_bytes(2, "big"), WIDTH.to_bytes(2, "big"), 1)  # a width that is a text
    assert odd != whole
    assert store.image(store.add(odd, "odd.jpg")).size == (32, 64)


def test_a_picture_of_a_tool_is_kept_as_png(store: ArtifactStore) -> None:
    artifact = store.add_image(Pictures.new("RGB", (5, 5), "blue"), "made.png")
    assert (artifact.media_type, artifact.name) == ("image/png", "made.png")
    assert store.image(artifact).getpixel((0, 0)) == (0, 0, 255)


def test_an_opened_picture_says_which_it_is(store: ArtifactStore) -> None:
    lie = PngInfo()
    lie.add_text("digest", "another")
    lie.add_text("name", "another.png")
    artifact = store.add(encoded(Pictures.new("RGB", (2, 2)), pnginfo=lie), "mine.png")
    opened = store.image(artifact)
    assert (opened.info["digest"], opened.info["name"]) == (artifact.digest, "mine.png")
    made = store.add_image(opened.copy(), "made.png")
    with Pictures.open(store.path(made)) as file:
        assert "digest" not in file.info, "what a tool makes of it is another picture"


def test_what_a_picture_says_of_its_making_is_kept_and_does_not_pass_to_what_is_made_of_it(
    store: ArtifactStore,
) -> None:
    painted = Pictures.new("RGB", (5, 5), "blue")
    painted.info = {
        "maru": '{"prompt": "Möwe 🐦"}',
        "parameters": "a gull\nSteps: 4",
        "comment": "mine",
        "dpi": (72, 72),
    }
    kept = store.add_image(painted, "made.png")
    with Pictures.open(store.path(kept)) as file:
        assert file.text == {"maru": '{"prompt": "Möwe 🐦"}', "parameters": "a gull\nSteps: 4"}
    turned = store.add_image(store.image(kept).rotate(90), "turned.png")
    with Pictures.open(store.path(turned)) as file:
        assert file.text == {}


def test_the_same_content_is_stored_once_under_two_handles(store: ArtifactStore, tmp_path: Path) -> None:
    first, second = store.add(b"same", "a.txt"), store.add(b"same", "b.txt")
    assert (first.id, second.id, first.digest) == ("document-1", "document-2", second.digest)
    assert files_in(tmp_path / "files") == [store.path(first)]


def test_what_a_picture_shows_is_kept_under_each_of_its_handles_here(stores: Callable[[str], ArtifactStore]) -> None:
    here, there = stores("here"), stores("there")
    red, blue = (encoded(Pictures.new("RGB", (2, 2), colour)) for colour in ("red", "blue"))
    for content in (red, blue, red):
        here.add(content, "file")
    assert [artifact.alt for artifact in here.all()] == ["", "", ""]
    there.add(red, "file")
    here.describe(here.get("image-1").digest, "A red\n square. ")
    assert [artifact.alt for artifact in here.all()] == ["A red square.", "", "A red square."]
    assert there.get("image-1").alt == ""


def test_what_a_picture_shows_is_kept_at_a_length_that_can_be_listened_to(store: ArtifactStore) -> None:
    made = store.add_image(Pictures.new("RGB", (2, 2)), "made.png", "much to see\n" * 100)
    assert made.alt == f"{('much to see ' * 100)[:249]}…" and store.get(made.id) == made
    store.describe(made.digest, "x" * 250)
    assert store.get(made.id).alt == "x" * 250


def test_handles_are_counted_for_each_kind_and_conversation(stores: Callable[[str], ArtifactStore]) -> None:
    here, there = stores("here"), stores("there")
    red = encoded(Pictures.new("RGB", (2, 2), "red"))
    for content in (red, b"words", red, b"more words"):
        here.add(content, "file")
    assert there.add(red, "file").id == "image-1"
    assert [artifact.id for artifact in here.all()] == ["image-1", "document-1", "image-2", "document-2"]
    assert [artifact.id for artifact in here.all("image")] == ["image-1", "image-2"]


def test_a_handle_of_another_conversation_is_answered_with_the_files_here(
    stores: Callable[[str], ArtifactStore],
) -> None:
    here, there = stores("here"), stores("there")
    there.add(b"secret", "secret.txt")
    with pytest.raises(BadToolCall, match=r"no 'document-1' in this conversation\. The files are: none; .* attached"):
        here.get("document-1")
    here.add(encoded(Pictures.new("RGB", (2, 2))), "red.png")
    with pytest.raises(BadToolCall, match=r"The files are: image-1\."):
        here.get("document-1")
    assert here.get("image-1").name == "red.png"


@pytest.mark.parametrize("interruption", [OSError("disk full"), KeyboardInterrupt()])
def test_nothing_is_left_of_an_interrupted_write(
    store: ArtifactStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, interruption: BaseException
) -> None:
    def interrupt(descriptor: int) -> None:
        raise interruption

    with monkeypatch.context() as broken:
        broken.setattr(os, "fsync", interrupt)
        with pytest.raises(type(interruption)):
            store.add(b"words", "words.txt")
    assert store.all() == [] and files_in(tmp_path / "files") == []
    assert store.add(b"words", "words.txt").id == "document-1"
