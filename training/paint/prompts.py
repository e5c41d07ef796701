"""Says in a few words what a scene shows, as people do who want it painted. Knows scenes and English, no model.

All it says is true, but for words that mean nothing: a painter has to learn that what it does not know changes little.
"""

from __future__ import annotations

import string

import numpy as np

from training.sentences import TO_THE, joined, labels, one_of, side_of, some
from training.world import Scene

OPENINGS = (
    *("a picture of", "a drawing of", "a painting of", "an image of", "a photo of", "paint", "draw", "paint me"),
    *("show me", "please paint", "please draw", "paint a picture of"),
)
SHORTER = {"left": "left of", "right": "right of", "above": "over", "below": "under"}  # than what sentences say
STRANGE = (  # what people add to what they want; to the tokenizer these are letters like any others
    *("beautiful", "cute", "nice", "pretty", "lovely", "funny", "happy", "colourful", "simple", "detailed", "cartoon"),
    *("realistic", "style", "watercolour", "sketch", "cosy", "old", "fluffy", "sunny", "café", "quality"),
)
OPENED, GROUNDED, BARE, COLOURLESS, BESIDE, BETWEEN, ODD = 0.4, 0.35, 0.3, 0.15, 0.55, 0.2, 0.15  # how often
MOST_ODD = 3  # words without meaning in a prompt
LETTERS = (3, 9)  # of an invented word, fewest and most


def prompt(scene: Scene, rng: np.random.Generator) -> str:
    """Write one of the prompts that a scene is a right picture of; it names all its things."""
    text = _alone(scene, rng) if len(scene.objects) == 1 else _together(scene, rng)
    if rng.random() < GROUNDED:
        text += f" on {one_of(scene.ground.colour)} background"
    if rng.random() < OPENED:
        text = f"{OPENINGS[rng.integers(len(OPENINGS))]} {text}"
    return _disturbed(text, rng) if rng.random() < ODD else text


def _alone(scene: Scene, rng: np.random.Generator) -> str:
    """Name the only thing: "a red circle", "red circle", "a circle"."""
    thing = scene.objects[0].thing
    label = thing.name if rng.random() < COLOURLESS else thing.label
    return label if rng.random() < BARE else one_of(label)


def _together(scene: Scene, rng: np.random.Generator) -> str:
    """Name several things, two of a kind by their number, and two of different kinds often by how they lie."""
    found = labels(scene)
    if len(scene.objects) > 2 or len(found) == 1:
        return joined([some(label, count) for label, count in found.items()])
    one, other = (scene.objects[place] for place in rng.permutation(2))
    side, choice = side_of(one, other), rng.random()
    if side and choice < BESIDE:
        way = SHORTER[side] if rng.random() < 0.3 else TO_THE[side]
    elif choice < BESIDE + BETWEEN:
        way = ("next to", "beside")[rng.integers(2)]
    else:
        return joined([one_of(label) for label in found])  # from left to right, as one reads
    return f"{one_of(one.thing.label)} {way} {one_of(other.thing.label)}"


def _disturbed(text: str, rng: np.random.Generator) -> str:
    """Put a few words without meaning between the others."""
    words = text.split()
    for _ in range(rng.integers(1, MOST_ODD + 1)):
        words.insert(rng.integers(len(words) + 1), _odd_word(rng))
    return " ".join(words)


def _odd_word(rng: np.random.Generator) -> str:
    if rng.random() < 0.5:
        return STRANGE[rng.integers(len(STRANGE))]
    letters = rng.choice(list(string.ascii_lowercase), rng.integers(LETTERS[0], LETTERS[1] + 1))
    return "".join(letters)
