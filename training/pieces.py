"""Trains any module in pieces: step by step, with checkpoints to go on from, and draws the curve of its loss.

It knows no model and no data: a training hands it a module and a function that gives the loss of a numbered step. Data
made from that number alone make a run of three pieces the same as a run of one.
"""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from PIL import Image as Pictures
from PIL import ImageDraw, ImageFont

log = logging.getLogger(__name__)

BETAS = (0.9, 0.98)
CLIP = 1.0  # the largest norm of the gradient
LOGGED = 25  # steps that a logged loss is the mean of
SAVED = 300  # seconds between two checkpoints
LOWEST = 0.01  # of the rate, at the end of the schedule
WIDTH, HEIGHT, MARGIN, FONT = 720, 360, 56, 16  # of the curve, in pixels


@dataclass(frozen=True, slots=True)
class Plan:
    """How long and how fast to learn: AdamW (arXiv:1711.05101) with a warm-up and half a cosine.

    `averaged` is the share that the running mean of the weights keeps at each step; 0 for no mean. `halved` says
    whether products may be computed in bfloat16.
    """

    steps: int
    rate: float
    warm_up: int = 200
    decay: float = 0.05
    averaged: float = 0.0
    halved: bool = True

    def rate_at(self, step: int) -> float:
        """Return the learning rate of a step, counted from 0."""
        if step < self.warm_up:
            return self.rate * (step + 1) / self.warm_up
        share = (step - self.warm_up) / max(1, self.steps - self.warm_up)
        return self.rate * (LOWEST + (1 - LOWEST) * (1 + math.cos(math.pi * share)) / 2)


