"""The files of one conversation: kept by content, named by handles such as "image-1". Knows no model and no tool.

A store belongs to one conversation, so a handle of another conversation does not resolve here. Contents lie under
their SHA-256 in a private folder that nothing serves.
"""

from __future__ import annotations

import dataclasses
import hashlib
import io
import os
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from assistant.database import Database
from assistant.errors import BadInput, BadToolCall
from assistant.pictures import ACCEPTED, MAKING, open_image
from assistant.settings import MEGABYTE, Settings
from assistant.types import Artifact, Kind

if TYPE_CHECKING:
    from PIL.Image import Image

SCHEMA = """
CREATE TABLE IF NOT EXISTS artifacts (
    conversation TEXT NOT NULL, id TEXT NOT NULL, kind TEXT NOT NULL, media_type TEXT NOT NULL,
    name TEXT NOT NULL, digest TEXT NOT NULL, size INTEGER NOT NULL, alt TEXT NOT NULL DEFAULT '',
    PRIMARY KEY (conversation, id)
);
"""
INSERT = "INSERT INTO artifacts VALUES (?, ?, ?, ?, ?, ?, ?, ?)"  # conversation, and the fields of an Artifact
MARKDOWN_ENDINGS = (".md", ".markdown")
ALT_CHARACTERS = 250  # of what a picture shows; a screen reader reads it out at one go


@dataclass(frozen=True, slots=True)
class Document:
    """A document as a tool gets it: `path` to its bytes, `name` as the person called it."""

    path: Path
    name: str
    media_type: str
    digest: str


class ArtifactStore:
    """The artifacts of the conversation `conversation`."""

    def __init__(self, database: Database, folder: Path, conversation: str, settings: Settings) -> None:
        """Keep contents under `folder` and handles in `database`."""
        self._database = database
        self._folder = folder
        self._conversation = conversation
        self._settings = settings

    def add_file(self, path: Path) -> Artifact:
        """Take in a file of the person; `BadInput` says in a sentence why it cannot be used."""
        return self.add_files([path])[0]

    def add_files(self, paths: Sequence[Path]) -> list[Artifact]:
        """Take in files of the person, all or, when one cannot be used, none."""
        contents = [(read_file(path, self._settings), path.name) for path in paths]
        kinds = [self._recognise(content, name) for content, name in contents]
        return [self._keep(content, *kind, name) for (content, name), kind in zip(contents, kinds, strict=True)]

    def add(self, content: bytes, name: str) -> Artifact:
        """Take in `content`, whose kind is found by looking at it, never by its name."""
        _check_size(name, len(content), self._settings)
        kind, media_type = self._recognise(content, name)
        return self._keep(content, kind, media_type, name)

    def add_image(self, image: Image, name: str, alt: str = "") -> Artifact:
        """Keep a picture that a tool made and that shows `alt`, as PNG, with what its `info` says under `MAKING`."""
        from PIL.PngImagePlugin import PngInfo

        making = PngInfo()
        for key in MAKING:
            if isinstance(told := image.info.get(key), str):
                making.add_text(key, told)
        buffer = io.BytesIO()
        # the fastest level: a 10-megapixel photo takes half a second instead of two, for a fifth more bytes
        image.save(buffer, "PNG", pnginfo=making, compress_level=1)
        return self._keep(buffer.getvalue(), "image", "image/png", name, _on_one_line(alt))

    def restore(self, files: Sequence[tuple[Artifact, bytes]]) -> None:
        """Keep files of an exported conversation under their handles; `BadInput` if one is not what it says."""
        for artifact, content in files:
            if self._recognise(content, artifact.name) != (artifact.kind, artifact.media_type):
                raise BadInput(f"{artifact.name!r} in this export is no {artifact.media_type}. Nothing was taken in.")
        with self._database.transaction() as connection:
            for artifact, content in files:
                write_once(self.path(artifact), content)
                connection.execute(INSERT, (self._conversation, *dataclasses.astuple(artifact)))

    def forget(self) -> list[str]:
        """Let the handles of this conversation go; return the digests that no other conversation has."""
        with self._database.transaction() as connection:
            rows = connection.execute(
                "DELETE FROM artifacts WHERE conversation = ? RETURNING digest", (self._conversation,)
            ).fetchall()
            digests = {row["digest"] for row in rows}
            kept = {row["digest"] for row in connection.execute("SELECT DISTINCT digest FROM artifacts")}
        return sorted(digests - kept)

    def describe(self, digest: str, alt: str) -> None:
        """Keep from now on, under each of its handles, what the picture with the SHA-256 `digest` shows."""
        with self._database.transaction() as connection:
            connection.execute(
                "UPDATE artifacts SET alt = ? WHERE conversation = ? AND digest = ?",
                (_on_one_line(alt), self._conversation, digest),
            )

    def all(self, kind: Kind | None = None) -> list[Artifact]:
        """Return the conversation's artifacts, oldest first."""
        rows = self._database.rows(
            "SELECT id, kind, media_type, name, digest, size, alt FROM artifacts WHERE conversation = ? ORDER BY rowid",
            self._conversation,
        )
        return [Artifact(*row) for row in rows if kind in (None, row["kind"])]

    def get(self, handle: str) -> Artifact:
        """Return the artifact `handle` of this conversation, or raise `BadToolCall` listing those there are."""
        known = {artifact.id: artifact for artifact in self.all()}
        if handle not in known:
            there = ", ".join(known) or "none; a file must be attached first"
            raise BadToolCall(f"There is no {handle!r} in this conversation. The files are: {there}.")
        return known[handle]

    def path(self, artifact: Artifact) -> Path:
        """Return where the bytes of `artifact` lie."""
        return content_path(self._folder, artifact.digest)

    def image(self, artifact: Artifact) -> Image:
        """Open a picture as RGB, turned the way its EXIF orientation says.

        Its `info` says which it is: "digest" and "name"; a copy that a tool makes of it says the same.
        """
        image = open_image(self.path(artifact).read_bytes(), artifact.name, self._settings)
        image.info |= {"digest": artifact.digest, "name": artifact.name}
        return image

    def document(self, artifact: Artifact) -> Document:
        """Give a document the way tools take it."""
        return Document(self.path(artifact), artifact.name, artifact.media_type, artifact.digest)

    def _recognise(self, content: bytes, name: str) -> tuple[Kind, str]:
        if content.startswith(b"%PDF-"):
            return "document", "application/pdf"
        if _looks_like_text(content):
            ending = Path(name).suffix.lower()
            return "document", "text/markdown" if ending in MARKDOWN_ENDINGS else "text/plain"
        image = open_image(content, name, self._settings)
        return "image", str(image.info["media_type"])

    def _keep(self, content: bytes, kind: Kind, media_type: str, name: str, alt: str = "") -> Artifact:
        digest = hashlib.sha256(content).hexdigest()
        name = name.encode("utf-8", "replace").decode()  # a file system may hold names that are no text
        with self._database.transaction() as connection:
            taken = connection.execute(
                "SELECT COUNT(*) FROM artifacts WHERE conversation = ? AND kind = ?",
                (self._conversation, kind),
            ).fetchone()[0]
            artifact = Artifact(f"{kind}-{taken + 1}", kind, media_type, name, digest, len(content), alt)
            write_once(self.path(artifact), content)
            connection.execute(INSERT, (self._conversation, *dataclasses.astuple(artifact)))
        return artifact


