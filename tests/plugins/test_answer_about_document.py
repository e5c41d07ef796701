"""answer_about_document finds the right words, on the right page, and marks exactly those.

The tiny model (tests/tiny/docqa.py) takes for an answer what begins with "Rotterdam", or rather "Antwerp", and ends
with "March"; everything around it is the program's own.
"""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image, ImageDraw, ImageFont

from assistant import Assistant
from assistant.artifacts import Document
from assistant.errors import Cancelled
from assistant.library import draw_page
from assistant.tools import Run
from assistant.types import Artifact
from assistant.vision import reading
from assistant.vision.reading import Word, read_words
from plugins.answer_about_document import answer_about_document, answerer
from tests.conftest import LETTER
from tests.pdf import write_pdf

QUESTION = "When does the Rotterdam parcel leave in March?"
FILLER = "\n".join(["The quick brown fox jumps over the lazy dog and sleeps"] * 15)  # more than 512 tokens


@pytest.fixture
def maru(tiny: Callable[..., Assistant]) -> Assistant:
    return tiny("cpu", "docqa")


def pdf(path: Path) -> Document:
    return Document(path, path.name, "application/pdf", "0" * 64)


def around(words: Sequence[Word]) -> list[int]:
    boxes = [word.box for word in words]
    return [min(b[0] for b in boxes), min(b[1] for b in boxes), max(b[2] for b in boxes), max(b[3] for b in boxes)]


def likeliest(
    models: tuple[Any, Any, Any], pages: Sequence[tuple[Image.Image, Sequence[Word]]]
) -> tuple[float, int, str]:
    """Ask the bare model, all windows of a page padded in one batch, and try every span one by one."""
    from transformers import LayoutLMv3Processor

    tokenizer, images, model = models
    best = (0.0, 0, "")
    for number, (page, words) in enumerate(pages, 1):
        inputs = LayoutLMv3Processor(images, tokenizer)(
            page,
            QUESTION,
            [word.text for word in words],
            boxes=[
                [int(1000 * place / side) for place, side in zip(word.box, page.size * 2, strict=True)]
                for word in words
            ],
            **{"truncation": "only_second", "max_length": 512, "stride": 128, "padding": "max_length"},
            **{"return_overflowing_tokens": True, "return_tensors": "pt"},
        )
        pixels = torch.stack(list(inputs.pop("pixel_values")))
        inputs.pop("overflow_to_sample_mapping")
        with torch.no_grad():
            output = model(**inputs, pixel_values=pixels)
        for row in range(len(pixels)):
            length = int(inputs["attention_mask"][row].sum())
            starts = output.start_logits[row, :length].softmax(0).tolist()
            ends = output.end_logits[row, :length].softmax(0).tolist()
            places = [i for i in range(length) if inputs.sequence_ids(row)[i] == 1]
            of = inputs.word_ids(row)
            for start, end in itertools.combinations_with_replacement(places, 2):
                if of[end] - of[start] < 30 and (score := starts[start] * ends[end]) > best[0]:
                    best = (score, number, " ".join(word.text for word in words[of[start] : of[end] + 1]))
    return best


def test_the_answer_is_words_of_the_page_and_not_of_the_question(maru: Assistant, tmp_path: Path) -> None:
    path = write_pdf(tmp_path / "letter.pdf", ["\n".join(LETTER)])
    result = maru.call("answer_about_document", question=QUESTION, document=str(path))
    assert not result.failed, result.text
    assert result.text == "Rotterdam on Tuesday 3 March. (page 1)"
    assert (result.data["answer"], result.data["page"]) == ("Rotterdam on Tuesday 3 March.", 1)
    words = read_words(draw_page(pdf(path), 1))
    found = [word for word in words if word.text in ["Rotterdam", "on", "Tuesday", "3", "March."]]
    assert result.data["box"] == around(found)
    left, top, right, bottom = (place * 72 / 150 for place in result.data["box"])  # in points, as it was drawn
    assert 72 < left < right and top < 841.9 - (720 - 24) < bottom + 3
    assert result.receipt is not None
    assert [name.split("@")[0] for name in result.receipt.models] == ["PP-OCRv6 small", "LayoutLMv3 base MP-DocVQA"]


