"""repaint_image begins with a picture of any size and keeps its shape."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image as Pictures
from PIL.Image import Image, Resampling

from assistant import Assistant
from assistant.types import ToolResult
from assistant.vision.painting import painter


def repainted(assistant: Assistant, image: Image | Path, **arguments: object) -> ToolResult:
    result = assistant.call("repaint_image", image=image, **{"prompt": "an oil painting"} | arguments)
    assert not result.failed, result.text
    return result


def opened(assistant: Assistant, result: ToolResult) -> Image:
    with Pictures.open(assistant.path(result.artifacts[0])) as picture:
        picture.load()
        return picture


def bare(image: Image, seed: int, strength: float, steps: int, guidance: float) -> Image:
    """Repaint with diffusers alone, on the networks in memory."""
    import diffusers
    import torch

    with painter() as brush:
        parts: Any = {**brush.from_words.components, "requires_safety_checker": False}
        pipeline = diffusers.StableDiffusionImg2ImgPipeline(**parts)
        done = pipeline(
            "an oil painting",
            image=image,
            strength=strength,
            num_inference_steps=steps,
            guidance_scale=guidance,
            generator=torch.Generator("cpu").manual_seed(seed),
        )
        picture: Image = done.images[0]
        return picture


def test_a_picture_is_resized_to_the_nearest_size_of_its_shape_and_painted_by_diffusers(
    assistant: Assistant, photo: Image
) -> None:
    result = repainted(assistant, photo, seed=3)
    recipe = result.data["recipe"]
    assert (recipe["width"], recipe["height"], recipe["strength"]) == (96, 64, 0.6)
    assert f"The picture was 300 x 200 before; this is the nearest size that {recipe['model']} can do." in result.text
    expected = bare(photo.resize((96, 64), Resampling.LANCZOS), 3, 0.6, recipe["steps"], recipe["guidance"])
    assert opened(assistant, result).tobytes() == expected.tobytes()


def test_a_picture_of_a_size_it_can_do_is_not_resized(assistant: Assistant, photo: Image) -> None:
    fitting = photo.resize((112, 80))
    result = repainted(assistant, fitting)
    assert opened(assistant, result).size == (112, 80)
    assert "before" not in result.text


def test_a_weaker_hand_stays_nearer_to_the_picture(assistant: Assistant, photo: Image) -> None:
    fitting = photo.resize((96, 64))
    untouched = np.asarray(opened(assistant, repainted(assistant, fitting, strength=0.25)), float)
    changes = []
    for strength in (0.5, 1.0):
        picture = np.asarray(opened(assistant, repainted(assistant, fitting, strength=strength)), float)
        changes.append(np.abs(picture - untouched).mean())
    assert 0 < changes[0] < changes[1]


def test_the_recipe_names_its_source_and_gives_the_same_bytes_again(assistant: Assistant, photo: Image) -> None:
    result = repainted(assistant, photo, seed=9, count=2, strength=0.75)
    recipe = result.data["recipe"]
    (source,) = {a.digest for a in assistant.artifacts("direct") if a.id == result.call.arguments["image"]}
    assert recipe["source"] == source
    wishes = {key: recipe[key] for key in ("prompt", "negative_prompt", "strength", "steps", "guidance")}
    again = [repainted(assistant, photo, seed=seed, **wishes).artifacts[0].digest for seed in recipe["seeds"]]
    assert again == [artifact.digest for artifact in result.artifacts] and len(set(again)) == 2
    info = opened(assistant, result).info
    facts = json.loads(info["maru"])
    assert (facts["strength"], facts["source"], facts["seed"]) == (0.75, source, 9)
    assert info["parameters"].endswith(", Denoising strength: 0.75")


def test_a_strength_that_leaves_no_step_is_refused_with_the_least_that_does(
    tiny: Callable[..., Assistant], photo: Image
) -> None:
    for profile, steps, least in (("cpu", 4, 0.25), ("gpu", 7, 0.15)):
        assistant = tiny(profile, "paint", "preview")
        wishes = {"prompt": "an oil painting", "steps": steps}
        result = assistant.call("repaint_image", image=photo, strength=least - 0.02, **wishes)
        assert result.failed and result.text.endswith(f"Take a strength of at least {least}.")
        assert not assistant.call("repaint_image", image=photo, strength=least, **wishes).failed


def test_a_strip_is_refused(assistant: Assistant) -> None:
    result = assistant.call("repaint_image", image=Pictures.new("RGB", (600, 100)), prompt="an oil painting")
    assert result.failed and "is too long for" in result.text and "at most 4 times" in result.text
