"""Questions as people type them: in other words than the world's, with words nobody taught, about things unheard of.

It knows words and what a question speaks of; it knows no model.
"""

from __future__ import annotations

import re
from dataclasses import replace
from functools import cache

import numpy as np
from transformers import BertTokenizer

from training.sentences import SPOKEN, Asked, plural
from training.words import world_words
from training.world import Scene, Taste, Thing, names, table

TASTE = Taste(counts=(1, 1, 1, 1, 1), repeats=0.45)  # so that three and more alike are seen often enough to count
LONGEST = 32  # tokens of a question; no question about a scene has more than 20
UNKNOWN = "[UNK]"  # what the tokenizer makes of a word it does not have
SPECIAL = ("[PAD]", UNKNOWN, "[CLS]", "[SEP]", "[MASK]")
OTHERS = {  # what people say instead
    **{"picture": ("photo", "drawing", "painting", "scene"), "image": ("photo",), "see": ("find", "spot")},
    **{"bigger": ("larger",), "biggest": ("largest",), "kind": ("sort", "type"), "objects": ("items",)},
    **{"above": ("over",), "below": ("under", "beneath", "underneath"), "gray": ("grey",), "purple": ("violet",)},
    **{"dog": ("puppy",), "dogs": ("puppies",), "cat": ("kitten", "kitty"), "cats": ("kittens", "kitties")},
    **{"rabbit": ("bunny",), "rabbits": ("bunnies",), "ladybug": ("ladybird",), "ladybugs": ("ladybirds",)},
    **{"airplane": ("plane", "aeroplane"), "airplanes": ("planes", "aeroplanes"), "sailboat": ("boat", "ship")},
    **{"sailboats": ("boats", "ships"), "hamburger": ("burger",), "hamburgers": ("burgers",)},
    **{"donut": ("doughnut",), "donuts": ("doughnuts",), "gift": ("present",), "gifts": ("presents",)},
    **{"circle": ("disc", "disk"), "circles": ("discs", "disks"), "fire": ("flame",), "fires": ("flames",)},
    **{"backpack": ("rucksack",), "backpacks": ("rucksacks",)},
}
FILLERS = (  # without these words a question is still the same
    "a an the this it is are there any do does you can see has have what which of in on to picture image shown here "
    "thing object one kind"
)
GUESTS = "and with at next beside side paint draw me please two three four five no"  # words that change nothing
STRAYS = (*[UNKNOWN] * 12, *GUESTS.split())
AS_WRITTEN = 0.4  # the share of questions that stay as they are
RENAMED, FORGOTTEN, STRAYED = 0.25, 0.15, 0.05  # how often a word of any other changes, is not known, or has a guest
STRANGE = 0.06  # the share of questions about something that nobody has heard of
ENDS, END_SHARES = ("?", "", "."), (0.6, 0.25, 0.15)


@cache
def vocabulary() -> tuple[str, ...]:
    """Return every word that has a token of its own, sorted."""
    counted = [plural(group) for group in SPOKEN]
    others = [word for words in OTHERS.values() for word in words]
    return tuple(sorted({*world_words(), *counted, "objects", "things", *GUESTS.split(), *others}))


def tokenizer() -> BertTokenizer:
    """Return a tokenizer with a token for each word, and one for all words that it does not know."""
    tokens = (*SPECIAL, *vocabulary())
    return BertTokenizer(vocab={token: place for place, token in enumerate(tokens)}, model_max_length=LONGEST)


def words_of(question: str) -> list[str]:
    """Return the words and signs of a question."""
    return re.findall(r"\[UNK\]|[a-z]+|[?,.]", question)


def typed(asked: Asked, rng: np.random.Generator) -> Asked:
    """Return a question as somebody might type it; about what nobody has heard of, no answer is right: ""."""
    strange = estranged(asked, UNKNOWN, rng) if rng.random() < STRANGE else None
    asked = strange or asked
    if rng.random() < AS_WRITTEN:
        return asked
    return replace(asked, question=_varied(asked.question, rng))


def estranged(asked: Asked, stranger: str, rng: np.random.Generator) -> Asked | None:
    """Return the same question about a stranger, which has no answer; None where it names no thing."""
    words = words_of(asked.question)
    places = [place for place, word in enumerate(words) if word in _nouns()]
    if not places:
        return None
    words[places[rng.integers(len(places))]] = stranger
    return replace(asked, question=" ".join(words), answer="")


@cache
def _nouns() -> frozenset[str]:
    """Return the names of things, and the last words of their plurals."""
    return frozenset((*names(), *(plural(name).split()[-1] for name in names())))


def _varied(question: str, rng: np.random.Generator) -> str:
    found: list[str] = []
    for word in words_of(question.rstrip("?")):
        if word in OTHERS and rng.random() < RENAMED:
            word = OTHERS[word][rng.integers(len(OTHERS[word]))]
        elif word in FILLERS.split() and rng.random() < FORGOTTEN:
            word = UNKNOWN
        found.append(word)
        if rng.random() < STRAYED:
            found.append(STRAYS[rng.integers(len(STRAYS))])
    return f"{' '.join(found)} {rng.choice(ENDS, p=END_SHARES)}".strip()


def spoken_of(scene: Scene, asked: Asked) -> set[Thing]:
    """Return the things of a scene that a question, as the world asks it, speaks of."""
    if asked.kind == "how many" and re.search(r"\b(objects|things)\b", asked.question):
        return {one.thing for one in scene.objects}
    bare = _coloured().sub("", asked.question)  # in "is there a red circle?" a blue one is not spoken of
    return {
        one.thing
        for one in scene.objects
        if _says(asked.question, one.thing.label) or _says(bare, one.thing.name) or _says(bare, one.thing.group)
    }


@cache
def _coloured() -> re.Pattern[str]:
    shapes = [form for name in table()["shapes"] for form in (name, plural(name))]
    return re.compile(rf"\b({'|'.join(table()['colours'])}) ({'|'.join(shapes)})\b")


def _says(question: str, call: str) -> bool:
    return re.search(rf"\b({call}|{plural(call)})\b", question) is not None
