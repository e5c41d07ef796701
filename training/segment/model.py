"""A small SAM (arXiv:2304.02643) and its loss: focal and dice for masks, and the overlap it should expect of its own.

transformers gives this class no loss; this is that of section 3 and appendix A of the paper, for one thing a prompt.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch.nn.functional import binary_cross_entropy_with_logits, mse_loss
from transformers import SamConfig, SamModel, ViTModel

from training.drawing import SIDE
from training.eyes import lend, shape_of
from training.pieces import device
from training.scenes import PATCH, pixels_of
from training.world import Scene

WIDTH = 96  # of embeddings, prompts and decoder
MASK = 4 * SIDE // PATCH  # pixels of the masks, across and down
PROMPTS = 4  # a picture
JITTER = 3  # pixels by which a person's box is off
FOCUS = 2.0  # of the focal loss
FOCAL, DICE = 20.0, 1.0  # their weights, as in the paper


def build(eyes: ViTModel) -> SamModel:
    """Return an untrained model that sees with `eyes`."""
    shape = shape_of(eyes)
    sizes = {key: shape[key] for key in ("image_size", "patch_size")}
    config = SamConfig(
        vision_config={
            **shape,
            **{"mlp_dim": shape["intermediate_size"], "initializer_range": 0.02},
            **{"window_size": 0, "use_rel_pos": False, "output_channels": WIDTH, "num_pos_feats": WIDTH // 2},
        },
        prompt_encoder_config={"hidden_size": WIDTH, **sizes},
        mask_decoder_config={
            **{"hidden_size": WIDTH, "mlp_dim": 384, "num_attention_heads": 4, "iou_head_hidden_dim": WIDTH},
        },
        initializer_range=0.02,
    )
    model = SamModel(config)
    lend(eyes, model.vision_encoder, "sam")
    return model


@dataclass(frozen=True, slots=True)
class Prompts:
    """What is pointed at in pictures, in pixels: `points` (pictures, PROMPTS, 1, 2) or `boxes` (pictures, PROMPTS, 4).

    `masks` (pictures, PROMPTS, MASK, MASK) has the share of each of its pixels that belongs to the thing, 0..1.
    """

    points: torch.Tensor | None
    boxes: torch.Tensor | None
    masks: torch.Tensor


def prompts_of(scenes: Sequence[Scene], rng: np.random.Generator, boxed: bool) -> Prompts:
    """Point at things of each scene, drawn by `rng`: somewhere on them, or with a box roughly around them."""
    hints, masks = [], []
    for scene in scenes:
        for _ in range(PROMPTS):
            place = int(rng.integers(len(scene.objects)))
            mask = scene.cover == place + 1
            masks.append(mask)
            if boxed:
                hints.append(
                    np.clip(np.array(scene.objects[place].box) + rng.integers(-JITTER, JITTER + 1, 4), 0, SIDE)
                )
            else:
                rows, columns = np.nonzero(mask)
                pick = int(rng.integers(len(rows)))
                hints.append(np.array([columns[pick] + 0.5, rows[pick] + 0.5]))
    hint = torch.from_numpy(np.stack(hints)).float().to(device())
    fine = torch.from_numpy(np.stack(masks)).float().to(device())[:, None]
    coarse = torch.nn.functional.interpolate(fine, size=(MASK, MASK), mode="area")
    shape = (len(scenes), PROMPTS)
    return Prompts(
        None if boxed else hint.view(*shape, 1, 2),
        hint.view(*shape, 4) if boxed else None,
        coarse.view(*shape, MASK, MASK),
    )


def loss(model: SamModel, scenes: Sequence[Scene], prompts: Prompts, ambiguous: bool) -> torch.Tensor:
    """Return the loss of the best mask for each prompt, of three if `ambiguous`, and of the overlaps expected."""
    out = model(
        pixel_values=pixels_of(scenes),
        input_points=prompts.points,
        input_boxes=prompts.boxes,
        multimask_output=ambiguous,
    )
    logits = out.pred_masks.float()
    wanted = prompts.masks[:, :, None].expand_as(logits)
    each = FOCAL * _focal(logits, wanted) + DICE * _dice(logits, wanted)
    expected = mse_loss(out.iou_scores.float(), _overlap(logits.detach(), wanted))
    return each.min(-1).values.mean() + expected


def _focal(logits: torch.Tensor, wanted: torch.Tensor) -> torch.Tensor:
    plain = binary_cross_entropy_with_logits(logits, wanted, reduction="none")
    distance = (logits.sigmoid() - wanted).abs()  # for shares of a pixel too
    return (distance**FOCUS * plain).mean((-2, -1))


def _dice(logits: torch.Tensor, wanted: torch.Tensor) -> torch.Tensor:
    inside = logits.sigmoid()
    shared = (inside * wanted).sum((-2, -1))
    return 1 - (2 * shared + 1) / (inside.sum((-2, -1)) + wanted.sum((-2, -1)) + 1)


def _overlap(logits: torch.Tensor, wanted: torch.Tensor) -> torch.Tensor:
    """Return the intersection over union of masks."""
    inside, thing = logits > 0, wanted > 0.5
    return (inside & thing).sum((-2, -1)) / (inside | thing).sum((-2, -1)).clamp(min=1)
