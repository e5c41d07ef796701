"""Batches point at their answers, training computes what the plugin will, and a small model learns a few pages."""

from __future__ import annotations

import random
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from transformers import LayoutLMv3ForQuestionAnswering, LayoutLMv3ImageProcessorPil, LayoutLMv3Tokenizer

from assistant.vision.reading import Word
from plugins.answer_about_document import _windows
from training.docqa.batches import IGNORED, LONGEST, PAGES, QUESTIONS, Batch, Batches, rough
from training.docqa.evaluate import normal
from training.docqa.model import SIZE, Learner, build_images, build_model, build_tokenizer, ship
from training.pages.draw import draw
from training.pages.fonts import FAMILIES, FOLDER, PACKAGES
from training.pages.misread import Reading, misread
from training.pages.questions import ask
from training.pages.world import make_page

NUMBERS = range(0, 24)

FONTS = [any(FOLDER.rglob(f"{regular}.ttf")) for regular, _ in FAMILIES.values()]
pytestmark = pytest.mark.skipif(not all(FONTS), reason=f"pages need the fonts of {PACKAGES}")


@pytest.fixture(scope="module")
def tokenizer() -> LayoutLMv3Tokenizer:
    return build_tokenizer()


@pytest.fixture(scope="module")
def batches(tokenizer: LayoutLMv3Tokenizer) -> Batches:
    return Batches(tokenizer, SIZE)


@pytest.fixture
def learner(tokenizer: LayoutLMv3Tokenizer) -> Learner:
    return Learner(build_model(tokenizer, width=96, layers=3))


def few(batches: Batches) -> Batch:
    """Return questions about one short page."""
    page = next(page for number in NUMBERS if len((page := make_page(number, "train")).words) < 50)
    return batches.of_pages([(page, ask(page, random.Random(0), 12))], random.Random(0))


def test_the_pieces_of_a_word_are_the_same_in_capitals(tokenizer: LayoutLMv3Tokenizer) -> None:
    for word in ("invoice", "total", "strawberry", "kettle", "zyqqaw"):
        forms = [tokenizer.tokenize(form) for form in (word, word.capitalize(), word.upper())]
        assert [piece.lower() for piece in forms[0]] == [piece.lower() for piece in forms[1]]
        assert [piece.lower() for piece in forms[0]] == [piece.lower() for piece in forms[2]]
    assert tokenizer.decode(tokenizer(["€", "1.204,50", "Żółć"], boxes=[[0] * 4] * 3)["input_ids"][1:-1]) == (
        " € 1.204,50 Żółć"
    )


def test_equal_words_begin_with_equal_embeddings(tokenizer: LayoutLMv3Tokenizer) -> None:
    words = build_model(tokenizer, width=96, layers=3).layoutlmv3.embeddings.word_embeddings.weight
    small, large = tokenizer.convert_tokens_to_ids(["Ġtotal", "ĠTOTAL"])
    assert small != large and torch.equal(words[small], words[large])


def test_batches_have_shapes_and_point_at_the_first_and_last_token_of_the_answer(
    batches: Batches, tokenizer: LayoutLMv3Tokenizer
) -> None:
    page = make_page(3, "train")
    questions = ask(page, random.Random(0), 40)
    batch = batches.of_pages([(page, questions)], random.Random(0))
    rows, length = batch.ids.shape
    assert rows == len(questions) and length <= LONGEST
    assert batch.mask.shape == batch.roles.shape == (rows, length) and batch.boxes.shape == (rows, length, 4)
    assert batch.pixels.shape == (rows, 3, SIZE, SIZE) and batch.boxes.min() >= 0 and batch.boxes.max() <= 1000
    same = 0
    for row, question in enumerate(questions):
        start, end = int(batch.starts[row]), int(batch.ends[row])
        if question.fact is None:
            assert start == end == 0 == tokenizer.cls_token_id
            continue
        told = normal(tokenizer.decode(batch.ids[row, start : end + 1]))
        same += told == normal(page.say(question.fact))
        assert (batch.roles[row, start : end + 1] > 0).any()
        assert batch.roles[row, 0] == IGNORED
    assert same / sum(question.fact is not None for question in questions) > 0.8  # the rest was misread


