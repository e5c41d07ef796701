"""The training of Stable Diffusion: prompts are true, the networks learn, and the plugins paint with them."""

import re
import threading
import time
from contextlib import nullcontext
from itertools import islice
from pathlib import Path

import numpy as np
import pytest
import torch
from diffusers import AutoencoderKL
from PIL import Image as Pictures
from safetensors.torch import load_file

from assistant.catalog import Entry
from assistant.residents import Weights, install
from assistant.settings import Settings
from assistant.sources import parse_source
from assistant.tools import Run
from assistant.vision import painting
from assistant.vision.painting import Painter
from tests.training.toy import learn
from training.drawing import SIDE
from training.paint import evaluate, latents, prompts, train
from training.paint.autoencoder import CHANNELS, CROP, NOISE, build, coding_loss, crops_of, latents_of, normalise
from training.paint.judge import colour_of, in_order, parts_of
from training.paint.latents import LEAST, PROMPTS, STYLES, TASTE, Captioned, captioned, scenes_from
from training.paint.model import LONGEST, PLACES, Taught
from training.pieces import Plan
from training.scenes import pixels_of
from training.sentences import TO_THE, labels, one_of, some
from training.words import world_words
from training.world import Scene, Thing, arrange, make_scene, shapes, table

NARROW, THIN = (8, 16, 16), (16, 32, 32)  # widths of toys: autoencoder and UNet


@pytest.fixture(scope="module")
def scenes() -> list[Scene]:
    return [make_scene(number, taste=TASTE) for number in range(300)]


@pytest.fixture(scope="module")
def coder() -> AutoencoderKL:
    torch.manual_seed(0)
    return build(NARROW).eval()


def where(text: str, label: str) -> int:
    """Return where a thing is named; "a car" is not named in "a carrot"."""
    return f"{text} ".index(f"{one_of(label)} ")


