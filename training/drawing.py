"""Draws the small world: pictographs and plain shapes as sprites, backgrounds, and both put together.

It knows files of drawings and colours; what a scene is and what is true in it `training.world` knows.
"""

from __future__ import annotations

import io
import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
import resvg_py
from PIL import Image as Pictures
from PIL import ImageDraw, ImageFilter

SIDE = 96  # pixels of a scene, across and down
MASTER = 160  # pixels of a drawing before it is scaled
UNITS = {"noto": 128, "fluent": 32}  # of the drawings of a vendor, across and down
INKS = {
    **{"red": (222, 44, 44), "orange": (246, 140, 30), "yellow": (250, 214, 40), "green": (52, 160, 70)},
    **{"blue": (40, 96, 214), "purple": (134, 60, 176), "pink": (246, 130, 182), "brown": (124, 78, 44)},
    **{"black": (24, 24, 26), "gray": (134, 136, 140)},
}
GROUNDS = {
    **{"white": (252, 252, 252), "gray": (206, 208, 212), "blue": (178, 212, 250), "green": (190, 232, 184)},
    **{"yellow": (252, 240, 170), "pink": (252, 206, 224), "purple": (218, 200, 246), "orange": (254, 214, 168)},
}
STYLES = ("plain", "gradient", "striped", "dotted", "rough")
INK_JITTER, GROUND_JITTER = 12, 8  # of 255


@dataclass(frozen=True, slots=True)
class Sprite:
    """A thing cut to its edges: `colour` is (height, width, 3) and `alpha` (height, width), both 0..255 uint8."""

    colour: np.ndarray
    alpha: np.ndarray


@dataclass(frozen=True, slots=True)
class Ground:
    """A background: the name of its colour and how it is painted."""

    colour: str
    style: str

    @classmethod
    def draw(cls, rng: np.random.Generator, colours: Sequence[str]) -> Ground:
        """Choose one; every second is plain."""
        style = STYLES[0] if rng.random() < 0.5 else STYLES[rng.integers(1, len(STYLES))]
        return cls(colours[rng.integers(len(colours))], style)


def sprite(name: str, colour: str, size: int, angle: int, vendor: str, rng: np.random.Generator) -> Sprite:
    """Return a thing or shape, turned by `angle` degrees, its longer side `size` pixels.

    No two plain shapes are of quite the same colour.
    """
    one = _turned(name, size, angle, vendor)
    if name not in SHAPES:
        return one
    ink = np.clip(np.array(INKS[colour]) + rng.integers(-INK_JITTER, INK_JITTER + 1, 3), 0, 255)
    return Sprite(np.broadcast_to(ink.astype(np.uint8), one.colour.shape), one.alpha)


@cache
def _turned(name: str, size: int, angle: int, vendor: str) -> Sprite:
    """Turn and scale once; there are as many as sizes and angles are asked for."""
    turned = _master(name, vendor).rotate(angle, Pictures.Resampling.BICUBIC, expand=True)
    cut = turned.crop(turned.getchannel("A").point(lambda a: 255 * (a > 96)).getbbox())
    scale = size / max(cut.size)
    small = cut.resize((max(1, round(scale * cut.width)), max(1, round(scale * cut.height))), Pictures.Resampling.BOX)
    values = np.asarray(small)
    return Sprite(values[..., :3], values[..., 3])


@cache
def _master(name: str, vendor: str) -> Pictures.Image:
    if name in SHAPES:
        picture = Pictures.new("RGBA", (MASTER, MASTER))
        ImageDraw.Draw(picture).polygon([(MASTER * x, MASTER * y) for x, y in SHAPES[name]], "black")
        return picture
    box = f'viewBox="0 0 {UNITS[vendor]} {UNITS[vendor]}"'
    svg = f'<svg xmlns="http://www.w3.org/2000/svg" {box}>{_bodies(vendor)[name]}</svg>'
    png = bytes(resvg_py.svg_to_bytes(svg_string=svg, width=MASTER, height=MASTER))
    return Pictures.open(io.BytesIO(png)).convert("RGBA")


