"""The training of OWLv2: each thing belongs to the patches at its middle, and the figure counts as COCO does."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image as Pictures

from assistant.vision.detection import PROMPT, Found
from tests.training.toy import learn, toy_eyes
from training.detect.evaluate import _judged, labels, mean_precision
from training.detect.model import build, focal, loss, names_of, queries
from training.detect.train import ship
from training.drawing import SIDE
from training.scenes import GRID, PATCH, patches_of
from training.world import Taste, Thing, arrange, make_scene, shapes


def test_each_patch_goes_by_the_names_of_its_thing():
    scene = arrange([Thing("square", "shape", "red"), Thing("dog", "animal", "")], np.random.default_rng(5))
    seen = patches_of([scene])
    called = names_of(seen)[0]
    every = queries()
    for one in scene.objects:
        x, y = (int(way / PATCH) for way in one.middle)
        found = {every[place] for place in called[y * GRID + x].nonzero().flatten()}
        assert found == {one.thing.name, one.thing.label}
    assert not called[seen.thing[0] == 0].any()


def test_every_label_has_a_place_of_its_own():
    every = queries()
    for shape in shapes():
        scene = arrange([shape], np.random.default_rng(0), Taste(wear=0, angles=(0,)))
        called = names_of(patches_of([scene]))[0].amax(0).nonzero().flatten().tolist()
        assert {every[place] for place in called} == {shape.name, shape.label}


def test_the_focal_loss_forgets_what_is_known():
    sure, wrong = torch.tensor([[6.0, -6.0]]), torch.tensor([[-6.0, 6.0]])
    wanted = torch.tensor([[1.0, 0.0]])
    assert focal(sure, wanted) < 1e-6 < 1 < focal(wrong, wanted)


def test_an_untrained_model_says_no_nearly_everywhere():
    tokenizer, model = build(toy_eyes())
    tokens = tokenizer([PROMPT.format("dog")], return_tensors="pt")
    with torch.inference_mode():
        seen, _ = model.image_embedder(torch.zeros(1, 3, SIDE, SIDE))
        texts = model.owlv2.get_text_features(**tokens).pooler_output
        logits, _ = model.class_predictor(seen.flatten(1, 2), texts[None])
    assert float(logits.sigmoid().median()) < 0.2


def test_a_small_one_learns_and_the_plugins_load_it(tmp_path: Path):
    torch.manual_seed(1)
    tokenizer, model = build(toy_eyes())
    scenes = [make_scene(number, taste=Taste(counts=(1,), wear=0, overlap=0)) for number in range(4)]
    rng = np.random.default_rng(0)
    losses = learn(model, lambda: loss(model, tokenizer, scenes, rng), 160)
    assert losses[-1] < losses[0] / 3
    ship(tokenizer, model, tmp_path)

    from transformers import Owlv2ForObjectDetection, Owlv2Processor

    processor = Owlv2Processor.from_pretrained(tmp_path)
    again = Owlv2ForObjectDetection.from_pretrained(tmp_path, dtype=torch.float32)
    scene = scenes[0]
    label = scene.objects[0].thing.label
    inputs = processor(text=[[PROMPT.format(label)]], images=Pictures.fromarray(scene.pixels), return_tensors="pt")
    with torch.inference_mode():
        out = again(**inputs)
    (seen,) = processor.post_process_grounded_object_detection(out, 0.0, [(SIDE, SIDE)])
    best = seen["boxes"][int(seen["scores"].argmax())].tolist()
    assert best == pytest.approx(scene.objects[0].box, abs=12)


def test_a_thing_is_found_once_and_a_wrong_box_counts_against():
    scene = arrange([Thing("dog", "animal", "")], np.random.default_rng(1))
    box = tuple(float(edge) for edge in scene.objects[0].box)
    seen = [Found("cat", 0.9, box), Found("dog", 0.8, box), Found("dog", 0.7, box), Found("dog", 0.6, (0, 0, 2, 2))]
    assert [right for _, _, right in _judged(scene, seen)] == [False, True, False, False]


def test_the_mean_precision_is_the_area_under_the_curve():
    assert mean_precision({"dog": [(0.9, True), (0.8, True)]}, {"dog": 2}) == 1
    assert mean_precision({"dog": [(0.9, False), (0.8, True)]}, {"dog": 1}) == 0.5
    assert mean_precision({"dog": [(0.9, True)]}, {"dog": 2, "cat": 1}) == 0.25
    assert mean_precision({}, {"dog": 1}) == 0
    assert len(set(labels())) == len(labels())
