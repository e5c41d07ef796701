"""The pages of a PDF are drawn as a person sees them, one at a time."""

from __future__ import annotations

from pathlib import Path

import pytest
from PIL import ImageChops
from PIL.Image import Image
from reportlab.pdfgen.canvas import Canvas

from assistant.artifacts import Document
from assistant.errors import ToolError
from assistant.library import count_pages, draw_page
from tests.pdf import write_pdf


def pdf(path: Path) -> Document:
    return Document(path, path.name, "application/pdf", "0" * 64)


def ink(picture: Image) -> tuple[int, int, int, int] | None:
    """The box around everything that is not white."""
    return ImageChops.invert(picture).getbbox()


def test_pages_are_counted_and_drawn_at_150_pixels_an_inch(tmp_path: Path) -> None:
    canvas = Canvas(str(tmp_path / "two.pdf"), pagesize=(720, 360))
    canvas.rect(72, 72, 144, 36, fill=1)
    canvas.showPage()
    canvas.showPage()
    canvas.save()
    document = pdf(tmp_path / "two.pdf")
    assert count_pages(document) == 2
    page = draw_page(document, 1)
    assert (page.mode, page.size) == ("RGB", (1500, 750))
    found = ink(page)
    assert found is not None
    assert all(abs(a - b) <= 2 for a, b in zip(found, (150, 525, 450, 600), strict=True)), found
    assert ink(draw_page(document, 2)) is None


def test_a_poster_is_drawn_smaller(tmp_path: Path) -> None:
    canvas = Canvas(str(tmp_path / "poster.pdf"), pagesize=(14400, 7200))
    canvas.showPage()
    canvas.save()
    assert draw_page(pdf(tmp_path / "poster.pdf"), 1).size == (3000, 1500)


def test_what_was_filled_into_a_form_is_drawn(tmp_path: Path) -> None:
    for value in ("", "Alder"):
        canvas = Canvas(str(tmp_path / f"form{value}.pdf"))
        canvas.acroForm.textfield(name="name", value=value, x=100, y=500, width=200, height=30, borderWidth=0)
        canvas.showPage()
        canvas.save()
    empty, filled = draw_page(pdf(tmp_path / "form.pdf"), 1), draw_page(pdf(tmp_path / "formAlder.pdf"), 1)
    assert ImageChops.difference(empty, filled).getbbox() is not None


def test_a_text_a_protected_and_a_broken_file_are_sentences(tmp_path: Path) -> None:
    text = Document(tmp_path / "notes.md", "notes.md", "text/markdown", "0" * 64)
    with pytest.raises(ToolError, match=r"^'notes\.md' is text without pages\. Use search_library to find something"):
        count_pages(text)
    locked = pdf(write_pdf(tmp_path / "locked.pdf", ["A secret."], password="open sesame"))
    broken = tmp_path / "broken.pdf"
    broken.write_bytes(b"%PDF-1.7\nand then nothing of the kind")
    for ask in (count_pages, lambda document: draw_page(document, 1)):
        with pytest.raises(ToolError, match=r"'locked\.pdf' is protected by a password\. Save a copy without one"):
            ask(locked)
        with pytest.raises(ToolError, match=r"'broken\.pdf' is damaged"):
            ask(pdf(broken))
