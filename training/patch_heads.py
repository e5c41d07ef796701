"""Heads that say of each patch of a picture what it shows; they teach eyes to see and are thrown away afterwards.

Without them a transformer from scratch hardly learns to see, and one that can see forgets it while it learns to talk.
They know what patches show; they know no model and no sentence.
"""

from __future__ import annotations

import torch
from torch.nn.functional import cross_entropy, l1_loss

from training.scenes import NO_COLOUR, Patches
from training.world import names, table

EDGES = 4.0  # how much the edges of boxes count


class PatchHeads(torch.nn.Module):
    """Reads from the state of a patch: its thing, the colour of a plain shape, and the edges of the thing's box."""

    def __init__(self, width: int) -> None:
        """Begin with random weights for states of `width` numbers."""
        super().__init__()
        self.thing = torch.nn.Linear(width, 1 + len(names()))
        self.colour = torch.nn.Linear(width, len(table()["colours"]))
        self.box = torch.nn.Linear(width, 4)

    def loss(self, states: torch.Tensor, seen: Patches) -> torch.Tensor:
        """Return the mean loss of what patches show, for their states (pictures, GRID * GRID, width)."""
        patches = states.flatten(0, 1)
        thing, colour, box = seen.thing.flatten(), seen.colour.flatten(), seen.box.flatten(0, 1)
        covered = thing > 0
        dense = cross_entropy(self.thing(patches).float(), thing)
        edges = l1_loss(self.box(patches[covered]).float(), box[covered])
        shaped = colour != NO_COLOUR
        if not shaped.any():
            return dense + EDGES * edges
        return dense + EDGES * edges + cross_entropy(self.colour(patches[shaped]).float(), colour[shaped])
