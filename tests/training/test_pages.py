"""The page world: what a page says is known, what is asked has one answer, and what is held out stays out."""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Mapping
from itertools import pairwise

import numpy as np
import pytest

from training.pages.draw import draw
from training.pages.fonts import FAMILIES, FOLDER, PACKAGES, font
from training.pages.lexicon import keys, of_file, phrases
from training.pages.misread import misread
from training.pages.page import Page, Split
from training.pages.questions import ask
from training.pages.sheet import reading_order
from training.pages.world import make_page, sorts

DRAWN = 12
OVERHANG = 3  # pixels by which a J or an f may leave the space that is its own

FONTS = [any(FOLDER.rglob(f"{regular}.ttf")) for regular, _ in FAMILIES.values()]
pytestmark = pytest.mark.skipif(not all(FONTS), reason=f"pages need the fonts of {PACKAGES}")


@pytest.fixture(scope="module")
def pages() -> list[Page]:
    return [make_page(number, split) for split in ("train", "test", "unseen") for number in range(150)]


def arrangements(split: Split) -> set[tuple[str, str]]:
    return {(sort.kind, sort.name) for sort in sorts(split)}


def test_a_number_always_makes_the_same_page_and_the_same_picture() -> None:
    for split in ("train", "unseen"):
        assert make_page(7, split) == make_page(7, split) != make_page(8, split)
    assert make_page(7, "train") != make_page(7, "tune")
    page = make_page(7, "train")
    assert draw(page).tobytes() == draw(page).tobytes()
    assert ask(page, random.Random(1), 9) == ask(page, random.Random(1), 9)


def test_every_arrangement_comes_up(pages: list[Page]) -> None:
    for split in ("train", "unseen"):
        made = {(page.kind, page.arrangement) for page in pages if page.split == split}
        assert made == arrangements(split)


def test_held_out_arrangements_are_of_every_kind_and_one_kind_is_held_out_whole() -> None:
    trained, unseen = arrangements("train"), arrangements("unseen")
    assert trained == arrangements("tune") == arrangements("test")
    assert not trained & unseen
    kinds = {kind for kind, _ in trained}
    assert {kind for kind, _ in unseen} == kinds | {"delivery"}
    assert all(sum(kind == other for other, _ in trained) >= 3 for kind in kinds)


def test_words_lie_inside_the_page_and_not_on_one_another(pages: list[Page]) -> None:
    for page in pages:
        width, height = page.size
        for word in page.words:
            left, top, right, bottom = word.box
            assert 0 < left < right < width and 0 < top < bottom < height, (page.split, page.number, word)
        middles = [((w.box[0] + w.box[2]) / 2, (w.box[1] + w.box[3]) / 2) for w in page.words]
        for place, (x, y) in enumerate(middles):
            on = [w.text for w in page.words if w.box[0] < x < w.box[2] and w.box[1] < y < w.box[3]]
            assert on == [page.words[place].text], (page.split, page.number, on)


def test_words_stand_in_the_order_in_which_lines_are_read(pages: list[Page]) -> None:
    assert reading_order([(300, 12), (20, 18), (20, 40)]) == [1, 0, 2]
    for page in pages:
        if not page.angle:
            tops = [word.top for word in page.words]
            assert all(later > before - 10 for before, later in pairwise(tops))


def test_facts_say_what_their_page_says_and_stand_in_one_line(pages: list[Page]) -> None:
    for page in pages:
        for fact in page.facts:
            words = page.words[fact.first : fact.last + 1]
            assert page.say(fact) == " ".join(word.text for word in words) != ""
            assert len({word.run for word in words}) == 1
            named = {fact.about.get(name, "").split(" ")[0] for name in ("label", "row", "item")} - {""}
            text = " ".join(word.text for word in page.words)
            assert all(name in text for name in named), (page.split, page.number, page.arrangement, fact)


