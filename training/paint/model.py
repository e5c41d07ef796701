"""A small latent diffusion model (arXiv:2112.10752): a UNet that takes noise from latents as the words tell it.

It knows latents, tokens and the schedule of noise, and nothing of pictures.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from diffusers import DDIMScheduler, UNet2DConditionModel
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTokenizer

from training.drawing import SIDE
from training.paint.autoencoder import CHANNELS
from training.words import clip_tokenizer

LONGEST = 48  # tokens of a prompt; words that are not of the world are spelled
PLACES = SIDE // 4  # of the latents, across and down
WIDTHS = (48, 96, 144)
GROUPS, HEADS = 16, 4
TEXT = {"hidden_size": 128, "num_hidden_layers": 3, "num_attention_heads": 4, "intermediate_size": 256}
SPREAD = 0.1  # standard deviation of untrained words; CLIP's own is too small to tell them apart from the first
NOISY = 1000  # times, from hardly any noise to nothing else
STRONGEST = 5.0  # signal-to-noise ratio above which a time counts no more (arXiv:2303.09556)


def scheduler() -> DDIMScheduler:
    """Return the schedule of noise (arXiv:2102.09672, section 3.2) and how to go back in few steps (arXiv:2010.02502).

    The steps begin at pure noise, without which light and dark pictures are never reached (arXiv:2305.08891).
    """
    return DDIMScheduler(
        **{"num_train_timesteps": NOISY, "beta_schedule": "squaredcos_cap_v2", "prediction_type": "v_prediction"},
        **{"timestep_spacing": "trailing", "set_alpha_to_one": False},
        **{"clip_sample": False, "steps_offset": 1},  # else the pipelines complain
    )


class Taught(torch.nn.Module):
    """What learns together: the UNet and the reader of prompts; and the tokenizer, which is fixed."""

    def __init__(self, widths: Sequence[int] = WIDTHS) -> None:
        """Begin with random weights."""
        super().__init__()
        self.tokenizer: CLIPTokenizer = clip_tokenizer(LONGEST)
        ends = {"bos_token_id": self.tokenizer.bos_token_id, "eos_token_id": self.tokenizer.eos_token_id}
        config = CLIPTextConfig(
            **{**TEXT, **ends, "pad_token_id": self.tokenizer.pad_token_id, "vocab_size": len(self.tokenizer)},
            **{"max_position_embeddings": LONGEST, "projection_dim": TEXT["hidden_size"]},
        )
        self.reader = CLIPTextModel(config)
        torch.nn.init.normal_(self.reader.embeddings.token_embedding.weight, std=SPREAD)
        self.unet = UNet2DConditionModel(
            **{"sample_size": PLACES, "in_channels": CHANNELS, "out_channels": CHANNELS, "layers_per_block": 1},
            **{"block_out_channels": tuple(widths), "norm_num_groups": GROUPS, "attention_head_dim": HEADS},
            down_block_types=("DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
            up_block_types=("CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"),
            **{"cross_attention_dim": TEXT["hidden_size"], "use_linear_projection": True},
        )

    def read(self, prompts: Sequence[str]) -> torch.Tensor:
        """Return the states of prompts, (prompts, LONGEST, width), padding and all, as the pipelines make them."""
        room = {"padding": "max_length", "max_length": LONGEST, "truncation": True}
        tokens = self.tokenizer(list(prompts), **room, return_tensors="pt").input_ids
        states: torch.Tensor = self.reader(tokens.to(self.reader.device)).last_hidden_state
        return states

    def loss(self, latents: torch.Tensor, prompts: Sequence[str], draw: torch.Generator) -> torch.Tensor:
        """Return how far the velocities (arXiv:2202.00512, section 4) of noisy latents are from the true ones.

        `draw` gives the noise and how much of it; latents are (prompts, CHANNELS, height, width) of mean 0 and std 1.
        """
        schedule = scheduler()
        times = torch.randint(NOISY, (len(latents),), generator=draw)
        noise = torch.randn(latents.shape, generator=draw)
        ratios = schedule.alphas_cumprod[times] / (1 - schedule.alphas_cumprod[times])
        weights = (ratios.clamp(max=STRONGEST) / (ratios + 1)).to(self.unet.device)
        latents, noise, times = (part.to(self.unet.device) for part in (latents, noise, times))
        noisy, wanted = schedule.add_noise(latents, noise, times), schedule.get_velocity(latents, noise, times)
        found = self.unet(noisy, times, encoder_hidden_states=self.read(prompts)).sample.float()
        return (weights * (found - wanted).square().mean((1, 2, 3))).mean()