def fixed(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_prompts_name_everything_and_say_how_it_lies(scenes: list[Scene], monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(prompts, "ODD", 0)
    rng = np.random.default_rng(1)
    ways = {**TO_THE, **{f"short {side}": way for side, way in prompts.SHORTER.items()}}
    seen, texts = set(), []
    for scene in scenes:
        text = prompts.prompt(scene, rng)
        for label, count in labels(scene).items():
            assert some(label, count) in text or (len(scene.objects) == 1 and label.split()[-1] in text)
        said = [side.split()[-1] for side, way in ways.items() if f" {way} " in text and len(scene.objects) == 2]
        for side in set(said):
            first, second = sorted(scene.objects, key=lambda one: where(text, one.thing.label))
            axis = 0 if side in ("left", "right") else 1
            assert (first.middle[axis] < second.middle[axis]) == (side in ("left", "above")), text
        assert ("background" in text) == (f"on {one_of(scene.ground.colour)} background" in text)
        seen |= set(said)
        texts.append(text)
    assert seen == set(TO_THE)
    for pattern in (r"^paint a \w+", r"^\w+$", r"^a picture of ", r" next to ", r"^two \w+$", r" and "):
        assert any(re.search(pattern, text) for text in texts), pattern


def test_words_without_meaning_come_between_the_others():
    rng = np.random.default_rng(3)
    odd, text = [], "a red circle on a white background"
    for _ in range(200):
        words = prompts._disturbed(text, rng).split()
        kept = [word for word in words if word in world_words()]
        assert " ".join(kept) == text
        odd.append(len(words) - len(kept))
    assert set(odd) == {1, 2, prompts.MOST_ODD}


def test_prompts_are_seldom_cut_and_unknown_letters_do_no_harm(scenes: list[Scene]):
    taught, rng = Taught(THIN), np.random.default_rng(4)
    texts = [prompts.prompt(scene, rng) for scene in scenes]
    lengths = [len(taught.tokenizer(text, truncation=False).input_ids) for text in texts]
    assert np.mean(np.array(lengths) > LONGEST) < 0.01
    states = taught.read(["", "ein Füchslein 犬 🐶!", "dog " * 100])
    assert states.shape == (3, LONGEST, 128)
    assert states.isfinite().all()


def test_scenes_to_paint_after_are_calm_and_large():
    for scene in islice(scenes_from(0), 40):
        assert scene.ground.style in STYLES
        for left, top, right, bottom in (one.box for one in scene.objects):
            assert max(right - left, bottom - top) >= LEAST[len(scene.objects)]


def test_cut_outs_show_things(scenes: list[Scene]):
    crops = crops_of(scenes[:20], np.random.default_rng(5), 3)
    assert crops.shape == (60, 3, CROP, CROP)
    assert (crops.flatten(2).std(2).amax(1) > 0.1).float().mean() > 0.8


def test_normal_latents_decode_to_the_same_picture(scenes: list[Scene]):
    pixels = pixels_of(scenes[:8])
    torch.manual_seed(0)
    with torch.no_grad():
        own = build(NARROW).eval()
        before = own.encode(pixels).latent_dist
        assert torch.allclose(before.std, torch.full_like(before.std, NOISE))
        picture = own.decode(before.mean).sample
        normalise(own, scenes[:8])
        after = own.encode(pixels).latent_dist
        assert after.mean.shape == (8, CHANNELS, PLACES, PLACES)
        assert torch.allclose(own.decode(after.mean).sample, picture, atol=1e-4)
    assert torch.allclose(after.mean.mean((0, 2, 3)), torch.zeros(CHANNELS), atol=1e-4)
    assert torch.allclose(after.mean.std((0, 2, 3)), torch.ones(CHANNELS), atol=1e-4)
    spread = before.mean.std((0, 2, 3))
    assert torch.allclose(after.std[0, :, 0, 0], NOISE / spread, rtol=1e-3)


def test_an_autoencoder_learns_what_things_look_like(scenes: list[Scene]):
    torch.manual_seed(1)
    own, crops = build(NARROW), crops_of(scenes[:6], np.random.default_rng(0), 1)
    losses = learn(own, lambda: coding_loss(own, crops, fixed(0)), 120, 5e-3)
    assert losses[-1] < losses[0] / 4
    assert not own.quant_conv.weight[CHANNELS:].any(), "the noise stays as it is"
    with torch.no_grad():
        (first,) = own.decode(own.encode(crops[:1]).latent_dist.mean).sample
    assert (first - crops[0]).abs().mean() < (crops[0].mean((1, 2), keepdim=True) - crops[0]).abs().mean() / 2


def test_shards_come_again_and_an_interruption_loses_none(
    coder: AutoencoderKL, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(latents, "SHARDS", 2)
    monkeypatch.setattr(latents, "SHARD", 3)
    later = time.monotonic() + 600
    whole = captioned(coder, tmp_path / "whole", later)
    ticks = iter([0.0])
    with monkeypatch.context() as patched:
        patched.setattr("time.monotonic", lambda: next(ticks, 2.0))
        assert captioned(coder, tmp_path / "pieces", end=1.0) is None
    assert [path.name for path in (tmp_path / "pieces").iterdir()] == ["000.pt"]
    pieces = captioned(coder, tmp_path / "pieces", later)
    assert whole and pieces
    assert torch.equal(whole.latents, pieces.latents)
    assert whole.prompts == pieces.prompts
    assert whole.latents.shape == (6, CHANNELS, PLACES, PLACES)
    first, rng = next(scenes_from(0)), np.random.default_rng([latents.STREAM, 0])
    assert torch.allclose(whole.latents[0].float(), latents_of(coder, [first])[0], atol=2e-3)
    assert whole.prompts[0] == [prompts.prompt(first, rng) for _ in range(PROMPTS)]


def test_some_of_a_batch_have_no_words():
    pool = Captioned(torch.arange(10.0).half().reshape(10, 1, 1, 1), [[str(place)] * PROMPTS for place in range(10)])
    found, texts = pool.batch(np.random.default_rng(0), 500)
    assert all(text in ("", str(int(one))) for one, text in zip(found.flatten().tolist(), texts, strict=True))
    assert 0.06 < texts.count("") / 500 < 0.2


@pytest.fixture(scope="module")
def taught() -> tuple[Taught, torch.Tensor]:
    """Return a small UNet that knows two words, and the latents they stand for."""
    torch.manual_seed(2)
    model, known = Taught(THIN), torch.randn(2, CHANNELS, 1, 1, generator=fixed(7)).expand(-1, -1, 8, 8).clone()
    known[1] = -known[0]
    texts, step = ["a dog", "a cat"] * 4, iter(range(1000))
    losses = learn(model, lambda: model.loss(known.repeat(4, 1, 1, 1), texts, fixed(next(step))), 100)
    assert np.mean(losses[-10:]) < np.mean(losses[:10]) / 3
    return model.eval(), known


@pytest.fixture(scope="module")
def shipped(taught: tuple[Taught, torch.Tensor], tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("paint")
    train.ship(build(NARROW), taught[0], folder)
    return folder


@pytest.fixture
def brush(shipped: Path, settings: Settings) -> Painter:
    """Return what the plugins' own loader makes of the toy."""
    install(settings)
    source = parse_source(f"local:{shipped}", ())
    entry = Entry("paint", "embedded", "Toy", source, "float16", 10**7, "Apache-2.0")
    return painting.painter._load(Weights(entry, shipped), lambda fraction, note: None)


def test_words_decide_what_is_painted(brush: Painter, taught: tuple[Taught, torch.Tensor]):
    for place, text in enumerate(["a dog", "a cat"]):
        wanted, other = taught[1][place], taught[1][1 - place]
        options = {"num_inference_steps": 8, "guidance_scale": 1.0, "output_type": "latent", "height": 32, "width": 32}
        painted = brush.from_words(text, generator=fixed(3), **options).images[0]
        assert (painted - wanted).square().mean() < (painted - other).square().mean() / 4


def test_the_folder_has_halves_and_nothing_for_safety(shipped: Path):
    files = list(shipped.rglob("*.safetensors"))
    assert {file.parent.name for file in files} == {"unet", "vae", "text_encoder"}
    assert {value.dtype for file in files for value in load_file(file).values()} == {torch.float16}


def test_the_plugins_paint_with_it(brush: Painter, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(painting, "STEPS", 4)
    assert (brush.own_size, list(brush.sides)) == (SIDE, list(range(48, 193, 16)))
    shown: list[bytes] = []
    run = Run(0, threading.Event(), lambda fraction, note: None, shown.append)
    scene = arrange([shapes()[0]], np.random.default_rng(0), evaluate.STILL)
    picture, mask = Pictures.fromarray(scene.pixels), Pictures.new("L", (SIDE, SIDE))
    mask.paste(255, (20, 20, 60, 60))
    assert brush.nearest_size(picture.size) == (SIDE, SIDE)
    recipe = brush.recipe("a thing nobody knows", "", (None, None), None, None, (1,))
    (painted,) = brush.paint(recipe, run)
    (repainted,) = brush.paint(brush.recipe("a dog", "", (SIDE, SIDE), None, None, (1,), 0.6, picture), run, picture)
    (filled,) = brush.paint(recipe, run, picture, mask)
    assert {one.size for one in (painted, repainted, filled)} == {(SIDE, SIDE)}
    kept = np.asarray(mask) == 0
    assert (np.asarray(filled)[kept] == scene.pixels[kept]).all()
    assert shown


def test_colours_of_shapes_are_seen_on_every_background():
    rng, right = np.random.default_rng(6), []
    for shape in shapes():
        for _ in table()["grounds"]:
            scene = arrange([shape], rng, evaluate.STILL)
            right.append(colour_of(Pictures.fromarray(scene.pixels)) == shape.colour)
    assert np.mean(right) > 0.97
    assert colour_of(Pictures.new("RGB", (SIDE, SIDE), "white")) == ""


@pytest.mark.parametrize("axis", [0, 1])
def test_a_picture_is_cut_between_two_things(axis: int):
    picture = Pictures.new("RGB", (SIDE, SIDE), (210, 250, 210))
    first, second = ((5, 50, 30, 75), (41, 8, 90, 55)) if axis == 0 else ((50, 5, 75, 30), (8, 41, 55, 90))
    picture.paste("red", first)
    picture.paste("blue", second)
    assert [part.size for part in parts_of(picture, axis)] == [(SIDE, SIDE)] * 2
    sides = ("left", "right") if axis == 0 else ("above", "below")
    assert in_order(picture, "red", sides[0], "blue", colour_of)
    assert in_order(picture, "blue", sides[1], "red", colour_of)
    assert not in_order(picture, "blue", sides[0], "red", colour_of)


def test_pairs_are_cut_where_true_pictures_have_them():
    right, inks = [], [Thing("circle", "shape", ink) for ink in ("red", "blue")]
    for number in range(60):
        scene = arrange(inks, np.random.default_rng(number), evaluate.TWO)
        if side := evaluate.side_of(*scene.objects):
            right.append(in_order(Pictures.fromarray(scene.pixels), "red", side, "blue", colour_of))
    assert len(right) > 40
    assert np.mean(right) > 0.95


def test_all_that_was_promised_is_measured(brush: Painter, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(painting, "STEPS", 2)
    monkeypatch.setattr(evaluate, "painter", lambda: nullcontext(brush))
    monkeypatch.setattr(evaluate, "shapes", lambda: shapes()[:6])
    every = evaluate.things()
    monkeypatch.setattr(evaluate, "things", lambda: every[:3])
    for name in ("SENTENCES", "PAIRS", "EDITS", "CODED"):
        monkeypatch.setattr(evaluate, name, 2)
    lines = list(evaluate.figures(tmp_path / "sheet.png", lambda picture: "dog"))
    assert lines[0] == {"wish": "a thing", "recognised": 0.3333, "pictures": 6}
    assert lines[1]["recognised"] == 0.0
    assert lines[2]["recognised in that order"] == 0.0
    assert len({line["wish"] for line in lines[:-1]}) == 7
    assert lines[-2]["decibels"] > 0
    assert lines[-1].keys() == {"seconds for a picture"}
    with Pictures.open(tmp_path / "sheet.png") as sheet:
        assert sheet.size == (evaluate.COLUMNS * SIDE, evaluate.ROWS * SIDE)


def test_training_goes_from_stage_to_stage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    short = Plan(steps=25, rate=1e-3, averaged=0.9, halved=False)
    for name, value in {"CODING": short, "PLAN": short, "SCENES": 2, "WHOLE": 1, "MEASURED": 2, "BATCH": 2}.items():
        monkeypatch.setattr(train, name, value)
    monkeypatch.setattr(latents, "SHARDS", 2)
    monkeypatch.setattr(latents, "SHARD", 2)
    monkeypatch.setattr(train, "build", lambda: build(NARROW))
    monkeypatch.setattr(train, "Taught", lambda: Taught(THIN))
    monkeypatch.setattr(train, "SHIPPED", tmp_path / "models")
    assert train.train(tmp_path, 0) == 0
    assert not (tmp_path / "latents").exists()
    assert train.train(tmp_path, 10) == 0
    there = {path.relative_to(tmp_path / "models").as_posix() for path in (tmp_path / "models").rglob("*.*")}
    assert {"model_index.json", "loss.png", "vae/loss.png", "scheduler/scheduler_config.json"} <= there
