"""Reads a document's text page by page. Knows file formats, no passages and no index."""

from __future__ import annotations

from assistant.artifacts import Document
from assistant.errors import ToolError


def read_pages(document: Document) -> list[str]:
    """Return the text of each page; plain text and Markdown are one page. `ToolError` where there is none to read."""
    is_pdf = document.media_type == "application/pdf"
    pages = _read_pdf(document) if is_pdf else [document.path.read_text("utf-8-sig")]
    if not any(page.strip() for page in pages):
        raise ToolError(
            f"{document.name!r} has {len(pages)} pages but no text; it may be scanned. "
            "Attach its pages as pictures and ask to read them."
        )
    return pages


def _read_pdf(document: Document) -> list[str]:
    import pypdfium2

    try:
        with pypdfium2.PdfDocument(document.path) as pdf:
            return [_page_text(page) for page in pdf]
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
