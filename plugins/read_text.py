"""Reads the text in a picture, with PP-OCR through RapidOCR."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from PIL import ImageDraw
from PIL.Image import Image

from assistant.errors import ToolError
from assistant.residents import Weights, resident
from assistant.tools import Run, tool

if TYPE_CHECKING:
    import numpy as np

    from assistant.types import Progress

INK = (220, 30, 60)


@dataclass(frozen=True, slots=True)
class Line:
    """A line of text; `box` holds its corners as (x, y) in pixels, clockwise from top left, `score` is in 0..1."""

    text: str
    box: tuple[tuple[int, int], ...]
    score: float


@dataclass(frozen=True, slots=True)
class Reading:
    """All lines in reading order, their text together, and the picture with the boxes drawn."""

    text: str
    lines: tuple[Line, ...]
    picture: Image


@resident("ocr")
def reader(weights: Weights, progress: Progress) -> Any:
    """Load detection, direction and recognition; their weights lie in the package itself."""
    from rapidocr import RapidOCR

    return RapidOCR(params={"Global.log_level": "error"})


@tool(needs=[reader])
def read_text(image: Image, *, run: Run) -> Reading:
    """Read the text in a picture: a photo or scan of a page, sign, receipt, letter or screenshot.

    Args:
        image: The picture with text in it.

    Examples:
        What does it say?
        Read this picture to me, please.
        I got this letter, what do they want?
    """
    import numpy as np

    with reader(run.stop) as read:
        run.progress(None, "looking for text")
        # RapidOCR takes arrays in OpenCV's order, blue first
        found = read(np.ascontiguousarray(np.asarray(image)[:, :, ::-1]))
    if not found.txts:
        raise ToolError("No text was found in the picture. A sharper or larger picture may help.")
    lines = tuple(_line(*row) for row in zip(found.txts, found.boxes, found.scores, strict=True))
    return Reading("\n".join(line.text for line in lines), lines, _draw(image, lines))


def _line(text: str, box: np.ndarray, score: float) -> Line:
    corners = tuple((round(float(x)), round(float(y))) for x, y in box)
    return Line(text, corners, round(float(score), 4))


def _draw(image: Image, lines: tuple[Line, ...]) -> Image:
    picture = image.copy()
    pen = ImageDraw.Draw(picture)
    for line in lines:
        pen.polygon(line.box, outline=INK, width=max(1, min(image.size) // 300))
    return picture
