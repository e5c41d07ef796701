"""A picture depends on its recipe alone, whoever paints beside it; what painting takes is loaded and fetched once."""

from __future__ import annotations

import io
import math
import random
import threading
from collections.abc import Callable
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from PIL import Image as Pictures
from PIL.Image import Image

from assistant import Assistant
from assistant.catalog import Catalog
from assistant.errors import Cancelled, ToolError
from assistant.residents import residents
from assistant.tools import Run
from assistant.vision import painting
from assistant.vision.painting import Painter, painter
from assistant.vision.previews import LATENT_COLOURS, Previews
from assistant.vision.recipes import Recipe
from tests.tiny.paint import UNWANTED


@pytest.fixture(params=["gpu", "cpu"])
def assistant(request: pytest.FixtureRequest, tiny: Callable[..., Assistant]) -> Assistant:
    return tiny(request.param, "paint", "preview")


def recipe_for(brush: Painter, *seeds: int, size: tuple[int | None, int | None] = (None, None)) -> Recipe:
    return brush.recipe("a red fox", "", size, None, None, seeds)


def run_with(
    report: Callable[[float | None, str], None] = lambda fraction, note: None,
    stop: threading.Event | None = None,
    shown: list[bytes] | None = None,
) -> Run:
    return Run(0, stop or threading.Event(), report, [].append if shown is None else shown.append)


def bare(brush: Painter, seed: int) -> Image:
    """Paint with diffusers alone what a recipe without wishes stands for."""
    import diffusers
    import torch

    path = residents().catalog.fetch("paint", lambda fraction, note: None)
    left_out = {"safety_checker": None, "feature_extractor": None, "requires_safety_checker": False}
    pipeline = diffusers.StableDiffusionPipeline.from_pretrained(path, variant=brush.entry.variant, **left_out)
    steps, guidance = (4, 0.0) if brush.entry.name == "SD-Turbo" else (30, 7.5)
    generator = torch.Generator("cpu").manual_seed(seed)
    painted = pipeline("a red fox", num_inference_steps=steps, guidance_scale=guidance, generator=generator)
    picture: Image = painted.images[0]
    return picture


def test_a_picture_is_that_of_diffusers_whatever_is_painted_before_it_and_beside_it(assistant: Assistant) -> None:
    with painter() as brush:
        pictures = brush.paint(recipe_for(brush, 5, 6, 7), run_with())
        brush.paint(recipe_for(brush, 9, size=(96, 48)), run_with())
        (again,) = brush.paint(recipe_for(brush, 6), run_with())
        assert len({picture.tobytes() for picture in pictures}) == 3
        assert pictures[1].tobytes() == again.tobytes() == bare(brush, 6).tobytes()
        assert (pictures[1].info, again.size) == (again.info, (64, 64))


def test_three_pipelines_share_their_networks_but_no_scheduler(assistant: Assistant) -> None:
    with painter() as brush:
        pipelines = brush.from_words, brush.from_picture, brush.inside_mask
        kinds = [type(pipeline).__name__ for pipeline in pipelines]
        assert kinds == ["StableDiffusionPipeline", "StableDiffusionImg2ImgPipeline", "StableDiffusionInpaintPipeline"]
        for part in ("unet", "vae", "text_encoder", "tokenizer"):
            assert len({id(getattr(pipeline, part)) for pipeline in pipelines}) == 1, part
        before = brush.from_words.scheduler
        brush.paint(recipe_for(brush, 1), run_with())
        assert brush.from_words.scheduler is not before
        assert brush.from_words.safety_checker is None


def test_only_the_files_that_are_used_are_fetched(assistant: Assistant) -> None:
    folder = residents().catalog.fetch("paint", lambda fraction, note: None)
    profile = residents().catalog.choose("paint").entry.profile
    there = {file.relative_to(folder).as_posix() for file in folder.rglob("*") if file.suffix == ".safetensors"}
    assert len(there) == 3 and not there & set(UNWANTED[profile])


