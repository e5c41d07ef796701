"""A tiny Stable Diffusion for pictures of 64 pixels: random weights of the true classes, files with the true names.

Beside what is needed lies what the original repositories hold too and what must not be downloaded; it is no weights.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

UNWANTED = {
    "gpu": (
        "v1-5-pruned-emaonly.safetensors",
        "v1-5-pruned.safetensors",
        "safety_checker/model.safetensors",
        "safety_checker/model.fp16.safetensors",
        "unet/diffusion_pytorch_model.safetensors",
        "unet/diffusion_pytorch_model.non_ema.safetensors",
        "vae/diffusion_pytorch_model.safetensors",
        "text_encoder/model.safetensors",
    ),
    "cpu": (
        "sd_turbo.safetensors",
        "unet/diffusion_pytorch_model.fp16.safetensors",
        "vae/diffusion_pytorch_model.fp16.safetensors",
        "text_encoder/model.fp16.safetensors",
    ),
}
SCHEDULE: dict[str, Any] = {
    "beta_start": 0.00085,
    "beta_end": 0.012,
    "beta_schedule": "scaled_linear",
    "steps_offset": 1,
}
START, END = "<|startoftext|>", "<|endoftext|>"


def build_gpu(folder: Path) -> None:
    """Save it with the scheduler of Stable Diffusion 1.5, in files of the variant fp16."""
    from diffusers import PNDMScheduler

    scheduler = PNDMScheduler(**SCHEDULE, skip_prk_steps=True, set_alpha_to_one=False)
    pipeline = _pipeline(scheduler)
    pipeline.save_pretrained(folder, variant="fp16")
    _write_vocabulary(pipeline.tokenizer, folder / "tokenizer")
    index = json.loads((folder / "model_index.json").read_text())
    del index["requires_safety_checker"], index["image_encoder"]  # they are younger than the original
    index["safety_checker"] = ["stable_diffusion", "StableDiffusionSafetyChecker"]
    index["feature_extractor"] = ["transformers", "CLIPImageProcessor"]
    (folder / "model_index.json").write_text(json.dumps(index))
    _add_unwanted(folder, "gpu")


def build_cpu(folder: Path) -> None:
    """Save it with the scheduler of SD-Turbo, in plain files."""
    from diffusers import EulerDiscreteScheduler

    _pipeline(EulerDiscreteScheduler(**SCHEDULE, timestep_spacing="trailing")).save_pretrained(folder)
    _add_unwanted(folder, "cpu")


def _pipeline(scheduler: Any) -> Any:
    import torch
    from diffusers import AutoencoderKL, StableDiffusionPipeline, UNet2DConditionModel
    from transformers import CLIPTextConfig, CLIPTextModel

    torch.manual_seed(0)
    vae = AutoencoderKL(
        down_block_types=("DownEncoderBlock2D",) * 4,
        up_block_types=("UpDecoderBlock2D",) * 4,
        block_out_channels=(8, 8, 8, 8),
        layers_per_block=1,
        latent_channels=4,
        norm_num_groups=4,
        sample_size=64,
    )
    vae.decoder.conv_out.weight.data *= 4  # else all pixels are about grey
    unet = UNet2DConditionModel(
        sample_size=8,
        block_out_channels=(16, 32),
        layers_per_block=1,
        down_block_types=("CrossAttnDownBlock2D", "DownBlock2D"),
        up_block_types=("UpBlock2D", "CrossAttnUpBlock2D"),
        norm_num_groups=8,
        cross_attention_dim=32,
        attention_head_dim=2,
    )
    tokenizer = _tokenizer()
    words = CLIPTextConfig(
        vocab_size=len(tokenizer),
        hidden_size=32,
        intermediate_size=64,
        projection_dim=32,
        num_hidden_layers=2,
        num_attention_heads=4,
        max_position_embeddings=77,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    return StableDiffusionPipeline(
        vae, CLIPTextModel(words), tokenizer, unet, scheduler, None, None, requires_safety_checker=False
    )


def _tokenizer() -> Any:
    """A vocabulary of letters; `</w>` ends a word."""
    from transformers import CLIPTokenizer

    letters = [chr(code) for code in range(33, 127)]
    entries = [*letters, *(f"{letter}</w>" for letter in letters), START, END]
    return CLIPTokenizer(vocab={entry: number for number, entry in enumerate(entries)}, merges=[], model_max_length=77)


def _write_vocabulary(tokenizer: Any, folder: Path) -> None:
    """Save a tokenizer the older way, as the original has it: vocab.json and merges.txt."""
    (folder / "tokenizer.json").unlink()
    (folder / "vocab.json").write_text(json.dumps(tokenizer.get_vocab()))
    (folder / "merges.txt").write_text("#version: 0.2\n")


def _add_unwanted(folder: Path, profile: str) -> None:
    for name in UNWANTED[profile]:
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_bytes(b"no weights")


CHECKPOINTS = {"gpu": build_gpu, "cpu": build_cpu}
