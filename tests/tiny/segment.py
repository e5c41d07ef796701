"""A tiny SAM with random weights: 64 pixels, 8 x 8 patches, masks of 32 x 32."""

from __future__ import annotations

import json
from pathlib import Path

import torch
from transformers import SamConfig, SamModel, SamProcessor

SIDE, PATCH, WIDTH = 64, 8, 32
PREPROCESSOR = {  # as in the true repository, but for the sizes
    "do_convert_rgb": True,
    "do_normalize": True,
    "do_pad": True,
    "do_rescale": True,
    "do_resize": True,
    "image_mean": [0.485, 0.456, 0.406],
    "image_processor_type": "SamImageProcessor",
    "image_std": [0.229, 0.224, 0.225],
    "pad_size": {"height": SIDE, "width": SIDE},
    "processor_class": "SamProcessor",
    "resample": 2,
    "rescale_factor": 1 / 255,
    "size": {"longest_edge": SIDE},
}


def build(folder: Path) -> None:
    """Save the checkpoint to `folder`."""
    torch.manual_seed(0)
    sizes = {"image_size": SIDE, "patch_size": PATCH}
    vision = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "output_channels": WIDTH, **sizes}
    vision |= {"num_pos_feats": WIDTH // 2, "window_size": 4, "global_attn_indexes": [1], "initializer_range": 0.02}
    decoder = {"hidden_size": WIDTH, "mlp_dim": 64, "num_attention_heads": 2, "iou_head_hidden_dim": 32}
    config = SamConfig(
        vision_config=vision, prompt_encoder_config={"hidden_size": WIDTH, **sizes}, mask_decoder_config=decoder
    )
    SamModel(config).save_pretrained(folder)
    (folder / "preprocessor_config.json").write_text(json.dumps(PREPROCESSOR))
    SamProcessor.from_pretrained(folder)


CHECKPOINTS = {"cpu": build}
