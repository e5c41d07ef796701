"""Small eyes for the tests of trainings: the body of the classifier, but narrow and untrained, so a step is quick."""

from __future__ import annotations

from collections.abc import Callable

import torch
from transformers import ViTConfig, ViTModel

from training.drawing import SIDE
from training.scenes import PATCH


def toy_eyes() -> ViTModel:
    """Return a body for pictures of the world's size."""
    torch.manual_seed(0)
    shape = {"hidden_size": 64, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 128}
    return ViTModel(ViTConfig(**shape, image_size=SIDE, patch_size=PATCH, layer_norm_eps=1e-6), add_pooling_layer=False)


def learn(model: torch.nn.Module, loss: Callable[[], torch.Tensor], steps: int, rate: float = 2e-3) -> list[float]:
    """Learn the same batch again and again; return the losses."""
    optimizer = torch.optim.AdamW(model.parameters(), lr=rate)
    found = []
    for _ in range(steps):
        value = loss()
        value.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()
        found.append(float(value.detach()))
    return found
