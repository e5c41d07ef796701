"""What a picture will look like, seen while it is being painted. Knows latents and schedulers, no prompt."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from PIL import Image as Pictures

if TYPE_CHECKING:
    import torch
    from PIL.Image import Image

# Red, green and blue of each of the four latent channels of Stable Diffusion 1 and 2, by keturn:
# https://discuss.huggingface.co/t/decoding-latents-to-rgb-without-upscaling/23204
LATENT_COLOURS = ((0.298, 0.207, 0.208), (0.187, 0.286, 0.173), (-0.158, 0.189, 0.264), (-0.184, -0.271, -0.473))
MOST = 5  # previews of one picture


class Previews:
    """Follows the latents of one picture.

    Latents on their way are mostly noise. A deterministic sampler (DDIM, PNDM, Euler) moves them, divided by the
    signal's share, along straight lines in the noise level (Song et al., "Denoising Diffusion Implicit Models", 2020,
    section 4.3); where the line through the last two ends, at no noise, is what the model now takes the picture for.
    """

    def __init__(self, decoder: Any) -> None:
        """Decode with `decoder` (an `AutoencoderTiny`), or by colour alone where it is None."""
        self._decoder = decoder
        self._before: tuple[torch.Tensor, float] | None = None

    def look(self, pipeline: Any, step: int, latents: torch.Tensor) -> Image | None:
        """Take in the latents after `step`, and return the picture they lead to if it is time for one."""
        clean = self.follow(pipeline, step, latents)
        if clean is None or step % max(1, pipeline.num_timesteps // MOST):
            return None
        return self._decode(clean, pipeline)

    def follow(self, pipeline: Any, step: int, latents: torch.Tensor) -> torch.Tensor | None:
        """Return where the latents after `step` lead, without noise; None at the ends, and where no line is known."""
        scheduler = pipeline.scheduler
        if step + 1 >= pipeline.num_timesteps:
            return None
        # after a step the latents have the noise of the next timestep; scaled, they are what the network takes
        following = scheduler.timesteps[len(scheduler.timesteps) - pipeline.num_timesteps + step + 1]
        signal = float(scheduler.alphas_cumprod[int(following)])
        level = (1 / signal - 1) ** 0.5
        now = scheduler.scale_model_input(latents, following).float() / signal**0.5
        before, self._before = self._before, (now, level)
        if before is None or before[1] <= level:  # PNDM takes its second step twice
            return None
        clean: torch.Tensor = now + (now - before[0]) * (level / (before[1] - level))
        return clean

    def _decode(self, clean: torch.Tensor, pipeline: Any) -> Image:
        import torch

        if self._decoder is not None:
            decoded = self._decoder.decode(clean.to(self._decoder.dtype)).sample
            picture: Image = pipeline.image_processor.postprocess(decoded.float(), output_type="pil")[0]
            return picture
        colours = torch.tensor(LATENT_COLOURS, device=clean.device)
        pixels = (torch.einsum("chw,cr->hwr", clean[0], colours) / 2 + 0.5).clamp(0, 1)
        small = Pictures.fromarray((pixels * 255).round().byte().cpu().numpy())
        scale = pipeline.vae_scale_factor
        return small.resize((small.width * scale, small.height * scale), Pictures.Resampling.BILINEAR)
