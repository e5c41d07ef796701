"""Judges painted pictures: what they show, in what colour, and what lies where. Knows no painter.

What a picture shows the built-in classifier says, which never saw a painted one.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from PIL import Image as Pictures
from PIL.Image import Image

from plugins.classify_image import classifier
from training.drawing import INKS

RIM = 2  # pixels at the border of a picture, which show its background
DRAWN = 48  # of 255, from which on a colour is not that of the background
SMALLEST = 30  # pixels that differ; fewer are no thing

Judge = Callable[[Image], str]


def named(image: Image) -> str:
    """Return the first label of the classifier."""
    with classifier() as (processor, model), torch.inference_mode():
        pixels = processor(images=image, return_tensors="pt")["pixel_values"]
        best = int(model(pixel_values=pixels.to(model.device, model.dtype)).logits.argmax())
        return str(model.config.id2label[best])


def background(pixels: np.ndarray) -> np.ndarray:
    """Return the colour at the border of a picture, (height, width, 3), as its median."""
    inner = np.ones(pixels.shape[:2], bool)
    inner[RIM:-RIM, RIM:-RIM] = False
    return np.median(pixels[inner], axis=0)


def drawn(pixels: np.ndarray) -> np.ndarray:
    """Tell where a picture, (height, width, 3), is not like its background."""
    found: np.ndarray = np.abs(pixels - background(pixels)).max(2) > DRAWN
    return found


def colour_of(image: Image) -> str:
    """Return the ink nearest to what is drawn, as its median; "" where nothing is."""
    pixels = np.asarray(image).astype(float)
    mask = drawn(pixels)
    if mask.sum() < SMALLEST:
        return ""
    median = np.median(pixels[mask], axis=0)
    return min(INKS, key=lambda ink: float(np.square(median - INKS[ink]).sum()))


def parts_of(image: Image, axis: int) -> tuple[Image, Image]:
    """Cut a picture between two things, left and right (axis 0) or above and below (1), and fill both parts up.

    The cut is where the places of what is drawn fall best into two heaps (Otsu, 1979); each part stands in the middle
    of a picture as large as the whole, in the colour of its background.
    """
    pixels = np.asarray(image)
    ink = drawn(pixels.astype(float)).sum(axis).astype(float)  # summing over rows leaves columns
    places = np.arange(len(ink))
    left, moment = np.cumsum(ink)[:-1], np.cumsum(ink * places)[:-1]
    right, rest = ink.sum() - left, (ink * places).sum() - moment
    with np.errstate(divide="ignore", invalid="ignore"):
        apart = np.nan_to_num(left * right * np.square(moment / left - rest / right))
    cut = 1 + int(np.median(np.flatnonzero(apart >= apart.max() * (1 - 1e-9))))  # the middle of an empty stretch
    boxes = ((0, 0, cut, image.height), (cut, 0, image.width, image.height))
    if axis == 1:
        boxes = ((0, 0, image.width, cut), (0, cut, image.width, image.height))
    ground = tuple(int(part) for part in background(pixels))
    return _filled_up(image.crop(boxes[0]), image.size, ground), _filled_up(image.crop(boxes[1]), image.size, ground)


def _filled_up(part: Image, size: tuple[int, int], ground: tuple[int, ...]) -> Image:
    whole = Pictures.new("RGB", size, ground)
    whole.paste(part, ((size[0] - part.width) // 2, (size[1] - part.height) // 2))
    return whole


def in_order(image: Image, first: str, side: str, second: str, judge: Judge) -> bool:
    """Tell whether a picture of two things shows `first` on a side ("left", "above" …) of `second`."""
    seen = [judge(part) for part in parts_of(image, 0 if side in ("left", "right") else 1)]
    return seen == ([first, second] if side in ("left", "above") else [second, first])
