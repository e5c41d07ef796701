"""Keeps documents and finds passages in them, with sentence embeddings and FAISS."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from pydantic import Field

from assistant.artifacts import Document
from assistant.errors import ToolError
from assistant.library import Library
from assistant.tools import Run, tool

FLOOR = 0.6  # passages scoring below this share of the best are noise next to it


@dataclass(frozen=True, slots=True)
class Passage:
    """A passage with where it stands ("lease.pdf, page 2") and its cosine similarity to the query."""

    citation: str
    text: str
    score: float


@dataclass(frozen=True, slots=True)
class Passages:
    """What was found, best first, and the same as text with the citations."""

    text: str
    passages: tuple[Passage, ...]


@tool(effects="writes", on_upload=True)
def add_to_library(document: Document, *, library: Library, run: Run) -> str:
    """Add a document (PDF, Markdown or plain text) to the library, so that it can be searched from now on.

    Args:
        document: The document to add.

    Examples:
        Keep this file so that I can ask about it later.
        Remember this document.
    """
    added = library.add(document, run.stop, run.progress)
    size = "1 passage" if added.passages == 1 else f"{added.passages} passages"
    if added.known:
        return f"{added.name} is in the library already ({size})."
    return f"{added.name} was added to the library ({size})."


def _nearness(request: str, *, library: Library) -> float:
    return max((hit.score for hit in library.search(request, 1)), default=0.0)


@tool(relevance=_nearness)
def search_library(
    query: Annotated[str, Field(min_length=1)],
    count: Annotated[int, Field(ge=1, le=20)] = 3,
    *,
    library: Library,
    run: Run,
) -> Passages:
    """Search the documents in the library for an answer and return the passages that fit, with file and page.

    Args:
        query: What to look for, in the person's words.
        count: The most passages wanted.

    Examples:
        Search my documents for a delivery date.
        What do my notes say about the trip?
        Look it up in the manual.
    """
    hits = library.search(query, count, run.stop)
    if not hits:
        raise ToolError("The library is empty. Attach a PDF, Markdown or text file to fill it.")
    near = [hit for hit in hits if hit.score >= FLOOR * hits[0].score]
    passages = tuple(Passage(hit.citation, hit.text, round(hit.score, 4)) for hit in near)
    return Passages("\n\n".join(f"[{p.citation}] {p.text}" for p in passages), passages)
