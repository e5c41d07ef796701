"""The training of SAM: prompts lie on their things, and a small model learns outlines and can be loaded by plugins."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image as Pictures

from tests.training.toy import learn, toy_eyes
from training.drawing import SIDE
from training.segment.evaluate import _overlap
from training.segment.model import JITTER, MASK, PROMPTS, build, loss, prompts_of
from training.segment.train import ship
from training.world import Scene, Taste, make_scene


@pytest.fixture(scope="module")
def scenes() -> list[Scene]:
    return [make_scene(number, taste=Taste(counts=(1, 1), overlap=0, wear=0)) for number in range(4)]


def test_points_lie_on_what_their_masks_show(scenes: list[Scene]):
    prompts = prompts_of(scenes, np.random.default_rng(0), boxed=False)
    assert prompts.boxes is None
    assert prompts.points.shape == (4, PROMPTS, 1, 2)
    assert prompts.masks.shape == (4, PROMPTS, MASK, MASK)
    for scene, points, masks in zip(scenes, prompts.points, prompts.masks, strict=True):
        for (x, y), mask in zip(points[:, 0].tolist(), masks, strict=True):
            place = scene.cover[int(y), int(x)]
            assert place > 0
            assert float(mask.mean()) == pytest.approx((scene.cover == place).mean(), abs=1e-5)


def test_boxes_are_nearly_around_their_things(scenes: list[Scene]):
    prompts = prompts_of(scenes, np.random.default_rng(0), boxed=True)
    assert prompts.points is None
    for scene, boxes in zip(scenes, prompts.boxes.tolist(), strict=True):
        for box in boxes:
            assert any(np.abs(np.array(box) - one.box).max() <= JITTER for one in scene.objects)


@pytest.mark.parametrize("ambiguous", [False, True])
def test_a_right_mask_costs_less(scenes: list[Scene], ambiguous: bool):
    torch.manual_seed(1)
    model = build(toy_eyes())
    prompts = prompts_of(scenes, np.random.default_rng(0), boxed=True)
    losses = learn(model, lambda: loss(model, scenes, prompts, ambiguous), 12)
    assert losses[-1] < losses[0]


def test_a_small_one_learns_and_the_plugins_load_it(tmp_path: Path):
    scenes = [make_scene(number, taste=Taste(counts=(1,), overlap=0, wear=0)) for number in range(4)]
    torch.manual_seed(1)
    model = build(toy_eyes())
    rng = np.random.default_rng(0)
    learn(model, lambda: loss(model, scenes, prompts_of(scenes, rng, boxed=True), ambiguous=False), 150)
    ship(model, tmp_path)

    from transformers import SamModel, SamProcessor

    processor, again = SamProcessor.from_pretrained(tmp_path), SamModel.from_pretrained(tmp_path, dtype=torch.float32)
    scene = scenes[0]
    boxes = [[list(map(float, one.box)) for one in scene.objects]]
    inputs = processor(images=Pictures.fromarray(scene.pixels), input_boxes=boxes, return_tensors="pt")
    with torch.inference_mode():
        out = again(**{**inputs, "input_boxes": inputs["input_boxes"].float()}, multimask_output=False)
    (masks,) = processor.post_process_masks(out.pred_masks, inputs["original_sizes"], inputs["reshaped_input_sizes"])
    assert masks.shape[-2:] == (SIDE, SIDE)
    for place, mask in enumerate(masks[:, 0].numpy(), 1):
        assert _overlap(mask, scene.cover == place) > 0.6
