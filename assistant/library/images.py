"""The pictures of one owner, found by likeness or by words, across all conversations.

The vectors in SQLite are the truth; the index over them is made in memory. Vectors of two models have nothing to do
with each other, so each row names its model and only those of the model in use are compared.

The pictures themselves lie under their SHA-256 in the owner's folder of files, with the artifacts of every
conversation. The index takes that folder, since an `ArtifactStore` knows the handles of one conversation only.
Knows no tool and no chat.
"""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from assistant.artifacts import content_path, read_file, write_once
from assistant.database import Database
from assistant.errors import BadInput, Cancelled
from assistant.library.index import VectorIndex
from assistant.pictures import open_image
from assistant.residents import residents
from assistant.settings import Settings
from assistant.types import Progress
from assistant.vision.features import BATCH, embed_images, embed_texts, features

if TYPE_CHECKING:
    import numpy as np
    from PIL.Image import Image

# an id is never used again: a picture whose vector is replaced is new to every index in memory
SCHEMA = """
CREATE TABLE IF NOT EXISTS pictures (
    id INTEGER PRIMARY KEY AUTOINCREMENT, digest TEXT NOT NULL UNIQUE, name TEXT NOT NULL,
    model TEXT NOT NULL, vector BLOB NOT NULL
);
"""


@dataclass(frozen=True, slots=True)
class FoundImage:
    """A picture that was found: SHA-256 and name of its file, and its cosine similarity to what was asked."""

    digest: str
    name: str
    similarity: float


@dataclass(frozen=True, slots=True)
class FolderAdded:
    """What became of a folder: how many pictures are new, how many were known, and why other files were skipped."""

    added: int
    known: int
    skipped: tuple[str, ...]


