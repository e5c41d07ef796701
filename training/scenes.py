"""Scenes as tensors: pixels, and for each patch of a picture what covers it and where that ends. Knows no model."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from training.drawing import SIDE
from training.pieces import device
from training.world import Scene, names, table

PATCH = 8  # pixels
GRID = SIDE // PATCH
COVERED = 0.3  # the least share of a patch that a thing must cover to be looked for there
NO_COLOUR = -100  # what cross-entropy passes over


@dataclass(frozen=True, slots=True)
class Patches:
    """What each patch of pictures shows, (pictures, GRID * GRID) in reading order.

    `thing` is 0 for the background, else 1 more than the place in `names()`; `colour` that of a plain shape, elsewhere
    `NO_COLOUR`; `box` (…, 4) has left, top, right and bottom of the thing as shares of the picture.
    """

    thing: torch.Tensor
    colour: torch.Tensor
    box: torch.Tensor


def pixels_of(scenes: Sequence[Scene]) -> torch.Tensor:
    """Return the pictures as (scenes, 3, SIDE, SIDE) float32 in -1..1."""
    stacked = torch.from_numpy(np.stack([scene.pixels for scene in scenes])).to(device())
    return stacked.permute(0, 3, 1, 2).float() / 127.5 - 1


def patches_of(scenes: Sequence[Scene]) -> Patches:
    """Return what the patches of the pictures show."""
    rows = [_patches(scene) for scene in scenes]
    thing, colour, box = (torch.from_numpy(np.stack(part)).to(device()) for part in zip(*rows, strict=True))
    return Patches(thing, colour, box)


def _patches(scene: Scene) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    inks = table()["colours"]
    tiles = scene.cover.reshape(GRID, PATCH, GRID, PATCH).transpose(0, 2, 1, 3).reshape(GRID * GRID, -1)
    shares = np.stack([(tiles == place + 1).mean(1) for place in range(len(scene.objects))])
    owner = np.where(shares.max(0) >= COVERED, shares.argmax(0) + 1, 0)
    thing = np.array([0, *(1 + names().index(one.thing.name) for one in scene.objects)])
    shaped = [inks.index(one.thing.colour) if one.thing.group == "shape" else NO_COLOUR for one in scene.objects]
    boxes = np.array([(0, 0, 0, 0), *(one.box for one in scene.objects)], np.float32) / SIDE
    return thing[owner], np.array([NO_COLOUR, *shaped])[owner], boxes[owner]
