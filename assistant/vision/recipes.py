"""How a painted picture was made: the recipe, and the notes about it in the picture's PNG file. Knows no model."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Annotated

from pydantic import Field

if TYPE_CHECKING:
    from PIL.Image import Image

# what a person may ask of any painting tool
Prompt = Annotated[str, Field(min_length=1)]
Steps = Annotated[int, Field(ge=1, le=100)]
Guidance = Annotated[float, Field(ge=0, le=20)]
Seed = Annotated[int, Field(ge=0, lt=2**32)]
Count = Annotated[int, Field(ge=1, le=4)]


@dataclass(frozen=True, slots=True)
class Recipe:
    """Everything needed to paint the same pictures again, one for each of `seeds`; sizes are in pixels.

    Where they began with a picture, `source` is its SHA-256; `strength` is the share of the way from noise that was
    gone again, None where all of it was.
    """

    model: str
    revision: str
    scheduler: str
    prompt: str
    negative_prompt: str
    width: int
    height: int
    steps: int
    guidance: float
    seeds: tuple[int, ...]
    strength: float | None = None
    source: str | None = None

    def sentence(self) -> str:
        """Say what was painted, and how."""
        many, seeds = len(self.seeds) > 1, ", ".join(map(str, self.seeds))
        what = f"{len(self.seeds)} pictures" if many else "a picture"
        steps = "1 step" if self.steps == 1 else f"{self.steps} steps"
        guidance = f"guidance {self.guidance:g}, " if self.guidance else ""
        return (
            f"Painted {what} of {self.width} x {self.height} pixels with {self.model} "
            f"({steps}, {guidance}{'seeds' if many else 'seed'} {seeds})."
        )


def inscribe(picture: Image, recipe: Recipe, seed: int) -> None:
    """Write into `picture.info` how it was made: "maru" as JSON, "parameters" as other painting programs read it.

    The second follows AUTOMATIC1111's stable-diffusion-webui (`create_infotext`): prompt, "Negative prompt: …", then
    "Steps: …, Sampler: …, CFG scale: …, Seed: …, Size: …, Model: …".
    """
    facts = {key: value for key, value in asdict(recipe).items() if key != "seeds" and value is not None}
    negative = f"\nNegative prompt: {recipe.negative_prompt}" if recipe.negative_prompt else ""
    strength = "" if recipe.strength is None else f", Denoising strength: {recipe.strength:g}"
    picture.info = {
        "maru": json.dumps(facts | {"seed": seed}, ensure_ascii=False),
        "parameters": (
            f"{recipe.prompt}{negative}\nSteps: {recipe.steps}, Sampler: {recipe.scheduler}, "
            f"CFG scale: {recipe.guidance:g}, Seed: {seed}, Size: {recipe.width}x{recipe.height}, "
            f"Model: {recipe.model}{strength}"
        ),
    }