def test_stop_ends_the_work_within_one_step_and_the_next_call_is_served(assistant: Assistant) -> None:
    stop, calls = threading.Event(), []

    def stop_at_two(fraction: float | None, note: str) -> None:
        if note.startswith("step 2 of"):
            stop.set()

    with painter() as brush:
        (expected,) = brush.paint(recipe_for(brush, 3), run_with())
        hook = brush.from_words.unet.register_forward_hook(lambda *parts: calls.append(parts))
        try:
            with pytest.raises(Cancelled):
                brush.paint(recipe_for(brush, 3), run_with(stop_at_two, stop))
        finally:
            hook.remove()
        assert len(calls) in (2, 3)
        (picture,) = brush.paint(recipe_for(brush, 3), run_with())
        assert picture.tobytes() == expected.tobytes()


def test_progress_rises_to_one_and_names_picture_and_step(assistant: Assistant) -> None:
    told: list[tuple[float | None, str]] = []
    with painter() as brush:
        brush.paint(recipe_for(brush, 1, 2), run_with(lambda fraction, note: told.append((fraction, note))))
        steps = brush.from_words.num_timesteps
    assert [note for _, note in told] == [
        f"picture {place} of 2, step {step} of {steps}" for place in (1, 2) for step in range(1, steps + 1)
    ]
    assert [fraction for fraction, _ in told] == pytest.approx([(n + 1) / steps / 2 for n in range(2 * steps)])


@pytest.mark.parametrize("decoded", [True, False])
def test_previews_are_pictures_of_the_size_of_the_result(assistant: Assistant, decoded: bool) -> None:
    shown: list[bytes] = []
    with painter() as brush:
        assert type(brush.preview).__name__ == "AutoencoderTiny"
        brush = brush if decoded else replace(brush, preview=None)
        brush.paint(recipe_for(brush, 1, size=(96, 64)), run_with(shown=shown))
    assert 2 <= len(shown) <= 6
    for jpeg in shown:
        with Pictures.open(io.BytesIO(jpeg)) as picture:
            assert (picture.format, picture.size) == ("JPEG", (96, 64))


def test_without_the_decoder_of_previews_painting_goes_on(
    tiny: Callable[..., Assistant], monkeypatch: pytest.MonkeyPatch
) -> None:
    tiny("cpu", "paint")
    residents().unload_idle()
    monkeypatch.setattr(Catalog, "obstacle", lambda catalog, role: "it is not here" if role == "preview" else None)
    shown: list[bytes] = []
    with painter() as brush:
        assert brush.preview is None
        brush.paint(recipe_for(brush, 1), run_with(shown=shown))
    residents().unload_idle()
    assert shown


def test_a_preview_shows_what_the_sampler_takes_the_picture_for(
    tiny: Callable[..., Assistant], monkeypatch: pytest.MonkeyPatch
) -> None:
    from diffusers import EulerDiscreteScheduler

    expected, followed = [], []
    step, follow = EulerDiscreteScheduler.step, Previews.follow

    def watched_step(scheduler: Any, *given: Any, **named: Any) -> Any:
        out = step(scheduler, *given, **named | {"return_dict": True})
        expected.append(out.pred_original_sample)
        return (out.prev_sample,)

    def watched_follow(previews: Previews, *given: Any) -> Any:
        followed.append(follow(previews, *given))
        return followed[-1]

    monkeypatch.setattr(EulerDiscreteScheduler, "step", watched_step)
    monkeypatch.setattr(Previews, "follow", watched_follow)
    tiny("cpu", "paint", "preview")
    with painter() as brush:
        brush.paint(recipe_for(brush, 4), run_with())
    assert [clean is None for clean in followed] == [True, False, False, True]
    for clean, predicted in list(zip(followed, expected, strict=True))[1:3]:
        assert np.allclose(clean.numpy(), predicted.numpy(), atol=1e-3 * float(predicted.abs().max()))


