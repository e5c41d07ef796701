"""The library of one owner: documents, their passages and vectors in SQLite, searched through FAISS.

The vectors in SQLite are the truth; the index is built from them in memory, so there is no index file to be damaged
or to disagree. Knows no tool and no chat.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass

from assistant.artifacts import Document
from assistant.database import Database
from assistant.embedder import embed
from assistant.library.documents import read_pages
from assistant.library.index import VectorIndex
from assistant.library.passages import split_pages
from assistant.types import Progress

SCHEMA = """
CREATE TABLE IF NOT EXISTS documents (
    digest TEXT PRIMARY KEY, name TEXT NOT NULL, pages INTEGER NOT NULL
);
CREATE TABLE IF NOT EXISTS passages (
    id INTEGER PRIMARY KEY AUTOINCREMENT, digest TEXT NOT NULL REFERENCES documents (digest),
    page INTEGER NOT NULL, text TEXT NOT NULL, vector BLOB NOT NULL
);
"""


@dataclass(frozen=True, slots=True)
class Added:
    """What became of a document: how many passages it has, and whether it was there before."""

    name: str
    passages: int
    known: bool


@dataclass(frozen=True, slots=True)
class Hit:
    """A passage that was found; `page` is None for documents without pages, `score` a cosine similarity."""

    document: str
    page: int | None
    text: str
    score: float

    @property
    def citation(self) -> str:
        """Where the passage stands, such as "lease.pdf, page 2"."""
        return self.document if self.page is None else f"{self.document}, page {self.page}"


class Library:
    """Add documents, search them."""

    def __init__(self, database: Database) -> None:
        """Keep everything in `database`; the index is built at the first search."""
        self._database = database
        self._index = VectorIndex()

    def add(self, document: Document, stop: threading.Event | None, progress: Progress) -> Added:
        """Read, cut, embed and store a document, all or nothing; the same content again adds nothing."""
        known = self._database.rows("SELECT COUNT(*) FROM passages WHERE digest = ?", document.digest)[0][0]
        if known:
            return Added(document.name, known, known=True)
        pages = read_pages(document)
        passages = split_pages(pages)
        vectors = embed([passage.text for passage in passages], stop, progress)
        with self._database.transaction() as connection:
            connection.execute(
                "INSERT OR REPLACE INTO documents VALUES (?, ?, ?)",
                (document.digest, document.name, len(pages)),
            )
            connection.executemany(
                "INSERT INTO passages (digest, page, text, vector) VALUES (?, ?, ?, ?)",
                [
                    (document.digest, passage.page, passage.text, vector.tobytes())
                    for passage, vector in zip(passages, vectors, strict=True)
                ],
            )
        return Added(document.name, len(passages), known=False)

    def search(self, query: str, count: int, stop: threading.Event | None = None) -> list[Hit]:
        """Return at most `count` passages, best first."""
        asked = embed([query], stop)[0]
        self._refresh()
        hits = [self._hit(passage, score) for passage, score in self._index.search(asked, count)]
        return [hit for hit in hits if hit is not None]

    def holds(self, digest: str) -> bool:
        """Tell whether the document with this SHA-256 is in the library."""
        return bool(self._database.rows("SELECT 1 FROM documents WHERE digest = ?", digest))

    def documents(self) -> list[str]:
        """Return the names of all documents."""
        return [row["name"] for row in self._database.rows("SELECT name FROM documents ORDER BY rowid")]

    def _refresh(self) -> None:
        """Take in passages stored since the last search, by this process or another."""
        rows = self._database.rows("SELECT id, vector FROM passages WHERE id > ? ORDER BY id", self._index.newest)
        self._index.refresh([(row["id"], row["vector"]) for row in rows])

    def _hit(self, passage: int, score: float) -> Hit | None:
        rows = self._database.rows(
            "SELECT name, pages, page, text FROM passages JOIN documents USING (digest) WHERE id = ?", passage
        )
        if not rows:
            return None  # removed by another process
        name, pages, page, text = rows[0]
        return Hit(name, page if name.lower().endswith(".pdf") or pages > 1 else None, text, score)