def test_the_crop_shows_the_line_with_exactly_its_words_marked(maru: Assistant, tmp_path: Path) -> None:
    path = write_pdf(tmp_path / "letter.pdf", ["\n".join(LETTER)])
    result = maru.call("answer_about_document", question=QUESTION, document=str(path))
    page = draw_page(pdf(path), 1)
    line = [word for word in read_words(page) if abs(word.box[1] - result.data["box"][1]) < 12]
    assert " ".join(word.text for word in line) == LETTER[1]
    found = line[4:]
    margin = max(word.box[3] - word.box[1] for word in found)
    left, top, right, bottom = around(line)
    with Image.open(maru.path(result.artifacts[0])) as crop:
        assert crop.size == (right - left + 2 * margin, bottom - top + 2 * margin)
        marks = Image.new("L", crop.size)
        for word in found:
            x, y, x_end, y_end = word.box
            marks.paste(102, (x - left + margin, y - top + margin, x_end - left + margin, y_end - top + margin))
        plain = page.crop((left - margin, top - margin, right + margin, bottom + margin))
        yellow = Image.new("RGB", crop.size, (255, 225, 0))
        assert crop.convert("RGB").tobytes() == Image.composite(yellow, plain, marks).tobytes()


def test_the_best_of_all_pages_and_windows_wins_with_its_probability(maru: Assistant, tmp_path: Path) -> None:
    pages = ["They left Rotterdam in March.", f"{FILLER}\nThen from Antwerp on 4 March they went home."]
    path = write_pdf(tmp_path / "two.pdf", pages)
    drawn = [draw_page(pdf(path), number) for number in (1, 2)]
    read = [(page, read_words(page)) for page in drawn]
    with answerer() as models:
        tokenizer = models[0]
        tokens = tokenizer([w.text for w in read[1][1]], boxes=[[0] * 4] * len(read[1][1]))["input_ids"]
        before = tokens.index(tokenizer.convert_tokens_to_ids("ĠAntwerp"))
        expected = likeliest(models, read)
    assert before > 512
    assert expected[1:] == (2, "Antwerp on 4 March")
    result = maru.call("answer_about_document", question=QUESTION, document=str(path))
    assert result.text == "Antwerp on 4 March (page 2)"
    assert result.data["score"] == pytest.approx(expected[0], abs=1e-4)
    words = read[1][1]
    at = [word.text for word in words].index("Antwerp")
    assert result.data["box"] == around(words[at : at + 4])
    first = maru.call("answer_about_document", question=QUESTION, document=str(path), page=1)
    assert first.text == "Rotterdam in March. (page 1)"
    assert first.data["score"] < result.data["score"]


def test_an_answer_never_ends_before_it_begins(maru: Assistant, tmp_path: Path) -> None:
    text = "Early in March the parcel went to Rotterdam by ship."
    path = write_pdf(tmp_path / "letter.pdf", [text])
    answer = maru.call("answer_about_document", question=QUESTION, document=str(path)).data["answer"]
    assert answer and answer in text
    assert "March" not in answer or "Rotterdam" not in answer


def test_an_answer_has_thirty_words_at_most(maru: Assistant, tmp_path: Path) -> None:
    between = [
        "red fox ran far and saw ten",
        "cats sit on the old wall in",
        "the sun for one day and then",
        "go home to eat some fish on",
    ]
    thirty = "\n".join(["Rotterdam", *between, "March"])
    path = write_pdf(tmp_path / "thirty.pdf", [thirty])
    result = maru.call("answer_about_document", question=QUESTION, document=str(path))
    assert result.data["answer"].split() == thirty.split() and len(thirty.split()) == 30
    path = write_pdf(tmp_path / "more.pdf", [thirty.replace("fish", "fish now")])
    result = maru.call("answer_about_document", question=QUESTION, document=str(path))
    assert len(result.data["answer"].split()) <= 30
    assert not {"Rotterdam", "March"} <= set(result.data["answer"].split())


def test_a_photo_of_a_page_is_one_page(maru: Assistant, letter: Path) -> None:
    for page in (None, 1):
        result = maru.call("answer_about_document", question=QUESTION, image=str(letter), page=page)
        assert result.text == "Rotterdam on Tuesday 3 March."
        assert result.data["page"] == 1
    result = maru.call("answer_about_document", question=QUESTION, image=str(letter), page=2)
    assert result.text == "A picture has only one page. Ask again without a page."


def test_a_tiny_crop_is_enlarged(maru: Assistant, tmp_path: Path) -> None:
    note = Image.new("RGB", (230, 50), "white")
    ImageDraw.Draw(note).text((10, 12), "Rotterdam in March", fill="black", font=ImageFont.load_default(20))
    note.save(tmp_path / "note.png")
    result = maru.call("answer_about_document", question=QUESTION, image=str(tmp_path / "note.png"))
    assert result.text == "Rotterdam in March"
    left, top, right, bottom = result.data["box"]
    margin = bottom - top
    width, height = min(230, right + margin) - max(0, left - margin), min(50, bottom + margin) - max(0, top - margin)
    with Image.open(maru.path(result.artifacts[0])) as crop:
        assert 200 <= width < 400
        assert crop.size == (2 * width, 2 * height)


