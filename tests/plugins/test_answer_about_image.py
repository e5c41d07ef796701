"""answer_about_image gives the bare model's answers with their probabilities and abstains where the checkpoint says."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from assistant import Assistant
from assistant.residents import residents
from plugins.answer_about_image import BEST, GREY, _padded, answerer
from tests.tiny.vqa import build

QUESTION = "what color is the dog ?"


@pytest.fixture
def assistant(tiny: Callable[..., Assistant]) -> Assistant:
    return tiny("cpu", "vqa")


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    pixels = np.random.default_rng(5).integers(0, 255, (40, 60, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(tmp_path / "photo.png")
    return tmp_path / "photo.png"


@pytest.fixture
def abstain(assistant: Assistant) -> Iterator[Callable[[float], None]]:
    """Write a threshold into the configuration of the loaded checkpoint, as training does into its file."""
    with answerer() as (_, model):
        config = model.config
    yield lambda threshold: setattr(config, "abstain_below", threshold)
    vars(config).pop("abstain_below", None)


def bare(photo: Path, question: str) -> list[tuple[str, float]]:
    """Return answers and probabilities, best first, as transformers alone makes them."""
    from transformers import ViltForQuestionAnswering, ViltProcessor

    path = residents().catalog.fetch("vqa", lambda fraction, note: None)
    processor, model = ViltProcessor.from_pretrained(path), ViltForQuestionAnswering.from_pretrained(path).eval()
    with Image.open(photo) as image:
        logits = model(**processor(image.convert("RGB"), question, return_tensors="pt")).logits[0]
    scores = logits.sigmoid().tolist()
    return sorted(((model.config.id2label[i], p) for i, p in enumerate(scores)), key=lambda pair: -pair[1])


def test_the_answers_are_those_of_the_bare_model(assistant: Assistant, photo: Path) -> None:
    expected = bare(photo, QUESTION)[:BEST]
    result = assistant.call("answer_about_image", image=str(photo), question=QUESTION)
    assert not result.failed, result.text
    assert [label for label, _ in result.data["scores"]] == [label for label, _ in expected]
    assert [p for _, p in result.data["scores"]] == pytest.approx([p for _, p in expected], abs=1e-3)
    assert len(expected) == BEST
    best = expected[0][0]
    assert result.data["answer"] == best
    assert result.text == f"{best[0].upper()}{best[1:]}."


def test_each_answer_has_a_probability_of_its_own(assistant: Assistant, photo: Path) -> None:
    result = assistant.call("answer_about_image", image=str(photo), question=QUESTION)
    assert sum(p for _, p in result.data["scores"]) > 1.1, "a softmax would make this at most 1"


def test_question_and_picture_both_matter(assistant: Assistant, photo: Path, picture: Path) -> None:
    def ask(path: Path, question: str) -> Any:
        return assistant.call("answer_about_image", image=str(path), question=question).data["scores"]

    assert ask(photo, QUESTION) != ask(photo, "how many cats")
    assert ask(photo, QUESTION) != ask(picture, QUESTION)


def test_below_the_threshold_of_the_checkpoint_it_only_guesses(
    abstain: Callable[[float], None], assistant: Assistant, photo: Path
) -> None:
    best, probability = bare(photo, QUESTION)[0]
    abstain(probability + 0.01)
    unsure = assistant.call("answer_about_image", image=str(photo), question=QUESTION)
    assert not unsure.failed
    assert unsure.text == f"I am not sure; my best guess is {best}."
    assert unsure.data["answer"] == best
    abstain(probability - 0.01)
    sure = assistant.call("answer_about_image", image=str(photo), question=QUESTION)
    assert sure.text == f"{best[0].upper()}{best[1:]}."


def test_the_threshold_survives_saving_and_loading_a_checkpoint(tmp_path: Path) -> None:
    from transformers import ViltForQuestionAnswering

    build(tmp_path, abstain_below=0.37)
    assert ViltForQuestionAnswering.from_pretrained(tmp_path).config.abstain_below == 0.37


def test_an_empty_question_is_refused(assistant: Assistant, photo: Path) -> None:
    for question in ("", "   "):
        result = assistant.call("answer_about_image", image=str(photo), question=question)
        assert result.failed and "'question'" in result.text


def test_a_question_longer_than_the_model_reads_is_refused(assistant: Assistant, photo: Path) -> None:
    result = assistant.call("answer_about_image", image=str(photo), question="how many dogs " * 6)
    assert result.failed
    assert result.text == "The question is too long: it may have about 8 words. Ask it shorter."


def test_the_receipt_names_the_model(assistant: Assistant, photo: Path) -> None:
    receipt = assistant.call("answer_about_image", image=str(photo), question=QUESTION).receipt
    assert receipt is not None and receipt.models[0].startswith("ViLT-B/32 VQA@")


@pytest.mark.parametrize(("size", "padded"), [((100, 1), (100, 13)), ((1, 80), (10, 80)), ((80, 10), (80, 10))])
def test_a_strip_is_put_on_a_grey_ground(size: tuple[int, int], padded: tuple[int, int]) -> None:
    ground = _padded(Image.new("RGB", size, "red"), 8)
    assert ground.size == padded
    assert max(ground.size) <= 8 * min(ground.size)
    reds = sum(pixel == (255, 0, 0) for pixel in ground.get_flattened_data())
    assert reds == size[0] * size[1]
    assert padded == size or ground.getpixel((0, 0)) == GREY