def test_words_have_their_ink_in_their_boxes() -> None:
    for number in range(DRAWN):
        page = make_page(number, "train" if number % 2 else "unseen")
        shades = np.asarray(draw(page).convert("L"), dtype=float)
        inked = np.zeros(shades.shape, dtype=bool)
        for word in page.words:
            left, top, right, bottom = word.box
            inside = shades[top:bottom, left:right]
            inked[top - OVERHANG : bottom + OVERHANG, left - OVERHANG : right + OVERHANG] = True
            assert inside.max() - inside.min() > 90, (page.number, word)
        if not page.rules:
            outside = shades[~inked]
            assert np.median(outside) - outside.min() < 70, page.number


def test_a_question_never_has_two_right_answers(pages: list[Page]) -> None:
    for page in pages:
        answers: Mapping[str, set[str | None]] = defaultdict(set)
        rng = random.Random(page.number)
        for held in (False, True):
            for question in ask(page, rng, 120, held):
                told = page.say(question.fact) if question.fact else None
                answers[question.text.lower().strip(" ?.!")].add(told)
        double = {text: told for text, told in answers.items() if len(told) > 1}
        assert not double, (page.split, page.number, page.kind, double)


def test_held_out_phrasings_are_never_asked_in_training(pages: list[Page]) -> None:
    for key in keys().values():
        assert not set(key.held) & {*key.ask, *key.alone}, key.name
    for name in ("label", "cell"):
        assert not set(phrases(name)[0]) & set(phrases(name)[1])
    plain = {way.lower().strip("?. ") for key in keys().values() for way in key.held if "{" not in way}
    trained = {way.lower().strip("?. ") for key in keys().values() for way in (*key.ask, *key.alone)}
    assert not plain & trained
    said = {
        question.text.lower().strip("?. ")
        for page in pages
        if page.split == "train"
        for question in ask(page, random.Random(page.number), 30)
    }
    assert said & trained
    assert not said & plain


def test_everything_is_asked_for_in_a_dozen_ways_of_which_some_are_held_out() -> None:
    for key in keys().values():
        shared = {"fields": len(phrases("label")[0]), "tables": len(phrases("cell")[0])}.get(key.file, 0)
        assert len({*key.ask, *key.alone}) + shared >= 12, key.name
        assert key.held or key.sort == "free", key.name
    assert {key.name for key in of_file("letters") if key.sentences} and all(
        f"{{{key.name}}}" in sentence for key in of_file("letters") for sentence in key.sentences
    )


def test_about_a_tenth_of_the_questions_have_no_answer(pages: list[Page]) -> None:
    asked = [question for page in pages for question in ask(page, random.Random(page.number), 20)]
    assert 0.07 < sum(question.fact is None for question in asked) / len(asked) < 0.15


def test_a_misread_page_has_its_answers_at_the_known_places(pages: list[Page]) -> None:
    exact = total = 0
    for page in pages:
        read = misread(page, random.Random(page.number))
        assert len(read.texts) == len(read.boxes) and len(read.spans) == len(page.words)
        for left, top, right, bottom in read.boxes:
            assert 0 <= left < right <= page.size[0] and 0 <= top < bottom <= page.size[1]
        letters = sorted("".join(word.text for word in page.words))
        assert abs(len(letters) - len("".join(read.texts))) == 0
        for fact in page.facts:
            spans = read.spans[fact.first : fact.last + 1]
            first, last = min(first for first, _ in spans), max(last for _, last in spans)
            told, wanted = "".join(read.texts[first : last + 1]), "".join(page.say(fact).split())
            assert len(told) >= len(wanted)  # words may be joined with others, none is lost
            exact += told == wanted
            total += 1
    assert 0.85 < exact / total < 0.995


def test_a_missing_font_names_the_packages(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(FAMILIES, "Nowhere", ("Nowhere-Regular", "Nowhere-Bold"))
    with pytest.raises(FileNotFoundError, match=f"apt-get install {PACKAGES}"):
        font("Nowhere", False, 12)