def test_a_page_is_read_once_for_all_questions(
    maru: Assistant, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read = []
    true = reading._run
    monkeypatch.setattr(reading, "_run", lambda model, image: read.append(image.size) or true(model, image))
    path = write_pdf(tmp_path / "two.pdf", ["They left Rotterdam in May.", "They came back in March."])
    for question in ("When did they leave?", "When did they come back?"):
        assert not maru.call("answer_about_document", question=question, document=str(path)).failed
    assert len(read) == 2


def test_where_the_model_was_trained_to_doubt_a_poor_answer_is_doubted(
    maru: Assistant, letter: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = {"question": QUESTION, "image": str(letter)}
    score = maru.call("answer_about_document", **asked).data["score"]
    with answerer() as (_, _, model):
        config = model.config
    monkeypatch.setattr(config, "abstain_below", score - 0.01, raising=False)
    assert maru.call("answer_about_document", **asked).text == "Rotterdam on Tuesday 3 March."
    monkeypatch.setattr(config, "abstain_below", score + 0.01)
    doubted = maru.call("answer_about_document", **asked)
    assert doubted.text == "I am not sure. It may be: Rotterdam on Tuesday 3 March."
    assert doubted.data["answer"] == "Rotterdam on Tuesday 3 March."


def test_progress_tells_the_page_and_stop_ends_the_work_before_the_next(maru: Assistant, tmp_path: Path) -> None:
    path = write_pdf(tmp_path / "three.pdf", ["They left Rotterdam.", "", "They came back in March."])
    events = maru.start_call("answer_about_document", {"question": QUESTION, "document": str(path)}, threading.Event())
    told = [(round(event.fraction, 2), event.note) for event in events if event.fraction is not None]
    assert told == [
        (0.0, "reading page 1"),
        (0.17, "reading page 2"),
        (0.33, "reading page 3"),
        (0.5, "looking for the answer on page 1"),
        (0.75, "looking for the answer on page 3"),
    ]
    for last in ("reading page 2", "looking for the answer on page 1"):
        notes: list[str] = []
        stop = threading.Event()

        def report(fraction: float | None, note: str) -> None:
            notes.append(note)  # noqa: B023
            if note == last:  # noqa: B023
                stop.set()  # noqa: B023

        with pytest.raises(Cancelled):
            answer_about_document.function(QUESTION, pdf(path), run=Run(0, stop, report, lambda preview: None))
        assert notes[-1] == last


@pytest.mark.parametrize("given", [(), ("document", "image")])
def test_exactly_one_file_must_be_named(maru: Assistant, letter: Path, tmp_path: Path, given: Sequence[str]) -> None:
    path = write_pdf(tmp_path / "letter.pdf", LETTER)
    files = {"document": str(path), "image": str(letter)}
    result = maru.call("answer_about_document", question=QUESTION, **{name: files[name] for name in given})
    assert result.failed
    assert result.text == "Name one file to look at: either a document (a PDF) or an image (a photo of a page)."


def test_what_cannot_be_looked_at_is_a_sentence(maru: Assistant, tmp_path: Path) -> None:
    def ask(path: Path, question: str = QUESTION, **more: object) -> str:
        result = maru.call("answer_about_document", question=question, document=str(path), **more)
        assert result.failed
        return result.text

    (tmp_path / "notes.md").write_text("# Notes\n\nRotterdam in March.")
    assert ask(tmp_path / "notes.md") == (
        "'notes.md' is text without pages. Use search_library to find something in it."
    )
    book = write_pdf(tmp_path / "book.pdf", ["Rotterdam in March"] * 51)
    assert ask(book) == (
        "'book.pdf' has 51 pages; 50 are the most to be looked at for one question. "
        "Name the page to look at, or use search_library to find it."
    )
    assert not maru.call("answer_about_document", question=QUESTION, document=str(book), page=51).failed
    assert ask(book, page=52) == "'book.pdf' has no page 52; its last is 51. Name one of them."
    blank = write_pdf(tmp_path / "blank.pdf", ["", ""])
    assert ask(blank) == "No text was found in 'blank.pdf'. A sharper or larger copy may help."
    assert ask(book, "why " * 300, page=1) == "The question is too long. Ask it in one short sentence."
    locked = write_pdf(tmp_path / "locked.pdf", ["Rotterdam in March"], password="open sesame")
    assert "is protected by a password" in ask(locked)


def test_it_is_offered_only_where_there_is_something_to_look_at(maru: Assistant) -> None:
    paper = Artifact("document-1", "document", "application/pdf", "paper.pdf", "1" * 64, 1)
    assert answer_about_document.missing([])
    assert answer_about_document.parameters([paper])["required"] == ["question", "document"]
