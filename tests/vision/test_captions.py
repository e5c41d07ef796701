"""Captions are those of the bare model, made into sentences of a bounded length, batch by batch."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from PIL import Image as Pictures
from PIL.Image import Image

from assistant import Assistant
from assistant.errors import Cancelled
from assistant.residents import residents
from assistant.vision.captions import BATCH, TOKENS_PER_WORD, captioner, describe, to_sentence
from tests.little_memory import run_out

PROFILES = {"cpu": "BlipForConditionalGeneration", "gpu": "Blip2ForConditionalGeneration"}


@pytest.fixture(params=PROFILES)
def profile(request: pytest.FixtureRequest, tiny: Callable[..., Assistant]) -> str:
    tiny(request.param, "caption")
    return str(request.param)


def pictures(count: int) -> list[Image]:
    pixels = np.random.default_rng(0).integers(0, 255, (count, 40, 60, 3), dtype=np.uint8)
    return [Pictures.fromarray(picture) for picture in pixels]


def bare(profile: str, images: list[Image], tokens: int) -> list[str]:
    """Return the words of the class that the checkpoint is known to be, as transformers alone makes them."""
    import transformers

    path = residents().catalog.fetch("caption", lambda fraction, note: None)
    processor = transformers.AutoProcessor.from_pretrained(path)
    model = getattr(transformers, PROFILES[profile]).from_pretrained(path).eval()
    pixels = processor(images=images, return_tensors="pt")["pixel_values"]
    rows = model.generate(pixel_values=pixels, do_sample=False, max_new_tokens=tokens)
    texts: list[str] = processor.tokenizer.batch_decode(rows, skip_special_tokens=True)
    return texts


def test_the_checkpoint_says_which_class_it_is(profile: str) -> None:
    with captioner() as (_, model):
        assert type(model).__name__ == PROFILES[profile]


def test_the_sentence_holds_the_first_words_of_the_bare_model(profile: str) -> None:
    images = pictures(3)
    expected = bare(profile, images, 12 * TOKENS_PER_WORD)
    assert len(set(expected)) > 1, "the checkpoint must see its pictures"
    sentences = describe(images, 12)
    for sentence, words in zip(sentences, expected, strict=True):
        assert sentence[:-1].lower().split() == words.split()[:12]


def test_batches_change_nothing_and_tell_progress(profile: str) -> None:
    images, told = pictures(BATCH + 1), []
    together = describe(images, 5, None, lambda fraction, note: told.append((fraction, note)))
    assert told[-2:] == [(BATCH / (BATCH + 1), "described 8 of 9"), (1.0, "described 9 of 9")]
    assert together == [sentence for image in images for sentence in describe([image], 5)]


def test_pictures_without_room_together_are_described_one_by_one(profile: str, monkeypatch: pytest.MonkeyPatch) -> None:
    images, tried = pictures(BATCH + 1), []
    expected = describe(images, 5)
    with captioner() as (_, model):
        kind = type(model)

    def is_too_much(model: Any, pixel_values: Any, **_: Any) -> bool:
        tried.append(len(pixel_values))
        return len(pixel_values) > 1

    run_out(monkeypatch, kind, "generate", is_too_much)
    assert describe(images, 5) == expected
    assert tried == [BATCH, *[1] * (BATCH + 1)]


def test_stop_during_a_batch_ends_it_within_a_token(profile: str, monkeypatch: pytest.MonkeyPatch) -> None:
    stop, steps = threading.Event(), []
    with captioner() as (_, model):
        decoder: Any = model.text_decoder if profile == "cpu" else model.language_model

    def count(*_: object) -> None:
        steps.append(1)
        if len(steps) == 3:
            stop.set()

    hook = decoder.register_forward_hook(count)
    try:
        with pytest.raises(Cancelled):
            describe(pictures(1), 40, stop)
    finally:
        hook.remove()
    assert len(steps) == 3


def test_stop_between_batches_leaves_the_rest(profile: str) -> None:
    stop, told = threading.Event(), []

    def progress(fraction: float | None, note: str) -> None:
        if fraction is not None:
            told.append(fraction)
            stop.set()

    with pytest.raises(Cancelled):
        describe(pictures(2 * BATCH), 5, stop, progress)
    assert told == [0.5]


def test_no_pictures_give_no_sentences(profile: str) -> None:
    assert describe([]) == []


@pytest.mark.parametrize(
    ("text", "most", "sentence"),
    [
        ("two cats sleeping on a couch", 40, "Two cats sleeping on a couch."),
        ("two cats sleeping on a couch", 5, "Two cats sleeping on a."),
        ("a dog .", 5, "A dog."),
        ("a red, round ball, on grass", 4, "A red, round ball."),
        ("a sign that says STOP!", 40, "A sign that says STOP."),
        ("", 5, ""),
        (" . ", 5, ""),
    ],
)
def test_a_sentence_has_a_capital_a_full_stop_and_no_more_words_than_asked(text: str, most: int, sentence: str) -> None:
    assert to_sentence(text, most) == sentence


class Letters:
    """A tokenizer of letters: every word takes as many tokens as it is long; 0 is the end."""

    def decode(self, row: Any, skip_special_tokens: bool) -> str:
        return "".join(chr(token) for token in row.tolist() if token)


def test_a_word_that_the_token_limit_cut_is_left_out() -> None:
    import torch

    from assistant.vision.captions import _caption

    cut, ended = (torch.tensor([ord(letter) for letter in "a dog and a ca"] + end) for end in ([], [0]))
    assert _caption(Letters(), cut, 40) == "A dog and a."
    assert _caption(Letters(), ended, 40) == "A dog and a ca."