def device() -> torch.device:
    """Return the GPU where there is one."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def train(module: torch.nn.Module, loss: Callable[[int], torch.Tensor], plan: Plan, work: Path, minutes: float) -> bool:
    """Train `module` for `minutes`, going on from the checkpoint in `work`, and tell whether all steps are done.

    `loss(step)` is the mean loss of the batch with that number. When it is done `module` holds the running mean of its
    weights if the plan has one; `report` tells how it went.
    """
    piece = _Piece(module, plan, work)
    end = time.monotonic() + 60 * minutes
    saved = time.monotonic()
    while piece.step < plan.steps and time.monotonic() < end:
        piece.advance(loss)
        if time.monotonic() > saved + SAVED:
            piece.save()
            saved = time.monotonic()
    piece.save()
    if piece.step < plan.steps:
        log.info("%d of %d steps are done; run the same command again", piece.step, plan.steps)
        return False
    piece.finish()
    return True


def report(work: Path, folder: Path) -> None:
    """Draw the curve of the losses into `folder`, as loss.png, and say how long the pieces took together."""
    state = _read(work)
    draw_curve(state["losses"], folder / "loss.png")
    log.info("written to %s after %.1f hours", folder, state["seconds"] / 3600)


class _Piece:
    """A training at some step: weights, their mean, optimizer and log."""

    def __init__(self, module: torch.nn.Module, plan: Plan, work: Path) -> None:
        self._module, self._plan, self._work = module.to(device()).train(), plan, work
        flat = [p for p in module.parameters() if p.requires_grad and p.ndim < 2]
        deep = [p for p in module.parameters() if p.requires_grad and p.ndim >= 2]
        groups = [{"params": deep, "weight_decay": plan.decay}, {"params": flat, "weight_decay": 0.0}]
        self._optimizer = torch.optim.AdamW(groups, lr=plan.rate, betas=BETAS, fused=True)
        self._mean = torch.optim.swa_utils.AveragedModel(module, multi_avg_fn=self._average) if plan.averaged else None
        self.step, self._seconds = 0, 0.0
        self._losses: list[tuple[int, float]] = []
        self._recent: list[float] = []
        if (work / "checkpoint.pt").exists():
            self._restore(_read(work))
        self._begin = time.monotonic()

    def advance(self, loss: Callable[[int], torch.Tensor]) -> None:
        """Learn from the next batch."""
        for group in self._optimizer.param_groups:
            group["lr"] = self._plan.rate_at(self.step)
        with torch.autocast(device().type, torch.bfloat16, enabled=self._plan.halved):
            value = loss(self.step)
        value.backward()
        torch.nn.utils.clip_grad_norm_(self._module.parameters(), CLIP)
        self._optimizer.step()
        self._optimizer.zero_grad(set_to_none=True)
        if self._mean is not None:
            self._mean.update_parameters(self._module)
        self.step += 1
        self._recent.append(float(value.detach()))
        if self.step % LOGGED == 0:
            self._losses.append((self.step, sum(self._recent) / len(self._recent)))
            log.info("step %d of %d: loss %.4f", self.step, self._plan.steps, self._losses[-1][1])
            self._recent.clear()

    def save(self) -> None:
        """Write a checkpoint; an interruption leaves the one before."""
        self._work.mkdir(parents=True, exist_ok=True)
        new = self._work / "checkpoint.new"
        state = {
            "module": self._module.state_dict(),
            "optimizer": self._optimizer.state_dict(),
            "mean": self._mean.state_dict() if self._mean is not None else None,
            "step": self.step,
            "seconds": self._seconds + time.monotonic() - self._begin,
            "losses": self._losses,
            "recent": self._recent,
        }
        torch.save(state, new)
        new.replace(self._work / "checkpoint.pt")

    def finish(self) -> None:
        """Put the mean of the weights into the module."""
        if self._mean is not None:
            self._module.load_state_dict(self._mean.module.state_dict())
        self._module.eval()

    def _restore(self, state: dict[str, Any]) -> None:
        self._module.load_state_dict(state["module"])
        self._optimizer.load_state_dict(state["optimizer"])
        if self._mean is not None:
            self._mean.load_state_dict(state["mean"])
        self.step, self._seconds = state["step"], state["seconds"]
        self._losses, self._recent = state["losses"], state["recent"]

    def _average(self, means: Any, values: Any, count: Any) -> None:
        """Move the means towards the new weights, faster at the start, where the old ones are worth little."""
        kept = min(self._plan.averaged, (1 + int(count)) / (10 + int(count)))
        torch._foreach_lerp_(means, values, 1 - kept)


def _read(work: Path) -> dict[str, Any]:
    state: dict[str, Any] = torch.load(work / "checkpoint.pt", map_location=device(), weights_only=True)
    return state


def draw_curve(points: Sequence[tuple[int, float]], path: Path) -> None:
    """Draw the losses over the steps, on a logarithmic scale, as a PNG."""
    picture = Pictures.new("RGB", (WIDTH, HEIGHT), "white")
    pen, font = ImageDraw.Draw(picture), ImageFont.load_default(FONT)
    low, high = (math.log(edge) for edge in (min(y for _, y in points), max(y for _, y in points)))
    last = points[-1][0]
    inside = (WIDTH - 2 * MARGIN, HEIGHT - 2 * MARGIN)

    def place(step: float, logarithm: float) -> tuple[float, float]:
        height = (logarithm - low) / max(high - low, 1e-9)
        return MARGIN + inside[0] * step / last, HEIGHT - MARGIN - inside[1] * height

    for part in range(5):
        mark = low + (high - low) * part / 4
        pen.line((*place(0, mark), *place(last, mark)), fill=(225, 225, 225))
        pen.text((MARGIN - 6, place(0, mark)[1]), f"{math.exp(mark):.3g}", "black", font, anchor="rm")
        pen.text(
            (place(last * part / 4, low)[0], HEIGHT - MARGIN + 8), f"{last * part // 4}", "black", font, anchor="ma"
        )
    pen.line([place(step, math.log(value)) for step, value in points], fill=(40, 90, 180), width=2)
    pen.text((WIDTH / 2, HEIGHT - 8), "steps", "black", font, anchor="md")
    pen.text((MARGIN, 12), "loss", "black", font)
    picture.save(path, optimize=True)
