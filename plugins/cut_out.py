"""Cuts objects out of a picture, with SAM; finds them by name with OWLv2."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated

from PIL import Image as Pictures
from PIL.Image import Image
from pydantic import Field

from assistant.errors import ToolError
from assistant.tools import Run, tool
from assistant.vision.detection import detector, find
from assistant.vision.segmentation import Mask, all_masks, draw_masks, mask_at_point, masks_for_boxes, segmenter
from assistant.vision.things import counted, missing, named_things
from assistant.zerogpu import on_gpu

MOST_NAMED, MOST_MASKS = 10, 50
UNNAMED = "object"

Point = Annotated[list[int], Field(min_length=2, max_length=2)]
Corners = Annotated[list[int], Field(min_length=4, max_length=4)]


@dataclass(frozen=True, slots=True)
class Piece:
    """An object cut out: its name, the IoU that SAM expects of its outline (about 0..1), its box and its area.

    `box` is (left, top, right, bottom) in pixels of the picture, the smallest around the object; `area` is in pixels.
    """

    label: str
    score: float
    box: tuple[int, int, int, int]
    area: int


@dataclass(frozen=True, slots=True)
class CutOut:
    """What was cut out, the picture with it tinted (`overlay`), and all of it together as RGBA (`cutout`).

    `cutout` is cropped to the objects; what is not theirs is wholly transparent.
    """

    text: str
    objects: tuple[Piece, ...]
    overlay: Image
    cutout: Image


@tool(needs=[detector, segmenter])
@on_gpu(seconds=30)
def cut_out(
    image: Image, what: str = "", point: Point | None = None, box: Corners | None = None, *, run: Run
) -> CutOut:
    """Cut objects out of a picture, exactly along their outlines, onto a transparent background.

    Give `what`, `point` or `box`; without any of them everything in the picture is cut out.

    Args:
        image: The picture to cut from.
        what: The things to cut out, in English, separated by commas: "dog, red cup".
        point: A place on the object, [x, y] in pixels from the top left corner.
        box: A box around the object, [left, top, right, bottom] in pixels.

    Examples:
        Cut out the dog.
        I need the vase on a transparent background.
        Take the background away and keep only the car.
    """
    _check(image, what, point, box)
    things = named_things(what) if what else []
    chosen = [(label, mask) for label, mask in _choose(image, things, point, box, run) if mask.area]
    if not chosen:
        raise ToolError("No clear outline was found there. Point at the middle of the object, or name it.")
    run.progress(None, "cutting out")
    masks = [mask for _, mask in chosen]
    pieces = tuple(Piece(label, round(mask.score, 4), mask.box, mask.area) for label, mask in chosen)
    return CutOut(_describe(pieces, things), pieces, draw_masks(image, masks), _cut(image, masks))


def _check(image: Image, what: str, point: Sequence[int] | None, box: Sequence[int] | None) -> None:
    given = {"what": what, "point": point, "box": box}
    names = [name for name, value in given.items() if value]
    if len(names) > 1:
        raise ToolError(f"{' and '.join(names)} were given; give only one of what, point and box.")
    size = f"{image.width} x {image.height} pixels"
    if point and not (0 <= point[0] < image.width and 0 <= point[1] < image.height):
        raise ToolError(f"The point {list(point)} is outside the picture, which is {size}.")
    if box and not (0 <= box[0] < box[2] <= image.width and 0 <= box[1] < box[3] <= image.height):
        raise ToolError(
            f"The box {list(box)} is no box inside the picture, which is {size}. Give left, top, right and bottom."
        )


def _choose(
    image: Image, things: Sequence[str], point: Sequence[int] | None, box: Sequence[int] | None, run: Run
) -> list[tuple[str, Mask]]:
    """Return the masks wanted with what they are of."""
    if things:
        found = find(image, things, stop=run.stop, progress=run.report)[:MOST_NAMED]
        if not found:
            raise ToolError(f"{missing(dict.fromkeys(things, 0))} Name something else, or give a point or a box.")
        masks = masks_for_boxes(image, [one.box for one in found], run.stop, run.report)
        return [(one.label, mask) for one, mask in zip(found, masks, strict=True)]
    if point:
        return [(UNNAMED, mask_at_point(image, (point[0], point[1]), run.stop, run.report))]
    if box:
        edges = (box[0], box[1], box[2], box[3])
        return [(UNNAMED, mask) for mask in masks_for_boxes(image, [edges], run.stop, run.report)]
    return [(UNNAMED, mask) for mask in all_masks(image, MOST_MASKS, run.stop, run.report)]


def _describe(pieces: Sequence[Piece], things: Sequence[str]) -> str:
    counts = Counter(piece.label for piece in pieces)
    absent = missing({thing: counts[thing] for thing in things})
    return f"Cut out: {counted(counts)}. {absent}".strip()


def _cut(image: Image, masks: Sequence[Mask]) -> Image:
    """Put the pixels of all masks on a transparent ground and crop it to them."""
    alpha = Pictures.new("L", image.size)
    for mask in masks:
        shape = Pictures.fromarray(mask.inside)
        alpha.paste(255, mask.box, shape)
    cut = Pictures.new("RGBA", image.size)
    cut.paste(image, mask=alpha)
    return cut.crop(alpha.getbbox())
