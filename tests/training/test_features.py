"""The training of CLIP: sentences suit their pictures, a small model learns them, and the plugins can load it."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image as Pictures

from assistant.vision.features import PROMPT
from tests.training.toy import learn, toy_eyes
from training.features.evaluate import alike, share
from training.features.model import LONGEST, build, loss
from training.features.train import TASTE, ship, text_of
from training.sentences import caption
from training.words import BEGIN, END, PADDING, clip_tokenizer, world_words
from training.world import Taste, make_scene, names


def test_every_word_of_the_world_is_one_token():
    tokenizer = clip_tokenizer(16)
    assert [word for word in world_words() if len(tokenizer(word)["input_ids"]) != 3] == []
    assert set(names()) <= set(world_words())


def test_the_tokens_are_the_same_in_every_process():
    code = "from training.words import clip_tokenizer; print(sorted(clip_tokenizer(9).get_vocab().items()))"
    told = {
        subprocess.run(
            [sys.executable, "-c", code], env=os.environ | {"PYTHONHASHSEED": seed}, capture_output=True, check=True
        ).stdout
        for seed in ("1", "2")
    }
    assert len(told) == 1


def test_other_words_are_spelled():
    tokenizer = clip_tokenizer(32)
    ids = tokenizer("a zorble?")["input_ids"]
    assert tokenizer.decode(ids, skip_special_tokens=True).strip() == "a zorble ?"
    assert (ids[0], ids[-1]) == (tokenizer.convert_tokens_to_ids(BEGIN), tokenizer.convert_tokens_to_ids(END))
    assert ids[-1] == len(tokenizer) - 1  # where OWLv2 reads a sentence
    assert tokenizer.convert_tokens_to_ids(PADDING) == 0


def test_no_sentence_about_a_scene_is_cut():
    tokenizer = clip_tokenizer(LONGEST)
    rng = np.random.default_rng(0)
    five = Taste(counts=(0, 0, 0, 0, 1), repeats=0)
    texts = [caption(make_scene(number, taste=five), rng) for number in range(200)]
    assert max(len(ids) for ids in tokenizer(texts, truncation=False)["input_ids"]) <= LONGEST


def test_sentences_are_captions_or_what_plugins_ask_with():
    rng = np.random.default_rng(0)
    scenes = [make_scene(number, taste=TASTE) for number in range(300)]
    texts = [(scene, text_of(scene, rng)) for scene in scenes]
    asked = [(scene, text) for scene, text in texts if text.startswith(PROMPT.format(""))]
    assert len(asked) > 30
    assert all(len(scene.objects) == 1 and scene.objects[0].thing.name[:4] in text for scene, text in asked)
    assert any(" and " in text for _, text in texts)


def test_the_right_sentence_costs_less_and_twins_cost_nothing():
    torch.manual_seed(1)
    tokenizer, model = build(toy_eyes())
    scenes = [make_scene(0), make_scene(1)]
    with torch.inference_mode():
        assert loss(model, tokenizer, scenes, ["a dog", "a dog"]) == pytest.approx(float(np.log(2)), abs=1e-4)


def test_a_small_one_learns_and_the_plugins_load_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    torch.manual_seed(1)
    tokenizer, model = build(toy_eyes())
    alone = Taste(counts=(1,), shapes=0, wear=0)
    scenes = [make_scene(number, taste=alone) for number in range(6)]
    texts = [PROMPT.format(scene.objects[0].thing.label) for scene in scenes]
    assert learn(model, lambda: loss(model, tokenizer, scenes, texts), 60)[-1] < 0.3
    ship(tokenizer, model, tmp_path)

    from transformers import CLIPModel, CLIPProcessor

    processor, again = CLIPProcessor.from_pretrained(tmp_path), CLIPModel.from_pretrained(tmp_path, dtype=torch.float32)
    pictures = [Pictures.fromarray(scene.pixels) for scene in scenes]
    inputs = processor(text=texts, images=pictures, padding=True, return_tensors="pt")
    with torch.inference_mode():
        best = again(**inputs).logits_per_image.argmax(1).tolist()
    assert best == list(range(6))


def test_two_scenes_are_alike_where_no_sentence_tells_them_apart():
    scene, other = make_scene(0), make_scene(1)
    assert alike(scene, scene)
    assert not alike(scene, other)
    assert share([True, False, True, True]) == 0.75
