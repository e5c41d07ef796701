"""Writes small PDF files for tests, with reportlab and pypdf, which only tests need."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from pypdf import PdfReader, PdfWriter
from reportlab.pdfgen.canvas import Canvas


def write_pdf(path: Path, pages: Sequence[str], password: str | None = None) -> Path:
    """Write lines of text a page; with `password`, nobody opens it without."""
    canvas = Canvas(str(path))
    for text in pages:
        for line, words in enumerate(text.splitlines()):
            canvas.drawString(72, 720 - 24 * line, words)
        canvas.showPage()
    canvas.save()
    if password:
        writer = PdfWriter(PdfReader(path))
        writer.encrypt(password)
        writer.write(path)
    return path
