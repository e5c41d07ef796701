"""A tiny decoder of previews: random weights of the class of TAESD, eight pixels to a latent."""

from __future__ import annotations

from pathlib import Path


def build(folder: Path) -> None:
    """Save an `AutoencoderTiny`."""
    import torch
    from diffusers import AutoencoderTiny

    torch.manual_seed(0)
    model = AutoencoderTiny(
        encoder_block_out_channels=(8, 8, 8, 8),
        decoder_block_out_channels=(8, 8, 8, 8),
        num_encoder_blocks=(1, 1, 1, 1),
        num_decoder_blocks=(1, 1, 1, 1),
    )
    model.save_pretrained(folder)


CHECKPOINTS = {"gpu": build, "cpu": build}
