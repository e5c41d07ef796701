"""A small Vision Transformer (arXiv:2010.11929), taught by its patches: each says what it shows and where that ends.

The heads for patches are thrown away after training; without them a transformer from scratch hardly learns to see.
"""

from __future__ import annotations

import torch
from torch.nn.functional import cross_entropy, l1_loss
from transformers import ViTConfig, ViTForImageClassification

from training.drawing import SIDE
from training.scenes import GRID, NO_COLOUR, PATCH, patches_of, pixels_of
from training.world import Scene, names, table

BODY = {"hidden_size": 192, "num_hidden_layers": 6, "num_attention_heads": 6, "intermediate_size": 768}
EPSILON = 1e-6  # of the layer norms
EDGES = 4.0  # how much the edges of boxes count


def build() -> ViTForImageClassification:
    """Return an untrained classifier of the things in the world."""
    labels = dict(enumerate(names()))
    config = ViTConfig(
        **BODY,
        **{"image_size": SIDE, "patch_size": PATCH, "layer_norm_eps": EPSILON},
        **{"id2label": labels, "label2id": {label: place for place, label in labels.items()}},
    )
    return ViTForImageClassification(config)


class Taught(torch.nn.Module):
    """The classifier with heads for its patches: thing, colour of a plain shape, and edges of the thing's box."""

    def __init__(self) -> None:
        """Begin with random weights."""
        super().__init__()
        self.model = build()
        width = BODY["hidden_size"]
        self.thing = torch.nn.Linear(width, 1 + len(names()))
        self.colour = torch.nn.Linear(width, len(table()["colours"]))
        self.box = torch.nn.Linear(width, 4)

    def loss(self, scenes: list[Scene]) -> torch.Tensor:
        """Return the mean loss of the classes of pictures and of what their patches show."""
        states = self.model.vit(pixel_values=pixels_of(scenes)).last_hidden_state
        whole = cross_entropy(self.model.classifier(states[:, 0]).float(), shares_of(scenes).to(states.device))
        seen = patches_of(scenes)
        patches = states[:, 1:].reshape(len(scenes) * GRID * GRID, -1)
        thing, colour, box = seen.thing.flatten(), seen.colour.flatten(), seen.box.flatten(0, 1)
        covered = thing > 0
        dense = cross_entropy(self.thing(patches).float(), thing)
        edges = l1_loss(self.box(patches[covered]).float(), box[covered])
        shaped = colour != NO_COLOUR
        if not shaped.any():
            return whole + dense + EDGES * edges
        return whole + dense + EDGES * edges + cross_entropy(self.colour(patches[shaped]).float(), colour[shaped])


def shares_of(scenes: list[Scene]) -> torch.Tensor:
    """Return for each picture how much of what it shows is of which name, (scenes, names); each row sums to 1."""
    shares = torch.zeros(len(scenes), len(names()))
    for row, scene in enumerate(scenes):
        for one in scene.objects:
            shares[row, names().index(one.thing.name)] += 1 / len(scene.objects)
    return shares
