"""fill_in paints what is white in the mask, or what was found by name, and leaves every other pixel as it was."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from PIL import Image as Pictures
from PIL.Image import Image, Resampling

import plugins.fill_in
from assistant import Assistant
from assistant.types import ToolResult
from assistant.vision.detection import Found
from assistant.vision.painting import painter
from assistant.vision.segmentation import Mask

FOUND = (Found("dog", 0.9, (20.0, 30.0, 60.0, 70.0)), Found("dog", 0.4, (200.0, 100.0, 220.0, 140.0)))


def mask_of(size: tuple[int, int], *boxes: tuple[int, int, int, int]) -> Image:
    mask = Pictures.new("L", size)
    for box in boxes:
        mask.paste(255, box)
    return mask


def filled(assistant: Assistant, image: Image, **arguments: object) -> ToolResult:
    result = assistant.call("fill_in", image=image, **{"prompt": "a grey cat"} | arguments)
    assert not result.failed, result.text
    return result


def opened(assistant: Assistant, result: ToolResult, handle: str) -> Image:
    (artifact,) = [artifact for artifact in result.artifacts if artifact.id == handle]
    with Pictures.open(assistant.path(artifact)) as picture:
        picture.load()
        return picture


def bare(image: Image, mask: Image, recipe: dict[str, Any]) -> Image:
    """Fill in with diffusers alone, on the networks in memory."""
    import diffusers
    import torch

    with painter() as brush:
        parts: Any = {**brush.from_words.components, "requires_safety_checker": False}
        done = diffusers.StableDiffusionInpaintPipeline(**parts)(
            recipe["prompt"],
            image=image,
            mask_image=mask,
            width=image.width,
            height=image.height,
            strength=1.0,
            num_inference_steps=recipe["steps"],
            guidance_scale=recipe["guidance"],
            generator=torch.Generator("cpu").manual_seed(recipe["seeds"][0]),
        )
        picture: Image = done.images[0]
        return picture


def test_outside_the_mask_nothing_changes_and_inside_it_is_what_diffusers_paints(
    assistant: Assistant, photo: Image
) -> None:
    result = filled(assistant, photo, mask=mask_of(photo.size, (75, 50, 225, 150)), seed=2)
    small, recipe = photo.resize((96, 64), Resampling.LANCZOS), result.data["recipe"]
    mask = opened(assistant, result, result.data["mask"])
    picture = opened(assistant, result, result.data["pictures"][0])
    assert (picture.size, mask.size, mask.getbbox()) == ((96, 64), (96, 64), (24, 16, 72, 48))
    inside = np.asarray(mask) > 0
    pixels, expected = np.asarray(picture), np.asarray(bare(small, mask, recipe))
    assert np.array_equal(pixels[~inside], np.asarray(small)[~inside])
    assert np.array_equal(pixels[inside], expected[inside])
    assert (pixels[inside] != np.asarray(small)[inside]).mean() > 0.5
    assert "The picture was 300 x 200 before" in result.text


def test_recipe_source_and_mask_give_the_same_bytes_again(assistant: Assistant, photo: Image) -> None:
    result = filled(assistant, photo, mask=mask_of(photo.size, (10, 10, 99, 150)), seed=4, count=2)
    mask = opened(assistant, result, result.data["mask"])
    for handle, seed in zip(result.data["pictures"], result.data["recipe"]["seeds"], strict=True):
        again = filled(assistant, photo, mask=mask, seed=seed)
        assert opened(assistant, again, again.data["pictures"][0]) == opened(assistant, result, handle)
    assert result.data["recipe"]["seeds"] == [4, 5] and len(result.artifacts) == 3


def test_greys_of_a_mask_count_as_the_nearer_of_black_and_white(assistant: Assistant, photo: Image) -> None:
    mask = Pictures.new("RGB", (96, 64), (127, 127, 127))
    mask.paste((128, 128, 128), (0, 0, 32, 64))
    result = filled(assistant, photo, mask=mask)
    used = opened(assistant, result, result.data["mask"])
    assert (used.getbbox(), used.getextrema()) == ((0, 0, 32, 64), (0, 255))


@pytest.fixture
def two_dogs(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """Stand in for the models that find and outline: they see two dogs, whose outlines are their boxes."""
    asked: list[Any] = []

    def find(image: Image, queries: Sequence[str], **services: Any) -> list[Found]:
        asked.append(list(queries))
        return [one for one in FOUND if one.label in queries]

    def masks_for_boxes(image: Image, boxes: Sequence[Any], stop: Any, progress: Any) -> list[Mask]:
        asked.append(list(boxes))
        return [Mask(box, np.ones((box[3] - box[1], box[2] - box[0]), bool), image.size, 0.9) for box in edges(boxes)]

    monkeypatch.setattr(plugins.fill_in, "find", find)
    monkeypatch.setattr(plugins.fill_in, "masks_for_boxes", masks_for_boxes)
    return asked


def edges(boxes: Sequence[Any]) -> list[tuple[int, int, int, int]]:
    return [(int(left), int(top), int(right), int(bottom)) for left, top, right, bottom in boxes]


def test_everything_found_by_name_is_painted_over_with_a_margin(
    assistant: Assistant, two_dogs: list[Any], photo: Image
) -> None:
    photo = photo.resize((288, 192))  # three times what the model paints
    result = filled(assistant, photo, what="the dogs and a cup")
    assert two_dogs == [["dog", "cup"], [one.box for one in FOUND]]
    assert result.text.endswith(" No cup was found.")
    wide = [(left - 3, top - 3, right + 3, bottom + 3) for left, top, right, bottom in edges(f.box for f in FOUND)]
    by_hand = filled(assistant, photo, mask=mask_of(photo.size, *wide))
    assert opened(assistant, result, result.data["mask"]) == opened(assistant, by_hand, by_hand.data["mask"])
    pictures = [opened(assistant, one, one.data["pictures"][0]) for one in (result, by_hand)]
    assert pictures[0] == pictures[1]


def test_a_thing_that_is_not_there_is_named(assistant: Assistant, two_dogs: list[Any], photo: Image) -> None:
    result = assistant.call("fill_in", image=photo, prompt="a lawn", what="an umbrella")
    assert result.failed and result.text == "No umbrella was found. Say it in other words, or give a mask."


def test_a_part_must_be_given_in_one_way(assistant: Assistant, photo: Image) -> None:
    mask = mask_of(photo.size, (0, 0, 9, 9))
    for arguments in ({}, {"mask": mask, "what": "dog"}):
        result = assistant.call("fill_in", image=photo, prompt="a grey cat", **arguments)
        assert result.failed and result.text == "Give either what to paint over or a mask, and not both."


def test_a_black_mask_and_one_of_another_shape_are_refused(assistant: Assistant, photo: Image) -> None:
    result = assistant.call("fill_in", image=photo, prompt="a grey cat", mask=Pictures.new("L", photo.size))
    assert result.failed and "The mask has no white part" in result.text
    result = assistant.call("fill_in", image=photo, prompt="a grey cat", mask=Pictures.new("L", (200, 300), 255))
    assert result.failed and "The mask has 200 x 300 pixels and the picture 300 x 200" in result.text
