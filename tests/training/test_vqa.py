"""The training of ViLT: questions are typed in many ways, and a small model learns answers and serves the plugin."""

import contextlib
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image as Pictures

import training.vqa.evaluate as measures
from assistant.catalog import Entry
from assistant.sources import parse_source
from assistant.weights import Weights
from plugins.answer_about_image import _ask, answerer
from tests.training.toy import learn, toy_eyes
from training.drawing import SIDE
from training.scenes import patches_of, pixels_of
from training.sentences import Asked, answers, ask
from training.vqa.evaluate import Told, about_strangers, by_kind, calibrate, figures, parting, posed, widened
from training.vqa.model import ANSWER, IGNORED, SPOKEN, Taught, answer_loss, build, marks_of
from training.vqa.questions import (
    LONGEST,
    OTHERS,
    STRANGE,
    TASTE,
    UNKNOWN,
    _nouns,
    estranged,
    spoken_of,
    tokenizer,
    typed,
    words_of,
)
from training.vqa.train import processor_with, ship
from training.world import Scene, Thing, arrange, make_scene, names

DOG, CAT = Thing("dog", "animal", ""), Thing("cat", "animal", "yellow")
RED, BLUE = (Thing("circle", "shape", colour) for colour in ("red", "blue"))
Pairs = list[tuple[Scene, Asked]]


@pytest.fixture(scope="module")
def asked() -> Pairs:
    rng = np.random.default_rng(1)
    scenes = [make_scene(number, taste=TASTE) for number in range(100)]
    return [(scene, ask(scene, rng)) for scene in scenes for _ in range(8)]


def scene_of(*things: Thing) -> Scene:
    return arrange(list(things), np.random.default_rng(3))


def test_every_word_of_a_question_is_known_and_none_is_too_long(asked: Pairs):
    words = tokenizer()
    rows = [words(one.question)["input_ids"] for _, one in asked]
    assert not any(words.unk_token_id in row for row in rows)
    assert max(map(len, rows)) <= LONGEST - 8
    assert words.convert_ids_to_tokens(words(f"is there a {UNKNOWN} zorble?")["input_ids"])[4:6] == [UNKNOWN, UNKNOWN]


def test_questions_are_typed_in_many_ways_and_still_name_their_things(asked: Pairs):
    rng = np.random.default_rng(2)
    written = [(one, typed(one, rng)) for _, one in asked]
    assert 0.2 < np.mean([put.question == one.question for one, put in written]) < 0.6
    assert 0 < np.mean([not put.answer for _, put in written]) < 3 * STRANGE
    for one, put in written:
        things = [word for word in words_of(one.question) if word in _nouns()]
        if put.answer:
            assert all(set(words_of(put.question)) & {thing, *OTHERS.get(thing, ())} for thing in things)
        else:
            assert UNKNOWN in put.question
        assert len(tokenizer()(put.question)["input_ids"]) <= LONGEST


def test_about_a_stranger_there_is_no_answer():
    rng = np.random.default_rng(0)
    found = estranged(Asked("where", "where is the dog?", "left"), "zorble", rng)
    assert found == Asked("where", "where is the zorble ?", "")
    assert estranged(Asked("how many", "how many loaves of bread?", "1"), "zorble", rng).question.endswith("zorble ?")
    assert estranged(Asked("what", "what is this?", "dog"), "zorble", rng) is None


@pytest.mark.parametrize(
    ("kind", "question", "spoken"),
    [
        ("is there", "is there a red circle?", {RED}),
        ("how many", "how many circles are there?", {RED, BLUE}),
        ("how many", "how many animals?", {DOG}),
        ("how many", "count the things", {RED, BLUE, DOG}),
        ("what", "what thing is this?", set()),
        ("compare", "is the dog above the blue circle?", {DOG, BLUE}),
    ],
)
def test_it_is_known_what_a_question_speaks_of(kind: str, question: str, spoken: set[Thing]):
    assert spoken_of(scene_of(RED, BLUE, DOG), Asked(kind, question, "")) == spoken


def test_patches_are_marked_as_spoken_of_or_as_the_answer():
    scene = scene_of(RED, BLUE, DOG)
    seen = patches_of([scene])
    one = Asked("beside", "what is left of the red circle?", "dog")
    marks = marks_of([scene], [one], [one], seen)[0]
    assert ((marks == ANSWER) == (seen.thing[0] == 1 + names().index("dog"))).all()
    assert ((marks == SPOKEN) == (seen.colour[0] == 0)).all()
    assert set(marks.tolist()) == {0, SPOKEN, ANSWER}
    strange = replace(one, answer="")
    assert (marks_of([scene], [one], [strange], seen) == IGNORED).all()
    two = replace(one, answer="circle")  # which of them?
    assert (marks_of([scene], [two], [two], seen) == IGNORED).all()


def test_the_right_answer_costs_less_and_a_stranger_wants_none():
    logits = torch.full((1, len(answers())), -4.0)
    logits[0, answers().index("yes")] = 4.0
    losses = [float(answer_loss(logits, [Asked("", "", answer)])) for answer in ("yes", "no")]
    assert losses[0] < losses[1] / 2
    both = [Asked("", "", "yes"), Asked("", "", "")]
    high, low = logits.repeat(2, 1), torch.cat([logits, torch.full_like(logits, -4.0)])
    assert answer_loss(low, both) < answer_loss(high, both)


