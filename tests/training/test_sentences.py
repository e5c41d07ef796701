"""Sentences about scenes are true, name all there is, and questions have one right answer."""

import re
from collections import Counter, defaultdict

import numpy as np
import pytest

from training.sentences import (
    KINDS,
    NUMBERS,
    TO_THE,
    Asked,
    answers,
    ask,
    caption,
    joined,
    labels,
    one_of,
    plural,
    some,
)
from training.world import Placed, Scene, make_scene, names

MANY = 400


@pytest.fixture(scope="module")
def asked() -> list[tuple[Scene, Asked]]:
    rng = np.random.default_rng(4)
    return [(scene, ask(scene, rng)) for scene in (make_scene(number) for number in range(MANY)) for _ in range(4)]


def the(scene: Scene, call: str) -> Placed:
    """Return the only thing that can be called so."""
    (one,) = (one for one in scene.objects if call in (one.thing.name, one.thing.label))
    return one


def test_things_are_named_as_people_do():
    assert [one_of(label) for label in ("dog", "owl", "orange star", "corn")] == [
        "a dog",
        "an owl",
        "an orange star",
        "corn",
    ]
    assert [plural(label) for label in ("mouse", "red circle", "bread")] == ["mice", "red circles", "loaves of bread"]
    assert some("dog", 3) == "three dogs"
    assert joined(["a", "b", "c"]) == "a, b and c"
    assert joined(["a"]) == "a"


def test_captions_name_everything_and_nothing_else():
    rng = np.random.default_rng(1)
    for number in range(MANY):
        scene = make_scene(number)
        text = caption(scene, rng)
        for label, count in labels(scene).items():
            assert some(label, count) in text
        rest = text.partition(" background")[0].rpartition(" on ")[0] if " background" in text else text
        for name in names():
            if not scene.count(name):
                assert not re.search(rf"\b({name}|{plural(name)})\b", rest), (name, text)


def test_captions_vary_and_say_where_two_things_are():
    rng = np.random.default_rng(2)
    texts = [caption(make_scene(number), rng) for number in range(MANY)]
    for words in (*TO_THE.values(), "there is", "there are", "a picture of", "background", " and "):
        assert any(words in text for text in texts), words


def test_where_a_caption_puts_two_things_they_are():
    rng = np.random.default_rng(3)
    told = 0
    for number in range(MANY):
        scene = make_scene(number)
        text = caption(scene, rng)
        for side, words in TO_THE.items():
            if f" {words} " in text:
                one, other = scene.objects
                axis, sign = (0 if side in ("left", "right") else 1), (-1 if side in ("left", "above") else 1)
                assert sign * (one.middle[axis] - other.middle[axis]) > 0
                assert text.index(one.thing.label) < text.rindex(other.thing.label)
                told += 1
    assert told > 10


def test_every_answer_is_known(asked: list[tuple[Scene, Asked]]):
    assert len(set(answers())) == len(answers())
    assert {one.answer for _, one in asked} <= set(answers())


def test_every_kind_of_question_is_asked_often(asked: list[tuple[Scene, Asked]]):
    kinds = Counter(one.kind for _, one in asked)
    assert set(kinds) == set(KINDS)
    assert min(kinds.values()) > len(asked) / 50, kinds


def test_no_question_is_answered_by_always_saying_the_same(asked: list[tuple[Scene, Asked]]):
    found: dict[str, Counter[str]] = defaultdict(Counter)
    for _, one in asked:
        found[one.kind][one.answer] += 1
    for kind, counts in found.items():
        assert counts.most_common(1)[0][1] < 0.65 * counts.total(), (kind, counts)


def test_how_many_is_counted(asked: list[tuple[Scene, Asked]]):
    by_plural = {plural(call): call for call in (*names(), "animal", "vehicle", "shape")}
    checked = 0
    for scene, one in asked:
        many = re.search(r"(?:how many|number of|count the) ([a-z ]+?)(?: are| can| do|\?|$)", one.question)
        if one.kind != "how many" or many is None or many[1] not in by_plural:
            continue
        assert one.answer == str(scene.count(by_plural[many[1]])), one
        checked += 1
    assert checked > 50


def test_what_lies_beside_a_thing_is_there(asked: list[tuple[Scene, Asked]]):
    sides = {"left": (0, -1), "right": (0, 1), "above": (1, -1), "below": (1, 1)}
    checked = 0
    for scene, one in asked:
        if one.kind != "beside" or not re.search(" (of|above) the ", one.question):
            continue
        side = next(side for side in sides if f"{side} " in one.question)
        other = the(scene, one.question.rstrip("?").rpartition(" the ")[2])
        axis, sign = sides[side]
        steps = [
            (sign * (each.middle[axis] - other.middle[axis]), each.thing.name)
            for each in scene.objects
            if each is not other
        ]
        assert max(steps)[1] == one.answer
        checked += 1
    assert checked > 50


def test_yes_and_no_are_true_of_what_is_there(asked: list[tuple[Scene, Asked]]):
    calls = {one_of(name): name for name in names()}
    for scene, one in asked:
        found = re.search(r"(?:see|there|show|is) ((?:an? )?[a-z]+)(?: in| there|\?)", one.question)
        if one.kind == "is there" and found and found[1] in calls:
            assert one.answer == ("yes" if scene.count(calls[found[1]]) else "no"), one


def test_numbers_have_words():
    assert len(NUMBERS) == 6
