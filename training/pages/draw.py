"""Draws a page: words in their fonts, ruled lines, tinted paper, a turn and noise. Knows no layout and no question."""

from __future__ import annotations

import random

import numpy as np
from PIL import Image as Pictures
from PIL import ImageDraw
from PIL.Image import Image

from training.pages.fonts import BASELINE, font
from training.pages.page import Page

PAPERS = ((255, 255, 255), (255, 255, 255), (252, 250, 244), (247, 247, 242), (243, 246, 250), (250, 244, 232))
NOISE = 6.0  # the largest deviation of a pixel's noise, of 255
TILE = 256  # pixels; noise is drawn once for a square, and repeated


def draw(page: Page) -> Image:
    """Return the picture of a page, the same every time."""
    rng = random.Random(f"draw {page.split} {page.number}")
    ink = Pictures.new("L", page.size, 255)
    pen = ImageDraw.Draw(ink)
    for rule in page.rules:
        if rule.hollow:
            pen.rectangle(rule.box, outline=rule.shade, width=1)
        else:
            pen.rectangle(rule.box, fill=rule.shade)
    for word in page.words:
        used = word.pen
        place = (word.left, word.top + BASELINE * used.size)
        pen.text(place, word.text, fill=used.shade, font=font(used.family, used.bold, used.size), anchor="ls")
    if page.angle:
        ink = ink.rotate(page.angle, Pictures.Resampling.BICUBIC, fillcolor=255)
    return _on_paper(ink, rng)


def _on_paper(ink: Image, rng: random.Random) -> Image:
    """Put ink on paper: a tint, light from one side, grain."""
    shades = np.asarray(ink, dtype=np.float32)
    height, width = shades.shape
    if rng.random() < 0.3:
        slope = rng.uniform(-0.12, 0.12)
        shades = shades * (1 - abs(slope) / 2 + np.linspace(-slope / 2, slope / 2, width, dtype=np.float32))
    if rng.random() < 0.7:
        tile = np.random.default_rng(rng.randrange(2**32)).normal(0, rng.uniform(1, NOISE), (TILE, TILE))
        repeats = (-(-height // TILE), -(-width // TILE))
        shades = shades + np.tile(tile.astype(np.float32), repeats)[:height, :width]
    table = np.clip(shades, 0, 255).astype(np.uint8)
    paper = rng.choice(PAPERS)
    return Pictures.merge(
        "RGB", [Pictures.fromarray(table).point([step * part // 255 for step in range(256)]) for part in paper]
    )
