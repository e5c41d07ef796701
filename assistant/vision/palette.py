"""Colours that are easy to tell apart, for what is drawn onto pictures. Knows no picture."""

from __future__ import annotations

import colorsys

STEP = 0.381966  # of the circle of hues; the golden angle never comes near a hue it has been at


def colour(index: int) -> tuple[int, int, int]:
    """Return the red, green and blue (0..255) of the thing with the number `index`."""
    red, green, blue = colorsys.hsv_to_rgb((0.97 + STEP * index) % 1, 0.85, 0.9)
    return round(255 * red), round(255 * green), round(255 * blue)
