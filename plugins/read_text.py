"""Reads the text in a picture, with PP-OCR through RapidOCR."""

from __future__ import annotations

from dataclasses import dataclass

from PIL import ImageDraw
from PIL.Image import Image

from assistant.errors import ToolError
from assistant.tools import Run, tool
from assistant.vision.reading import Line, read_lines, reader

INK = (220, 30, 60)


@dataclass(frozen=True, slots=True)
class Reading:
    """All lines in reading order, their text together, and the picture with the boxes drawn."""

    text: str
    lines: tuple[Line, ...]
    picture: Image


@tool(needs=[reader], illustrates=True)
def read_text(image: Image, *, run: Run) -> Reading:
    """Read the text in a picture: a photo or scan of a page, sign, receipt, letter or screenshot.

    Args:
        image: The picture with text in it.

    Examples:
        What does it say?
        Read this picture to me, please.
        I got this letter, what do they want?
    """
    run.progress(None, "looking for text")
    lines = read_lines(image, run.stop, run.report)
    if not lines:
        raise ToolError("No text was found in the picture. A sharper or larger picture may help.")
    return Reading("\n".join(line.text for line in lines), lines, _draw(image, lines))


def _draw(image: Image, lines: tuple[Line, ...]) -> Image:
    picture = image.copy()
    pen = ImageDraw.Draw(picture)
    for line in lines:
        pen.polygon(line.box, outline=INK, width=max(1, min(image.size) // 300))
    return picture
