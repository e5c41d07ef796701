"""A SAM whose answers are known: it replaces the network's output, and everything around it is the true code."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from transformers import SamModel

GRID = 32  # masks of the tiny SAM are 32 x 32 over its input of 64 x 64 pixels
CELL = 2

Answer = tuple[torch.Tensor, float]  # logits (32, 32) and predicted IoU


def rectangle(left: float, top: float, right: float, bottom: float, sure: float = 8.0) -> torch.Tensor:
    """Return the logits of a mask: `sure` in the cells whose middle is in the box (pixels of the input), else less."""
    middles = (torch.arange(GRID) + 0.5) * CELL
    across = (middles >= left) & (middles < right)
    down = (middles >= top) & (middles < bottom)
    return torch.where(down[:, None] & across[None], sure, -sure)


def install(monkeypatch: pytest.MonkeyPatch, answer: Callable[..., Sequence[Answer]]) -> list[int]:
    """Let SAM answer each prompt with what `answer` returns for its numbers; returns the sizes of the batches asked.

    `answer` gets a box (4 numbers) or a point (2) in pixels of SAM's input, and returns one mask, for a point three.
    """
    asked: list[int] = []

    def forward(
        self: SamModel,
        image_embeddings: torch.Tensor,
        multimask_output: bool,
        input_boxes: torch.Tensor | None = None,
        input_points: torch.Tensor | None = None,
    ) -> Any:
        prompts = input_boxes[0] if input_points is None else input_points[0, :, 0]
        asked.append(len(prompts))
        answers = [answer(*prompt.tolist()) for prompt in prompts]
        assert {len(masks) for masks in answers} == {3 if multimask_output else 1}
        return SimpleNamespace(
            pred_masks=torch.stack([torch.stack([logits for logits, _ in masks]) for masks in answers])[None],
            iou_scores=torch.tensor([[score for _, score in masks] for masks in answers])[None],
        )

    monkeypatch.setattr(SamModel, "forward", forward)
    return asked
