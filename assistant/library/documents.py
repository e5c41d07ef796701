"""Reads a document's text page by page, and draws the pages of a PDF. Knows file formats, no passages and no index."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from assistant.artifacts import Document
from assistant.errors import ToolError

if TYPE_CHECKING:
    from PIL.Image import Image

PDF = "application/pdf"
DPI = 150  # enough for small print; a page of A4 then has fewer pixels than the reader of text scales pictures down to
LONGEST_SIDE = 3000  # pixels; of a poster, which at that resolution would not fit into memory
_pdfium = threading.Lock()  # pdfium may be used by one thread at a time, whatever the document


def read_pages(document: Document) -> list[str]:
    """Return the text of each page; plain text and Markdown are one page. `ToolError` where there is none to read."""
    is_pdf = document.media_type == PDF
    pages = _read_pdf(document) if is_pdf else [document.path.read_text("utf-8-sig")]
    if not any(page.strip() for page in pages):
        raise ToolError(
            f"{document.name!r} has {len(pages)} pages but no text; it may be scanned. "
            "Attach its pages as pictures and ask to read them."
        )
    return pages


def count_pages(document: Document) -> int:
    """Return how many pages a PDF has; `ToolError` where it cannot be opened or is none."""
    if document.media_type != PDF:
        raise ToolError(f"{document.name!r} is text without pages. Use search_library to find something in it.")
    with _opened(document) as pdf:
        return len(pdf)


def draw_page(document: Document, number: int) -> Image:
    """Draw a page of a PDF, counted from 1, as RGB with `DPI` pixels an inch, form fields and annotations included.

    The file is open only meanwhile, so whoever goes through many pages holds one picture and no lock.
    """
    with _opened(document) as pdf:
        pdf.init_forms()
        page = pdf[number - 1]
        scale = min(DPI / 72, LONGEST_SIDE / max(page.get_size()))
        bitmap = page.render(scale=scale)
        picture: Image = bitmap.to_pil().convert("RGB")
        bitmap.close()
        return picture


def _read_pdf(document: Document) -> list[str]:
    with _opened(document) as pdf:
        return [_page_text(page) for page in pdf]


@contextlib.contextmanager
def _opened(document: Document) -> Iterator[Any]:
    """Open a PDF; what pdfium finds wrong with it, now or later, becomes a `ToolError`."""
    import pypdfium2

    try:
        with _pdfium, pypdfium2.PdfDocument(document.path) as pdf:
            yield pdf
    except pypdfium2.PdfiumError as error:
        if "password" in str(error).lower():
            raise ToolError(
                f"{document.name!r} is protected by a password. Save a copy without one and attach that."
            ) from None
        raise ToolError(f"{document.name!r} is damaged ({error}). Save it anew and attach it again.") from None


def _page_text(page: object) -> str:
    text = page.get_textpage().get_text_bounded()  # type: ignore[attr-defined]
    # pdfium writes \r\n, and \ufffe where a word was hyphenated at the end of a line
    return str(text).replace("\r\n", "\n").replace("\ufffe", "")
