"""Finds things by name in a picture and counts them, with OWLv2."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated

from PIL import ImageDraw, ImageFont
from PIL.Image import Image
from pydantic import Field

from assistant.tools import Run, tool
from assistant.vision.detection import THRESHOLD, Found, detector, find
from assistant.vision.palette import colour
from assistant.vision.things import counted, missing, named_things
from assistant.zerogpu import on_gpu

LARGE, SMALL = 1 / 4, 1 / 20  # of the picture's area
TOLD = 20  # objects the text describes one by one; the data has them all
COLUMNS, ROWS = ("left", "", "right"), ("top", "", "bottom")


@dataclass(frozen=True, slots=True)
class Thing:
    """An object: its name, how sure the model is (0..1), and its box (left, top, right, bottom) in pixels."""

    label: str
    score: float
    box: tuple[int, int, int, int]


@dataclass(frozen=True, slots=True)
class Finding:
    """The objects, best first, how many there are of each thing asked for, and the picture with the boxes drawn.

    `text` says the same in words; `picture` is None where nothing was found.
    """

    text: str
    objects: tuple[Thing, ...]
    counts: Mapping[str, int]
    picture: Image | None


@tool(needs=[detector], illustrates=True)
@on_gpu(seconds=15)
def find_objects(
    image: Image,
    what: Annotated[str, Field(min_length=1)],
    threshold: Annotated[float, Field(ge=0, le=1)] = THRESHOLD,
    *,
    run: Run,
) -> Finding:
    """Find things in a picture by their names: whether they are there, how many, how large and where.

    Args:
        image: The picture to look at.
        what: The things to look for, in English, separated by commas: "dog, red cup".
        threshold: How sure to be, from 0 to 1; lower finds more, some of it wrong.

    Examples:
        How many bicycles are in this photo?
        Find the cups and the spoons.
        Where is the cat in the picture?
    """
    things = named_things(what)
    found = find(image, things, threshold, run.stop, run.report)
    run.check()
    counts = {thing: sum(one.label == thing for one in found) for thing in things}
    objects = tuple(Thing(one.label, round(one.score, 4), _rounded(one)) for one in found)
    picture = _draw(image, objects, things) if objects else None
    return Finding(_describe(image, objects, counts), objects, counts, picture)


def _rounded(found: Found) -> tuple[int, int, int, int]:
    left, top, right, bottom = (round(edge) for edge in found.box)
    return left, top, right, bottom


def _describe(image: Image, objects: Sequence[Thing], counts: Mapping[str, int]) -> str:
    total = counted(counts)
    lines = [" ".join(filter(None, [f"{total}." if total else "", missing(counts)]))]
    lines += [f"- {one.label}: {_size(image, one)}, {_place(image, one)}" for one in objects[:TOLD]]
    if len(objects) > TOLD:
        lines.append(f"- and {len(objects) - TOLD} more")
    return "\n".join(lines)


def _size(image: Image, thing: Thing) -> str:
    left, top, right, bottom = thing.box
    share = (right - left) * (bottom - top) / (image.width * image.height)
    return "large" if share >= LARGE else "small" if share < SMALL else "medium-sized"


def _place(image: Image, thing: Thing) -> str:
    """Name the ninth of the picture in which the middle of a thing lies: "top left", "right", "middle"."""
    left, top, right, bottom = thing.box
    column = COLUMNS[min(2, int(3 * (left + right) / 2 / image.width))]
    row = ROWS[min(2, int(3 * (top + bottom) / 2 / image.height))]
    return f"{row} {column}".strip() or "middle"


def _draw(image: Image, objects: Sequence[Thing], things: Sequence[str]) -> Image:
    picture = image.copy()
    pen = ImageDraw.Draw(picture)
    side = min(image.size)
    font = ImageFont.load_default(max(12, side // 30))
    for thing in reversed(objects):  # the surest on top
        ink = colour(things.index(thing.label))
        left, top, right, bottom = thing.box
        corners = (left, top, max(left, right - 1), max(top, bottom - 1))
        pen.rectangle(corners, outline=ink, width=max(1, side // 200))
        _label(pen, picture, f"{thing.label} {thing.score:.0%}", (left, top), font, ink)
    return picture


def _label(
    pen: ImageDraw.ImageDraw,
    picture: Image,
    text: str,
    corner: tuple[int, int],
    font: ImageFont.FreeTypeFont | ImageFont.ImageFont,
    ink: tuple[int, int, int],
) -> None:
    """Write `text` on a plate above `corner`, or below it where there is no room, never beyond the edge."""
    *_, width, height = (round(edge) for edge in pen.textbbox((2, 1), text, font=font))
    left = max(0, min(corner[0], picture.width - width - 2))
    top = corner[1] - height - 2 if corner[1] >= height + 2 else corner[1]
    pen.rectangle((left, top, left + width + 2, top + height + 2), fill=ink)
    luminance = 0.299 * ink[0] + 0.587 * ink[1] + 0.114 * ink[2]
    pen.text((left + 2, top + 1), text, fill="black" if luminance > 140 else "white", font=font)