class ImageIndex:
    """Add pictures, find them by a picture or by words, open what was found."""

    def __init__(self, database: Database, files: Path, settings: Settings) -> None:
        """Keep vectors in `database`; contents lie in the folder `files`. An index is built at the first search."""
        self._database = database
        self._files = files
        self._settings = settings
        self._indexes: dict[str, VectorIndex] = {}  # by model

    def add(self, images: Sequence[tuple[str, str, Image]], stop: threading.Event | None, progress: Progress) -> int:
        """Add pictures (digest, name, pixels) whose contents are in the folder; return how many were new.

        Each batch is stored when it is done, so what was done before `Cancelled` is kept. A picture that was added
        with another model gets the vector of the model in use.
        """
        model = _model_in_use()
        first = {digest: (digest, name, image) for digest, name, image in reversed(images)}  # under its first name
        new = [image for image in reversed(first.values()) if not self._knows(image[0], model)]
        added = 0
        for start in range(0, len(new), BATCH):
            batch = new[start : start + BATCH]
            vectors = embed_images([image for _, _, image in batch], stop, _part(progress, start / len(new)))
            added += self._store(batch, vectors, model)
            progress((start + len(batch)) / len(new), f"{start + len(batch)} of {len(new)} pictures")
        return added

    def remove(self, digest: str) -> None:
        """Let a picture go; it is found no more."""
        with self._database.transaction() as connection:
            connection.execute("DELETE FROM pictures WHERE digest = ?", (digest,))
        self._indexes.clear()

    def add_folder(
        self, folder: Path, stop: threading.Event | None = None, progress: Progress = lambda fraction, note: None
    ) -> FolderAdded:
        """Add every picture in `folder` and the folders in it; each is copied into the owner's files.

        Called again after an interruption it goes on where it was, for what is known is neither decoded nor embedded.
        """
        if not folder.is_dir():
            raise BadInput(f"There is no folder {str(folder)!r}. Check the path and try again.")
        paths = sorted(path for path in folder.rglob("*") if path.is_file())
        added, skipped = 0, list[str]()
        for start in range(0, len(paths), BATCH):
            images = []
            for path in paths[start : start + BATCH]:
                if stop is not None and stop.is_set():
                    raise Cancelled("Stopped.")
                try:
                    images += self._take_in(path)
                except BadInput as error:
                    skipped.append(str(error))
            added += self.add(images, stop, _part(progress, start / len(paths)))
            done = min(start + BATCH, len(paths))
            progress(done / len(paths), f"{done} of {len(paths)} files")
        return FolderAdded(added, len(paths) - added - len(skipped), tuple(skipped))

    def find_similar(
        self, image: Image, count: int, stop: threading.Event | None, progress: Progress
    ) -> list[FoundImage]:
        """Return at most `count` pictures, most similar first, without the one whose digest `image.info` has."""
        return self._search(embed_images([image], stop, progress)[0], count, image.info.get("digest"))

    def find_described(
        self, text: str, count: int, stop: threading.Event | None, progress: Progress
    ) -> list[FoundImage]:
        """Return at most `count` pictures, the one that fits the words best first.

        Words and pictures are never close for CLIP: cosines stay below about 0.4 (Hessel et al., "CLIPScore", 2021,
        https://arxiv.org/abs/2104.08718). They say which picture fits better, not whether one fits.
        """
        return self._search(embed_texts([text], stop, progress)[0], count)

    def open(self, found: FoundImage) -> Image:
        """Open a picture as RGB, turned the way its EXIF orientation says; `info` has its "digest" and "name"."""
        image = open_image(content_path(self._files, found.digest).read_bytes(), found.name, self._settings)
        image.info |= {"digest": found.digest, "name": found.name}
        return image

    def uncompared(self) -> int:
        """Return how many pictures are not searched, for they were added with another model."""
        rows = self._database.rows("SELECT COUNT(*) FROM pictures WHERE model != ?", _model_in_use())
        return int(rows[0][0])

    def _knows(self, digest: str, model: str) -> bool:
        return bool(self._database.rows("SELECT 1 FROM pictures WHERE digest = ? AND model = ?", digest, model))

    def _take_in(self, path: Path) -> list[tuple[str, str, Image]]:
        """Decode a file and keep a copy; empty for a picture that is known, `BadInput` for what is none."""
        content = read_file(path, self._settings)
        name = path.name.encode("utf-8", "replace").decode()  # a file system may hold names that are no text
        digest = hashlib.sha256(content).hexdigest()
        if self._knows(digest, _model_in_use()):
            return []
        image = open_image(content, name, self._settings)
        write_once(content_path(self._files, digest), content)
        return [(digest, name, image)]

    def _store(self, images: Sequence[tuple[str, str, Image]], vectors: np.ndarray, model: str) -> int:
        """Write a batch; return how many another thread or process has not written meanwhile."""
        with self._database.transaction() as connection:
            connection.executemany(
                "DELETE FROM pictures WHERE digest = ? AND model != ?", [(digest, model) for digest, _, _ in images]
            )
            return connection.executemany(
                "INSERT OR IGNORE INTO pictures (digest, name, model, vector) VALUES (?, ?, ?, ?)",
                [
                    (digest, name, model, vector.tobytes())
                    for (digest, name, _), vector in zip(images, vectors, strict=True)
                ],
            ).rowcount

    def _search(self, vector: np.ndarray, count: int, without: str | None = None) -> list[FoundImage]:
        model = _model_in_use()
        index = self._indexes.setdefault(model, VectorIndex())
        rows = self._database.rows(
            "SELECT id, vector FROM pictures WHERE model = ? AND id > ? ORDER BY id", model, index.newest
        )
        index.refresh([(row["id"], row["vector"]) for row in rows])
        found = [self._found(number, similarity) for number, similarity in index.search(vector, count + 1)]
        return [image for image in found if image is not None and image.digest != without][:count]

    def _found(self, number: int, similarity: float) -> FoundImage | None:
        rows = self._database.rows("SELECT digest, name FROM pictures WHERE id = ?", number)
        if not rows or not content_path(self._files, rows[0]["digest"]).is_file():
            return None  # replaced by a process with another model, or deleted
        return FoundImage(rows[0]["digest"], rows[0]["name"], similarity)


def _model_in_use() -> str:
    entry = residents().catalog.choose(features.role).entry
    return f"{entry.name}@{entry.source.revision}"


def _part(progress: Progress, done: float) -> Progress:
    """Pass on the notes of work that is a part of more: how much of that is done stays as it is."""
    return lambda fraction, note: progress(done, note)
