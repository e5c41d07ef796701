"""A small autoencoder (arXiv:2112.10752, section 3.1): pictures to latents, a sixteenth as many places, and back.

It knows pixels and latents, and nothing of prompts or noise schedules. Four channels it must have: that many the
pipeline which paints inside masks takes, and a place for every 4 x 4 pixels is what four channels can still describe.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import torch
from diffusers import AutoencoderKL

from training.drawing import SIDE
from training.scenes import pixels_of
from training.world import Scene

CHANNELS = 4
WIDTHS = (24, 48, 64)  # at the resolution of the picture, half of it, and a quarter
GROUPS = 8  # of the norms
NOISE = 0.1  # standard deviation of what is added to the latents, so that pictures hardly change with small errors
PULL = 1e-4  # how much it costs that latents are large
EDGES = 0.25  # how much differences between neighbours count
CROP = 32  # pixels
AT_ONCE = 64  # pictures encoded at a time


def build(widths: Sequence[int] = WIDTHS) -> AutoencoderKL:
    """Return an untrained autoencoder.

    The variance of its latents is fixed: learned, it drowns them in the beginning, and later it is as good as none.
    With it the divergence from a normal distribution is the mean square of the means, and a constant.
    """
    coder = AutoencoderKL(
        **{"in_channels": 3, "out_channels": 3, "latent_channels": CHANNELS, "block_out_channels": tuple(widths)},
        **{"down_block_types": ("DownEncoderBlock2D",) * 3, "up_block_types": ("UpDecoderBlock2D",) * 3},
        **{"layers_per_block": 1, "norm_num_groups": GROUPS, "mid_block_add_attention": False, "sample_size": SIDE},
        scaling_factor=1.0,  # `normalise` does what it is for, and for each channel
    )
    with torch.no_grad():
        coder.quant_conv.weight[CHANNELS:] = 0
        coder.quant_conv.bias[CHANNELS:] = 2 * math.log(NOISE)
    return coder


def coding_loss(coder: AutoencoderKL, pixels: torch.Tensor, draw: torch.Generator) -> torch.Tensor:
    """Return how far pictures, (n, 3, height, width) in -1..1, are from what is made of their latents."""
    means = coder.encode(pixels).latent_dist.mean
    noise = NOISE * torch.randn(means.shape, generator=draw).to(means.device)
    off = coder.decode(means + noise).sample - pixels
    edges = sum(off.diff(dim=axis).abs().mean() for axis in (2, 3))
    return off.abs().mean() + off.square().mean() + EDGES * edges + PULL * means.square().mean()


def crops_of(scenes: Sequence[Scene], rng: np.random.Generator, each: int) -> torch.Tensor:
    """Return `each` cut-outs of every picture around a place on a thing, (scenes * each, 3, CROP, CROP)."""
    pixels, cut = pixels_of(scenes), []
    for picture, scene in zip(pixels, scenes, strict=True):
        for _ in range(each):
            left, top, right, bottom = scene.objects[rng.integers(len(scene.objects))].box
            x, y = (
                min(max(int(rng.integers(low, high)) - CROP // 2, 0), SIDE - CROP)
                for low, high in ((left, right), (top, bottom))
            )
            cut.append(picture[:, y : y + CROP, x : x + CROP])
    return torch.stack(cut)


@torch.no_grad()
def latents_of(coder: AutoencoderKL, scenes: Sequence[Scene]) -> torch.Tensor:
    """Return the latents of whole pictures, (scenes, CHANNELS, SIDE / 4, SIDE / 4), without noise."""
    parts = [scenes[first : first + AT_ONCE] for first in range(0, len(scenes), AT_ONCE)]
    return torch.cat([coder.encode(pixels_of(part)).latent_dist.mean for part in parts])


@torch.no_grad()
def normalise(coder: AutoencoderKL, scenes: Sequence[Scene]) -> None:
    """Give every channel of the latents of `scenes` mean 0 and standard deviation 1.

    The first and last step of the latents, convolutions of single places, take that in; pictures stay the same.
    """
    latents = latents_of(coder, scenes)
    middle, spread = latents.mean((0, 2, 3)), latents.std((0, 2, 3))
    first, last = coder.quant_conv, coder.post_quant_conv
    first.weight[:CHANNELS] /= spread[:, None, None, None]
    first.bias[:CHANNELS] = (first.bias[:CHANNELS] - middle) / spread
    first.bias[CHANNELS:] -= 2 * spread.log()  # logarithms of variances
    last.bias += last.weight[:, :, 0, 0] @ middle
    last.weight *= spread[None, :, None, None]
