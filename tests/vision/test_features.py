"""CLIP's vectors are those of the bare model, batch or not, and zero-shot gives CLIP's own probabilities."""

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
from assistant.vision.features import BATCH, embed_images, embed_texts, features, middle, zero_shot
from tests.little_memory import run_out


@pytest.fixture(autouse=True)
def clip(tiny: Callable[..., Assistant]) -> Assistant:
    return tiny("cpu", "features")


def noise(seed: int, width: int = 40, height: int = 60) -> Image:
    pixels = np.random.default_rng(seed).integers(0, 255, (height, width, 3), dtype=np.uint8)
    return Pictures.fromarray(pixels)


def bare() -> tuple[Any, Any]:
    """Return processor and model as transformers alone loads them."""
    from transformers import CLIPModel, CLIPProcessor

    path = residents().catalog.fetch("features", lambda fraction, note: None)
    return CLIPProcessor.from_pretrained(path), CLIPModel.from_pretrained(path).eval()


def test_pictures_become_the_unit_vectors_of_the_bare_model() -> None:
    import torch

    images = [noise(seed) for seed in range(3)]
    processor, model = bare()
    with torch.no_grad():
        expected = model.get_image_features(**processor(images=images, return_tensors="pt")).pooler_output.numpy()
    vectors = embed_images(images)
    assert vectors.dtype == np.float32 and vectors.shape == (3, 24)
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)
    np.testing.assert_allclose(vectors, expected / np.linalg.norm(expected, axis=1, keepdims=True), atol=1e-5)


def test_sentences_become_the_unit_vectors_of_the_bare_model_whatever_their_lengths() -> None:
    import torch

    processor, model = bare()
    texts = ["a cat", "a photo of a dog in the sun"]
    for text, vector in zip(texts, embed_texts(texts), strict=True):
        with torch.no_grad():
            expected = model.get_text_features(**processor(text=[text], return_tensors="pt")).pooler_output[0].numpy()
        np.testing.assert_allclose(vector, expected / np.linalg.norm(expected), atol=1e-5)


def test_a_text_longer_than_the_model_reads_is_cut() -> None:
    assert embed_texts(["word " * 200]).shape == (1, 24)


def test_nothing_becomes_no_vectors() -> None:
    assert embed_images([]).shape == embed_texts([]).shape == (0, 24)


def test_batches_change_nothing_and_tell_progress() -> None:
    images = [noise(seed) for seed in range(BATCH + 2)]
    told: list[float | None] = []
    together = embed_images(images, None, lambda fraction, note: told.append(fraction))
    assert told[-2:] == [BATCH / (BATCH + 2), 1.0]
    alone = np.concatenate([embed_images([image]) for image in images])
    np.testing.assert_allclose(together, alone, atol=1e-5)


def test_pictures_without_room_together_are_looked_at_one_by_one(monkeypatch: pytest.MonkeyPatch) -> None:
    from transformers import CLIPModel

    images, told = [noise(seed) for seed in range(BATCH + 2)], []
    expected = embed_images(images)
    run_out(monkeypatch, CLIPModel, "get_image_features", lambda model, pixels: len(pixels) > 1)
    vectors = embed_images(images, None, lambda fraction, note: told.append(fraction))
    np.testing.assert_allclose(vectors, expected, atol=1e-5)
    assert told[-len(images) :] == [(place + 1) / len(images) for place in range(len(images))]


def test_stop_ends_the_work_after_the_batch_at_hand() -> None:
    stop, told = threading.Event(), []

    def progress(fraction: float | None, note: str) -> None:
        if fraction is not None:
            told.append(fraction)
            stop.set()

    with pytest.raises(Cancelled):
        embed_texts(["cat"] * (3 * BATCH), stop, progress)
    assert told == [pytest.approx(1 / 3)]


def test_zero_shot_gives_the_probabilities_of_the_bare_model() -> None:
    import torch

    labels, image = ["cat", "a red dog", "house"], noise(7)
    processor, model = bare()
    prompts = [f"a photo of a {label}" for label in labels]
    inputs = processor(text=prompts, images=image, padding=True, return_tensors="pt")
    with torch.no_grad():
        expected = model(**inputs).logits_per_image.softmax(1)[0].tolist()
    found = zero_shot(image, labels)
    assert found == pytest.approx(expected, abs=1e-5)
    assert sum(found) == pytest.approx(1, abs=1e-5)
    assert max(expected) - min(expected) > 0.01, "the checkpoint must tell the labels apart"


@pytest.mark.parametrize(("size", "kept"), [((40, 90), (40, 80)), ((90, 40), (80, 40)), ((30, 60), (30, 60))])
def test_the_middle_of_a_long_picture_is_kept(size: tuple[int, int], kept: tuple[int, int]) -> None:
    image = noise(1, *size)
    cut = middle(image)
    assert cut.size == kept
    left, top = (size[0] - kept[0]) // 2, (size[1] - kept[1]) // 2
    assert np.array_equal(np.asarray(cut), np.asarray(image)[top : top + kept[1], left : left + kept[0]])


def test_cutting_a_strip_changes_nothing_that_the_model_sees() -> None:
    processor, _ = bare()
    strip = noise(2, 64, 512)
    whole, cut = (
        processor.image_processor(image, return_tensors="np")["pixel_values"] for image in (strip, middle(strip))
    )
    np.testing.assert_allclose(whole, cut, atol=1e-5)


def test_a_long_picture_reaches_the_processor_without_its_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    with features() as (processor, _):
        prepare, seen = processor.image_processor, []

    def spy(images: list[Image], **options: Any) -> Any:
        seen.extend(image.size for image in images)
        return prepare(images, **options)

    monkeypatch.setattr(processor, "image_processor", spy)
    embed_images([noise(1, 1, 4000), noise(2, 300, 20), noise(3, 30, 20)])
    assert seen == [(1, 2), (40, 20), (30, 20)]
