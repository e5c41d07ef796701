"""paint_image paints as many pictures as asked, and what it says of them is enough to paint them again."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable

import pytest
from PIL import Image as Pictures

from assistant import Assistant
from assistant.types import CallProgress, ToolResult


def painted(assistant: Assistant, **arguments: object) -> ToolResult:
    result = assistant.call("paint_image", **{"prompt": "a red fox"} | arguments)
    assert not result.failed, result.text
    return result


def digests(result: ToolResult) -> tuple[str, ...]:
    assert result.receipt is not None
    return result.receipt.digests


def test_the_same_seed_gives_the_same_bytes_and_another_seed_others(assistant: Assistant) -> None:
    first, other = painted(assistant, seed=1), painted(assistant, seed=2)
    assert digests(painted(assistant, seed=1)) == digests(first) != digests(other)
    assert digests(painted(assistant)) == digests(painted(assistant, seed=assistant.settings.seed))


def test_words_change_the_picture(assistant: Assistant) -> None:
    assert digests(painted(assistant, seed=1)) != digests(painted(assistant, seed=1, prompt="a blue boat"))


def test_every_picture_of_several_has_a_seed_of_its_own(assistant: Assistant) -> None:
    result = painted(assistant, seed=5, count=3)
    assert result.data["pictures"] == [artifact.id for artifact in result.artifacts]
    assert result.data["recipe"]["seeds"] == [5, 6, 7]
    assert digests(result) == tuple(digests(painted(assistant, seed=seed))[0] for seed in (5, 6, 7))
    assert result.text.startswith("Painted 3 pictures of 64 x 64 pixels with ") and "seeds 5, 6, 7" in result.text


@pytest.mark.parametrize("count", [0, 5])
def test_other_counts_are_refused(assistant: Assistant, count: int) -> None:
    result = assistant.call("paint_image", prompt="a red fox", count=count)
    assert result.failed and f"'count' is {count}" in result.text


def test_the_recipe_names_the_defaults_of_the_model(tiny: Callable[..., Assistant]) -> None:
    full = painted(tiny("gpu", "paint", "preview"))
    assert (
        full.text == "Painted a picture of 64 x 64 pixels with Stable Diffusion 1.5 (30 steps, guidance 7.5, seed 0)."
    )
    assert full.data["recipe"]["revision"] == "451f4fe16113bff5a5d2269ed5ad43b0592e9a14"
    assert full.data["recipe"]["scheduler"] == "PNDMScheduler"
    turbo = painted(tiny("cpu", "paint", "preview"))
    assert turbo.text == "Painted a picture of 64 x 64 pixels with SD-Turbo (4 steps, seed 0)."
    assert (turbo.data["recipe"]["guidance"], turbo.data["recipe"]["scheduler"]) == (0.0, "EulerDiscreteScheduler")


@pytest.mark.parametrize("wish", [{"steps": 5}, {"guidance": 2.0}])
def test_a_distilled_model_refuses_many_steps_and_guidance(
    tiny: Callable[..., Assistant], wish: dict[str, float]
) -> None:
    result = tiny("cpu", "paint", "preview").call("paint_image", prompt="a red fox", **wish)
    assert result.failed and "SD-Turbo paints in 1 to 4 steps and without guidance" in result.text


def test_the_stored_file_says_how_it_was_made_and_that_is_enough_to_make_it_again(
    tiny: Callable[..., Assistant],
) -> None:
    assistant = tiny("gpu", "paint", "preview")
    wishes = {"negative_prompt": "a fence", "width": 96, "height": 48, "steps": 7, "guidance": 3.5, "count": 2}
    result = painted(assistant, prompt="ein Füchslein", seed=3, **wishes)
    with Pictures.open(assistant.path(result.artifacts[1])) as file:
        facts, parameters = json.loads(file.info["maru"]), file.info["parameters"]
        assert file.size == (96, 48)
    assert parameters == (
        "ein Füchslein\nNegative prompt: a fence\nSteps: 7, Sampler: PNDMScheduler, CFG scale: 3.5, Seed: 4, "
        "Size: 96x48, Model: Stable Diffusion 1.5"
    )
    recipe = result.data["recipe"]
    assert facts == {key: recipe[key] for key in recipe if key not in ("seeds", "strength", "source")} | {"seed": 4}
    arguments = {key: facts[key] for key in facts if key not in ("model", "revision", "scheduler")}
    assert digests(assistant.call("paint_image", **arguments)) == digests(result)[1:]


@pytest.mark.parametrize("size", [{"width": 50}, {"height": 144}, {"width": 64, "height": -64}])
def test_a_size_it_cannot_paint_is_answered_with_those_it_can(assistant: Assistant, size: dict[str, int]) -> None:
    result = assistant.call("paint_image", prompt="a red fox", **size)
    assert result.failed and result.text.endswith("Width and height can be: 32, 48, 64, 80, 96, 112, 128.")


def test_words_without_effect_are_named(assistant: Assistant) -> None:
    prompt = " ".join(["fox"] * 25) + " nine geese"  # the tiny model reads 75 letters
    result = painted(assistant, prompt=prompt, negative_prompt="a fence")
    assert "The prompt was too long; this part had no effect: 'nine geese'." in result.text
    turbo = "SD-Turbo" in result.text
    assert ("The negative prompt had no effect" in result.text) == turbo


def test_previews_and_progress_come_on_the_way_and_stop_ends_it(assistant: Assistant) -> None:
    stop = threading.Event()
    calls = assistant.start_call("paint_image", {"prompt": "a red fox", "seed": 1}, stop)
    seen: list[CallProgress] = []
    with pytest.raises(StopIteration) as end:
        while True:
            seen.append(next(calls))
            if seen[-1].preview:
                stop.set()
    assert end.value.value.failed and end.value.value.text == "Stopped."
    assert any(event.note.startswith("step 1 of") for event in seen)
    assert seen[-1].preview is not None and seen[-1].preview.startswith(b"\xff\xd8")
    assert digests(painted(assistant, seed=1)) == digests(painted(assistant, seed=1))