def test_a_step_has_the_same_batch_every_time_and_no_two_steps_have(tokenizer: LayoutLMv3Tokenizer) -> None:
    first, again = (Batches(tokenizer, SIZE).batch(11) for _ in range(2))
    assert torch.equal(first.ids, again.ids) and torch.equal(first.pixels, again.pixels)
    other = Batches(tokenizer, SIZE).batch(12)
    assert first.ids.shape != other.ids.shape or not torch.equal(first.ids, other.ids)
    assert PAGES * QUESTIONS * 0.8 < len(first.ids) <= PAGES * QUESTIONS


def test_pages_are_encoded_as_the_plugin_encodes_them(batches: Batches, tokenizer: LayoutLMv3Tokenizer) -> None:
    page = make_page(5, "train")
    questions = ask(page, random.Random(0), 2)
    batch = batches.of_pages([(page, questions)], random.Random(4))
    rng = random.Random(4)
    read: list[Reading] = []
    for _ in range(2):
        read.append(misread(page, rng))
        rough(page.size, read[-1], SIZE, rng)
    config = build_model(tokenizer, width=96, layers=1).config
    for row, question in enumerate(questions):
        words = [Word(text, box, 1.0) for text, box in zip(read[row].texts, read[row].boxes, strict=True)]
        windows = _windows(tokenizer, question.text, words, page.size, config)
        length = int(batch.mask[row].sum())
        assert windows["input_ids"] == [batch.ids[row, :length].tolist()]
        assert windows["bbox"] == [batch.boxes[row, :length].tolist()]


def test_the_rough_picture_looks_like_the_true_one() -> None:
    images = build_images()
    alike = []
    for number in NUMBERS:
        page = make_page(number, "train")
        read = Reading([word.text for word in page.words], [word.box for word in page.words], [])
        true = images(draw(page), return_tensors="np")["pixel_values"][0].mean(0)
        drawn = rough(page.size, read, SIZE, random.Random(1))
        alike.append(np.corrcoef(true.ravel(), drawn.ravel())[0, 1])
        assert abs(true.mean() - drawn.mean()) < 0.3
    assert np.median(alike) > 0.6


def test_training_computes_what_the_shipped_class_does(
    learner: Learner, batches: Batches, tokenizer: LayoutLMv3Tokenizer, tmp_path: Path
) -> None:
    batch = few(batches)
    with torch.no_grad():
        learner.model.layoutlmv3.encoder.rel_pos_x_bias.weight += 1.0
        starts, ends, _ = learner.eval().look(batch)
    ship(learner.model, tokenizer, tmp_path)
    plain = LayoutLMv3ForQuestionAnswering.from_pretrained(tmp_path, dtype=torch.float32)
    with torch.no_grad():
        told = plain(batch.ids, bbox=batch.boxes, attention_mask=batch.mask, pixel_values=batch.pixels)
    inside = batch.mask.bool()
    for mine, theirs in ((starts, told.start_logits), (ends, told.end_logits)):
        assert torch.allclose(mine[inside], theirs[:, : batch.ids.shape[1]][inside], atol=5e-3)
    again = LayoutLMv3Tokenizer.from_pretrained(tmp_path)
    assert again.get_vocab() == tokenizer.get_vocab()
    picture = Image.new("RGB", (300, 200), "white")
    images = LayoutLMv3ImageProcessorPil.from_pretrained(tmp_path, apply_ocr=False)
    assert images(picture, return_tensors="pt")["pixel_values"].shape == (1, 3, SIZE, SIZE)


def test_position_biases_learn(learner: Learner, batches: Batches) -> None:
    learner.loss(few(batches)).backward()
    encoder = learner.model.layoutlmv3.encoder
    for table in (encoder.rel_pos_bias, encoder.rel_pos_x_bias, encoder.rel_pos_y_bias):
        assert table.weight.grad is not None and table.weight.grad.abs().max() > 0


def test_a_small_model_learns_the_answers_of_a_page(learner: Learner, batches: Batches) -> None:
    batch = few(batches)
    optimizer = torch.optim.AdamW(learner.parameters(), lr=2e-3)
    for _ in range(60):
        loss = learner.loss(batch)
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(learner.parameters(), 1.0)
        optimizer.step()
    with torch.no_grad():
        starts, ends, _ = learner.look(batch)
    assert torch.equal(starts.argmax(1), batch.starts) and torch.equal(ends.argmax(1), batch.ends)


def test_answers_are_compared_without_case_spaces_and_outer_punctuation() -> None:
    assert normal("  Rotterdam, ") == normal("rotterdam")
    assert normal("+49 712-486 8636") == normal("+49712-4868636")
    assert normal("$12.00") != normal("$12.01")
