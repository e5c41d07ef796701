"""The fonts that pages are written with, from Debian's packages fonts-dejavu-core and fonts-liberation.

They are enough: the model sees words and boxes, so that a font matters by how wide it is and by what the reader makes
of it, and these six go from narrow to wide, with and without serifs, and to typewriters. Knows no page.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path
from string import printable

from PIL import ImageFont

from training.pages.page import Pen

FOLDER = Path("/usr/share/fonts")
PACKAGES = "fonts-dejavu-core fonts-liberation"
FAMILIES = {  # the files of regular and bold
    "DejaVu Sans": ("DejaVuSans", "DejaVuSans-Bold"),
    "DejaVu Serif": ("DejaVuSerif", "DejaVuSerif-Bold"),
    "DejaVu Sans Mono": ("DejaVuSansMono", "DejaVuSansMono-Bold"),
    "Liberation Sans": ("LiberationSans-Regular", "LiberationSans-Bold"),
    "Liberation Serif": ("LiberationSerif-Regular", "LiberationSerif-Bold"),
    "Liberation Mono": ("LiberationMono-Regular", "LiberationMono-Bold"),
}
PROPORTIONAL = tuple(name for name in FAMILIES if "Mono" not in name)
TYPEWRITERS = tuple(name for name in FAMILIES if "Mono" in name)
LETTERS = [letter for letter in printable if letter.isprintable()] + list("£€–éèüöäßñçøå")
BASELINE = 0.9  # of the size: how far below the top of a line its letters stand


@cache
def font(family: str, bold: bool, size: int) -> ImageFont.FreeTypeFont:
    """Load a font; `FileNotFoundError` names the packages to install where it is missing."""
    name = FAMILIES[family][bold]
    path = next(FOLDER.rglob(f"{name}.ttf"), None)
    if path is None:
        raise FileNotFoundError(f"{name}.ttf is not under {FOLDER}. Pages need: apt-get install {PACKAGES}")
    return ImageFont.truetype(path, size, layout_engine=ImageFont.Layout.BASIC)


@cache
def _widths(family: str, bold: bool, size: int) -> dict[str, float]:
    """Return how wide each letter is in pixels, which for small fonts is not in proportion to their size."""
    measured = font(family, bold, size)
    return {letter: measured.getlength(letter) for letter in LETTERS}


def measure(text: str, pen: Pen) -> float:
    """Return how wide a text is in pixels; kerning, about a pixel, is left out because this must be fast."""
    return sum(map(_widths(pen.family, pen.bold, pen.size).__getitem__, text))