@cache
def _bodies(vendor: str) -> dict[str, str]:
    found: dict[str, str] = json.loads((Path(__file__).parent / "drawings" / f"{vendor}.json").read_text())
    return found


def _corners(count: int, inner: float) -> list[tuple[float, float]]:
    """Return the corners of a star, or of a polygon where `inner` is 0, around the middle of a unit square."""
    steps = 2 * count if inner else count
    turns = [(math.pi * (2 * step / steps - 0.5), inner if inner and step % 2 else 1.0) for step in range(steps)]
    return [(0.5 + reach * math.cos(turn) / 2, 0.5 + reach * math.sin(turn) / 2) for turn, reach in turns]


SHAPES = {
    "circle": _corners(60, 0),
    "square": [(0.0, 0.0), (1.0, 0.0), (1.0, 1.0), (0.0, 1.0)],
    "triangle": _corners(3, 0),
    "star": _corners(5, 0.45),
}


@cache
def _grid() -> tuple[np.ndarray, np.ndarray]:
    line = np.linspace(0, 1, SIDE, dtype=np.float32)
    x, y = np.meshgrid(line, line)
    return x, y


def paint_ground(ground: Ground, rng: np.random.Generator) -> np.ndarray:
    """Return a background, (SIDE, SIDE, 3) in 0..255 float32."""
    base = np.array(GROUNDS[ground.colour]) + rng.integers(-GROUND_JITTER, GROUND_JITTER + 1, 3)
    x, y = _grid()
    turn = rng.uniform(0, 2 * math.pi)
    along = x * math.cos(turn) + y * math.sin(turn)
    if ground.style == "plain":
        shade = np.zeros((SIDE, SIDE))
    elif ground.style == "gradient":
        shade = (along - along.mean()) * rng.uniform(15, 45)
    elif ground.style == "striped":
        shade = np.where(np.sin(along * rng.uniform(20, 60)) > 0, 0, -rng.uniform(8, 20))
    elif ground.style == "dotted":
        step = rng.uniform(30, 70)
        shade = np.where(np.sin(x * step) * np.sin(y * step) > 0.5, -rng.uniform(10, 25), 0)
    else:
        coarse = Pictures.fromarray(rng.normal(0, 9, (12, 12)).astype(np.float32))
        shade = np.asarray(coarse.resize((SIDE, SIDE), Pictures.Resampling.BICUBIC)) - 6
    return np.clip(base + shade[..., None], 0, 255).astype(np.float32)


def compose(
    ground: np.ndarray, placed: Sequence[tuple[Sprite, int, int]], wear: np.random.Generator | None
) -> tuple[np.ndarray, np.ndarray]:
    """Put sprites (with left and top edges) on a ground, later ones on top; with `wear` as a poor copy of it.

    Returns the picture, (SIDE, SIDE, 3) uint8, and its cover, (SIDE, SIDE) uint8: which sprite is seen where, from 1.
    """
    pixels, cover = ground.copy(), np.zeros((SIDE, SIDE), np.uint8)
    for place, (one, left, top) in enumerate(placed, 1):
        height, width = one.alpha.shape
        window = np.s_[top : top + height, left : left + width]
        alpha = one.alpha[..., None].astype(np.float32) / 255
        pixels[window] += alpha * (one.colour - pixels[window])
        cover[window][one.alpha > 127] = place
    return (pixels if wear is None else _worn(pixels, wear)).round().astype(np.uint8), cover


def _worn(pixels: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Return the picture a little blurred, with noise and another brightness, as scans and painted pictures are."""
    if rng.random() < 0.5:
        picture = Pictures.fromarray(pixels.round().astype(np.uint8))
        pixels = np.asarray(picture.filter(ImageFilter.GaussianBlur(rng.uniform(0.3, 1.1)))).astype(np.float32)
    gain, noise = rng.uniform(0.85, 1.1), rng.uniform(0, 7)
    return np.clip(gain * pixels + rng.normal(0, noise, (SIDE, SIDE, 1)), 0, 255)