def read_file(path: Path, settings: Settings) -> bytes:
    """Read a file of the person; `BadInput` where there is none, or it is empty or too large."""
    try:
        if not path.is_file():
            raise BadInput(f"There is no file {str(path)!r}. Check the path and try again.")
        _check_size(path.name, path.stat().st_size, settings)
        return path.read_bytes()
    except OSError as error:
        raise BadInput(f"The file {str(path)!r} cannot be read ({error.strerror}). Check the path.") from None


def content_path(folder: Path, digest: str) -> Path:
    """Return where in `folder` the content of the SHA-256 `digest` lies."""
    return folder / digest[:2] / digest


def _on_one_line(alt: str) -> str:
    words = " ".join(alt.split())
    return words if len(words) <= ALT_CHARACTERS else f"{words[: ALT_CHARACTERS - 1]}…"


def _check_size(name: str, size: int, settings: Settings) -> None:
    if size == 0:
        raise BadInput(f"{name!r} is empty. Attach {ACCEPTED}.")
    if size > settings.max_upload_mb * MEGABYTE:
        raise BadInput(
            f"{name!r} has {size / MEGABYTE:.0f} MB; the limit is {settings.max_upload_mb:.0f} MB. "
            "Attach a smaller file, or raise ASSISTANT_MAX_UPLOAD_MB."
        )


def _looks_like_text(content: bytes) -> bool:
    if b"\0" in content:
        return False
    try:
        content.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return True


def write_once(path: Path, content: bytes) -> None:
    """Write a file that is not there through a temporary file, so that a crash leaves either the whole file or none."""
    if path.exists():
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile(dir=path.parent, delete=False) as file:
        try:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
            Path(file.name).replace(path)
        except BaseException:
            Path(file.name).unlink(missing_ok=True)
            raise
