"""Keeps pictures and finds them again, by a picture or by words, with CLIP and FAISS."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated

from PIL import Image as Pictures
from PIL import ImageDraw, ImageFont
from PIL.Image import Image
from pydantic import Field

from assistant.errors import ToolError
from assistant.library import FoundImage, ImageIndex
from assistant.tools import Run, tool
from assistant.vision.features import features

Count = Annotated[int, Field(ge=1, le=20)]
COLUMNS, SIDE, MARGIN, CAPTION = 4, 200, 12, 26  # of the contact sheet; all but the columns in pixels
PAPER, INK = "white", "black"


@dataclass(frozen=True, slots=True)
class Match:
    """A picture by the name of its file, and its cosine similarity, -1..1, to what was asked."""

    name: str
    similarity: float


@dataclass(frozen=True, slots=True)
class Matches:
    """What was found, best first, the same as text, and a sheet with the pictures numbered in that order."""

    text: str
    matches: tuple[Match, ...]
    sheet: Image


@tool(effects="writes", on_upload=True, needs=[features])
def add_image(image: Image, *, images: ImageIndex, run: Run) -> str:
    """Add a picture to the collection, so that it can be found again from now on, by likeness or by words.

    Args:
        image: The picture to add.

    Examples:
        Keep this photo so that I can find it later.
        Put the picture into my collection.
        Remember this image.
    """
    digest, name = image.info["digest"], image.info["name"]
    if images.add([(digest, name, image)], run.stop, run.progress):
        return f"{name} was added to the pictures."
    return f"{name} is among the pictures already."


@tool(needs=[features])
def find_similar_images(image: Image, count: Count = 5, *, images: ImageIndex, run: Run) -> Matches:
    """Find the pictures of the collection that look most like a given picture, which is itself left out.

    Args:
        image: The picture to compare with.
        count: The most pictures wanted.

    Examples:
        Have I other photos like this one?
        Which of my pictures resemble it most?
        Find three more that look the same.
    """
    found = images.find_similar(image, count, run.stop, run.progress)
    return _matches(found, images, run)


# No relevance: the cosines of CLIP between words and pictures lie on another scale than those between sentences,
# which they would be weighed against, and CLIP would have to be in memory for every message.
@tool(needs=[features])
def search_images(
    query: Annotated[str, Field(min_length=1)], count: Count = 5, *, images: ImageIndex, run: Run
) -> Matches:
    """Search the collection of pictures for those that show what the words describe.

    Args:
        query: What the pictures should show, in a few English words.
        count: The most pictures wanted.

    Examples:
        Find my photos of a beach at sunset.
        Which pictures show a dog in the snow?
        Look for the drawing with the red bicycle.
    """
    found = images.find_described(query, count, run.stop, run.progress)
    return _matches(found, images, run)


def _matches(found: Sequence[FoundImage], images: ImageIndex, run: Run) -> Matches:
    left_out = images.uncompared()
    added_before = f"{left_out} added with another model and cannot be compared. Attach them again."
    if not found and left_out:
        raise ToolError(f"There is no picture to compare with: {added_before}")
    if not found:
        raise ToolError("There is no picture to compare with. Attach some, then ask again.")
    matches = tuple(Match(" ".join(image.name.split()), round(image.similarity, 4)) for image in found)
    lines = [f"{i}. {match.name} (similarity {match.similarity:.2f})" for i, match in enumerate(matches, 1)]
    if left_out:
        lines.append(f"Of the pictures, {added_before}")
    return Matches("\n".join(lines), matches, _draw(found, matches, images, run))


def _draw(found: Sequence[FoundImage], matches: Sequence[Match], images: ImageIndex, run: Run) -> Image:
    """Lay the pictures out in rows, each scaled to fit its square, with number and name below."""
    columns, rows = min(COLUMNS, len(found)), -(-len(found) // COLUMNS)
    across, down = SIDE + MARGIN, SIDE + CAPTION + MARGIN
    sheet = Pictures.new("RGB", (columns * across + MARGIN, rows * down + MARGIN), PAPER)
    pen, font = ImageDraw.Draw(sheet), ImageFont.load_default(16)
    for place, (image, match) in enumerate(zip(found, matches, strict=True)):
        run.progress(place / len(found), f"drawing {match.name}")
        left, top = MARGIN + place % COLUMNS * across, MARGIN + place // COLUMNS * down
        thumbnail = images.open(image)
        thumbnail.thumbnail((SIDE, SIDE))
        sheet.paste(thumbnail, (left + (SIDE - thumbnail.width) // 2, top + (SIDE - thumbnail.height) // 2))
        pen.text((left, top + SIDE + 4), _fit(f"{place + 1}. {match.name}", font), fill=INK, font=font)
    return sheet


def _fit(text: str, font: ImageFont.FreeTypeFont | ImageFont.ImageFont) -> str:
    """Shorten `text` to the width of a picture."""
    if font.getlength(text) <= SIDE:
        return text
    while font.getlength(f"{text}…") > SIDE:
        text = text[:-1]
    return f"{text}…"