def test_it_looks_as_the_model_itself_does():
    torch.manual_seed(1)
    taught = Taught(toy_eyes()).eval()
    scenes, questions = [make_scene(0), make_scene(1)], ["what is this?", "is there a dog in the picture?"]
    tokens = taught.words(questions, padding=True, return_tensors="pt")
    with torch.inference_mode():
        logits, states = taught.look(pixels_of(scenes), questions)
        own = taught.model(**tokens, pixel_values=pixels_of(scenes)).logits
    assert torch.allclose(logits, own, atol=1e-4)
    assert states.shape == (2, patches_of(scenes).thing.shape[1], 64)


def test_an_untrained_model_is_sure_of_nothing():
    words, model = build(toy_eyes())
    scores = _ask(processor_with(words), model.eval(), Pictures.new("RGB", (SIDE, SIDE)), "what is this?")
    assert len(scores) == len(answers())
    assert float(scores.max()) < 0.1


@pytest.fixture(scope="module")
def learnt() -> tuple[Taught, Pairs]:
    """Learn one question about each of some scenes by heart."""
    torch.manual_seed(1)
    taught = Taught(toy_eyes())
    rng = np.random.default_rng(0)
    pairs = [(scene, ask(scene, rng)) for scene in (make_scene(number, taste=TASTE) for number in range(5))]
    scenes, questions = [scene for scene, _ in pairs], [one for _, one in pairs]
    losses = learn(taught, lambda: taught.loss(scenes, questions, questions), 100)
    assert losses[-1] < losses[0] / 4
    return taught, pairs


@pytest.fixture(scope="module")
def shipped(learnt: tuple[Taught, Pairs], tmp_path_factory: pytest.TempPathFactory) -> tuple[Any, Any]:
    """Load what was shipped as the plugin does: (processor, model)."""
    folder: Path = tmp_path_factory.mktemp("vqa")
    taught = learnt[0].eval()
    taught.model.config.abstain_below = 0.37
    ship(processor_with(taught.words), taught.model, folder)
    entry = Entry("vqa", "embedded", "toy", parse_source(f"local:{folder}"), "float16", 1, "")
    return answerer._load(Weights(entry, folder), lambda fraction, note: None)


def test_a_small_one_learns_and_the_plugin_loads_it(learnt: tuple[Taught, Pairs], shipped: tuple[Any, Any]):
    processor, model = shipped
    assert model.config.abstain_below == 0.37
    for scene, one in learnt[1]:
        scores = _ask(processor, model, Pictures.fromarray(scene.pixels), one.question)
        assert model.config.id2label[int(scores.argmax())] == one.answer


@pytest.mark.parametrize("size", [(96, 96), (150, 100), (40, 300), (500, 2)])
def test_pictures_of_any_shape_and_unknown_words_are_no_trouble(shipped: tuple[Any, Any], size: tuple[int, int]):
    processor, model = shipped
    scores = _ask(processor, model, Pictures.new("RGB", size, "red"), "Würde the zorble's 3 quuxes, eh?!")
    assert torch.isfinite(scores).all()


def test_the_figures_come_from_the_plugin(shipped: tuple[Any, Any], monkeypatch: pytest.MonkeyPatch):
    @contextlib.contextmanager
    def lease() -> Iterator[tuple[Any, Any]]:
        yield shipped

    monkeypatch.setattr(measures, "answerer", lease)
    found = figures(questions=8)
    assert sum(kind["questions"] for kind in found["kinds"].values()) == found["questions"] == 8
    assert all(0 <= value <= 1 for name, value in found.items() if name.startswith(("accuracy", "relations")))


def test_a_score_is_found_below_which_answers_are_guesses(
    learnt: tuple[Taught, Pairs], shipped: tuple[Any, Any], monkeypatch: pytest.MonkeyPatch
):
    pairs = [(Pictures.fromarray(scene.pixels), one) for scene, one in learnt[1]]
    wrong = [(picture, replace(one, answer="5")) for picture, one in pairs[:2]]
    monkeypatch.setattr(measures, "posed", lambda count, stream: [*pairs, *wrong])
    assert 0 < calibrate(*shipped) < 1


def test_scores_are_parted_where_most_are_on_their_side():
    assert 0.5 < parting([0.7, 0.9, 0.8, 0.3], [0.1, 0.2, 0.5, 0.4]) < 0.7
    assert by_kind([Told("what", True, 1, 0), Told("what", False, 1, 0)]) == {"what": {"accuracy": 0.5, "questions": 2}}


def test_wider_pictures_and_strangers_are_made_of_what_was_asked():
    pairs = list(posed(12))
    for picture, one in widened(pairs):
        assert picture.size == (144, SIDE)
        assert one.kind != "where"
    for (_, one), (_, strange) in zip(
        [(picture, one) for picture, one in pairs if set(words_of(one.question)) & _nouns()],
        about_strangers(pairs),
        strict=True,
    ):
        assert (strange.kind, strange.answer) == (one.kind, "")
        assert tokenizer().unk_token_id in tokenizer()(strange.question)["input_ids"]
