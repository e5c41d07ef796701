"""The training of BLIP-2: captions are read back as they were meant, and a small model learns to say them."""

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from assistant.catalog import Entry
from assistant.sources import parse_source
from assistant.vision import captions
from assistant.vision.captions import TOKENS_PER_WORD, captioner, to_sentence
from assistant.weights import Weights
from tests.training.toy import learn, toy_eyes
from training.caption.evaluate import Heard, figures, heard, is_so, judged
from training.caption.model import END, IGNORED, MOST_WORDS, QUERIES, UNKNOWN, Taught, build, rows, tokenizer
from training.caption.train import ship, text_of
from training.scenes import pixels_of
from training.sentences import caption, labels
from training.world import Scene, Taste, Thing, arrange, make_scene

DOG, CAT = Thing("dog", "animal", ""), Thing("cat", "animal", "yellow")
FEW = [make_scene(number, taste=Taste(counts=(1,), wear=0)) for number in range(4)]


@pytest.fixture(scope="module")
def told() -> list[tuple[Scene, str]]:
    rng = np.random.default_rng(1)
    return [(scene, caption(scene, rng)) for scene in (make_scene(number) for number in range(150)) for _ in range(2)]


def test_captions_are_decoded_as_they_were_written(told: list[tuple[Scene, str]]):
    words = tokenizer()
    for _, text in told:
        ids = words(text)["input_ids"]
        assert words.unk_token_id not in ids
        assert words.decode(ids, skip_special_tokens=True) == text
    assert words.decode(words("a zorble")["input_ids"]) == f"a {UNKNOWN}"


def test_only_the_words_of_a_caption_are_learnt():
    processor, model = build(toy_eyes())
    texts = ["a dog, a cat and a bee", "two dogs"]
    ids, mask, labels = rows(processor, texts)
    assert (ids[:, :QUERIES] == model.config.image_token_index).all()
    assert (ids[:, QUERIES] == model.config.text_config.bos_token_id).all()
    assert mask.sum(1).tolist() == [QUERIES + 1 + 8 + 1, QUERIES + 1 + 2 + 1]
    for row, text in zip(labels, texts, strict=True):
        assert processor.tokenizer.decode(row[row != IGNORED]) == f"{text} {END}"


def test_untrained_query_tokens_differ():
    _, model = build(toy_eyes())
    tokens = model.query_tokens[0]
    assert len(tokens) == QUERIES
    assert torch.pdist(tokens).min() > 1
    assert model.language_model.get_output_embeddings().weight is model.get_input_embeddings().weight


def test_the_longest_caption_has_room():
    _, model = build(toy_eyes())
    longest = TOKENS_PER_WORD * MOST_WORDS + 1
    made = model.eval().generate(pixels_of(FEW[:1]), do_sample=False, max_new_tokens=longest, min_new_tokens=longest)
    assert made.shape[1] >= longest


def test_a_caption_is_heard_as_it_was_meant(told: list[tuple[Scene, str]]):
    for scene, text in told:
        found = heard(to_sentence(text, 40))
        assert found.counts == labels(scene)
        assert found.ground in ("", scene.ground.colour)
        assert not found.side or is_so(scene, found)
    assert sum(bool(heard(text).ground) for _, text in told) > 50
    assert any(heard(text).side for _, text in told)


def test_what_is_not_there_is_heard_too():
    assert heard("There are two dogs and a zorble.") == Heard({"dog": 2, "a zorble": 1}, "", "")
    assert heard("A dog above a cat on a red background.") == Heard({"dog": 1, "cat": 1}, "red", "above")
    assert heard("") == Heard({}, "", "")


def test_captions_are_judged_by_what_they_name():
    scene = arrange([DOG, DOG, CAT], np.random.default_rng(2))
    texts = ["Two dogs and a cat.", "A dog and a cat.", "Two dogs.", "Two dogs, a cat and a bee."]
    found = judged([scene] * 4, [f"{text[:-1]} on a {scene.ground.colour} background." for text in texts])
    assert found["all things named"] == found["no thing invented"] == 0.75
    assert found["counts right where the things are"] == 0.5
    assert found["background named"] == found["background right where named"] == 1
    assert found["side told"] == 0


def test_a_wrong_side_is_noticed():
    scenes = (arrange([DOG, CAT], np.random.default_rng(number)) for number in range(99))
    scene = next(one for one in scenes if one.objects[0].box[2] <= one.objects[1].box[0])
    assert is_so(scene, heard("A dog to the left of a cat."))
    assert not is_so(scene, heard("A dog to the right of a cat."))


def test_most_captions_to_learn_tell_the_background():
    rng = np.random.default_rng(0)
    texts = [text_of(scene, rng) for scene in FEW for _ in range(50)]
    assert 0.52 < np.mean(["background" in text for text in texts]) < 0.8


def test_a_small_one_learns_and_the_plugins_load_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    torch.manual_seed(1)
    taught = Taught(toy_eyes())
    texts = [text_of(scene, np.random.default_rng(number)) for number, scene in enumerate(FEW)]
    assert learn(taught, lambda: taught.loss(FEW, texts), 90)[-1] < 0.6
    ship(taught.processor, taught.model, tmp_path)
    entry = Entry("caption", "embedded", "toy", parse_source(f"local:{tmp_path}"), "float16", 1, "")
    loaded = captioner._load(Weights(entry, tmp_path), lambda fraction, note: None)

    @contextlib.contextmanager
    def lease(stop: Any, progress: Any) -> Iterator[tuple[Any, Any]]:
        yield loaded

    monkeypatch.setattr(captions, "captioner", lease)
    from PIL import Image as Pictures

    said = captions.describe([Pictures.fromarray(scene.pixels) for scene in FEW])
    assert said == [to_sentence(text, 40) for text in texts]
    found = figures(scenes=3)
    assert found["captions"] == 3
    assert {f"{name}, drawings of another style" for name in judged(FEW, said)} < set(found)
