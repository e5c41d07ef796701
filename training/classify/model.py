"""A small Vision Transformer (arXiv:2010.11929), taught by its patches: each says what it shows and where that ends."""

from __future__ import annotations

import torch
from torch.nn.functional import cross_entropy
from transformers import ViTConfig, ViTForImageClassification

from training.drawing import SIDE
from training.patch_heads import PatchHeads
from training.scenes import PATCH, patches_of, pixels_of
from training.world import Scene, names

BODY = {"hidden_size": 192, "num_hidden_layers": 6, "num_attention_heads": 6, "intermediate_size": 768}
EPSILON = 1e-6  # of the layer norms


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
    """The classifier with heads for its patches."""

    def __init__(self) -> None:
        """Begin with random weights."""
        super().__init__()
        self.model = build()
        self.patches = PatchHeads(BODY["hidden_size"])

    def loss(self, scenes: list[Scene]) -> torch.Tensor:
        """Return the mean loss of the classes of pictures and of what their patches show."""
        states = self.model.vit(pixel_values=pixels_of(scenes)).last_hidden_state
        whole = cross_entropy(self.model.classifier(states[:, 0]).float(), shares_of(scenes).to(states.device))
        return whole + self.patches.loss(states[:, 1:], patches_of(scenes))


def shares_of(scenes: list[Scene]) -> torch.Tensor:
    """Return for each picture how much of what it shows is of which name, (scenes, names); each row sums to 1."""
    shares = torch.zeros(len(scenes), len(names()))
    for row, scene in enumerate(scenes):
        for one in scene.objects:
            shares[row, names().index(one.thing.name)] += 1 / len(scene.objects)
    return shares