@pytest.mark.parametrize("kind", ["DDIMScheduler", "PNDMScheduler"])
def test_latents_on_a_straight_line_are_followed_to_its_end(kind: str) -> None:
    import diffusers
    import torch

    scheduler = getattr(diffusers, kind)(
        beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear", steps_offset=1
    )
    if kind == "PNDMScheduler":
        scheduler.register_to_config(skip_prk_steps=True)
    scheduler.set_timesteps(10)
    pipeline = SimpleNamespace(scheduler=scheduler, num_timesteps=len(scheduler.timesteps), vae_scale_factor=8)
    clean, noise = torch.zeros(1, 4, 2, 3), torch.randn(1, 4, 2, 3, generator=torch.Generator().manual_seed(0))
    clean[:, 0], clean[:, 3] = 1.0, -0.5
    seen = []
    previews = Previews(None)
    for place, level in enumerate(scheduler.timesteps[1:]):
        seen.append(previews.look(pipeline, place, scheduler.add_noise(clean, noise, level[None])))
    assert previews.look(pipeline, len(scheduler.timesteps) - 1, clean) is None, "the picture itself comes now"
    colour = [round((first / 2 - last / 4 + 0.5) * 255) for first, last in zip(*LATENT_COLOURS[::3], strict=True)]
    shown = [picture for picture in seen if picture]
    assert shown
    for picture in shown:
        assert picture.size == (24, 16)
        assert all(
            abs(low - want) <= 1 and low == high for (low, high), want in zip(picture.getextrema(), colour, strict=True)
        )


@pytest.fixture
def full_size(monkeypatch: pytest.MonkeyPatch) -> Painter:
    """Nothing but the measures of Stable Diffusion 1.5."""
    unet = SimpleNamespace(config=SimpleNamespace(sample_size=64), num_upsamplers=3)
    entry: Any = SimpleNamespace(name="Stable Diffusion 1.5")
    return Painter(entry, SimpleNamespace(unet=unet, vae_scale_factor=8), None, None, None)


def test_sides_go_from_half_to_twice_the_own_size_in_steps_of_the_network(
    full_size: Painter, assistant: Assistant
) -> None:
    assert (full_size.own_size, list(full_size.sides)) == (512, [*range(256, 1025, 64)])
    with painter() as brush:
        assert (brush.own_size, list(brush.sides)) == (64, [*range(32, 129, 16)])


@pytest.mark.parametrize(
    ("size", "nearest"),
    [
        ((512, 512), (512, 512)),
        ((768, 320), (768, 320)),
        ((1920, 1080), (1024, 576)),
        ((300, 200), (384, 256)),
        ((3024, 4032), (768, 1024)),
        ((20, 20), (256, 256)),
        ((4400, 1000), (1024, 256)),
    ],
)
def test_the_nearest_size_keeps_the_shape(full_size: Painter, size: tuple[int, int], nearest: tuple[int, int]) -> None:
    assert full_size.nearest_size(size) == nearest


def test_no_shape_is_bent_by_more_than_some_per_cent(full_size: Painter) -> None:
    dice = random.Random(0)
    for _ in range(300):
        width = dice.randint(100, 4000)
        size = width, round(width * 2 ** dice.uniform(-1.5, 1.5))
        width, height = full_size.nearest_size(size)
        assert abs(math.log(width / height * size[1] / size[0])) < 0.07, size


def test_a_shape_beyond_the_model_is_refused(full_size: Painter) -> None:
    with pytest.raises(ToolError, match=r"5000 x 1000 .* longer side is at most 4 times the shorter"):
        full_size.nearest_size((5000, 1000))


def test_large_pictures_are_decoded_in_tiles(assistant: Assistant, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(painting, "TILED_ABOVE", 96)
    with painter() as brush:
        tiled = []
        for side in (96, 112, 96):
            (picture,) = brush.paint(recipe_for(brush, 1, size=(side, 64)), run_with())
            assert picture.size == (side, 64)
            tiled.append(brush.from_words.vae.use_tiling)
    assert tiled == [False, True, False]


def test_two_callers_at_once_each_get_their_own_picture(assistant: Assistant) -> None:
    wanted = {seed: assistant.call("paint_image", prompt="a red fox", seed=seed).receipt for seed in (11, 12)}
    got: dict[int, Any] = {}

    def paint(seed: int) -> None:
        got[seed] = assistant.call("paint_image", prompt="a red fox", seed=seed).receipt

    threads = [threading.Thread(target=paint, args=(seed,)) for seed in wanted]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert {seed: receipt.digests for seed, receipt in got.items()} == {
        seed: receipt.digests for seed, receipt in wanted.items() if receipt
    }
    assert got[11].digests != got[12].digests
