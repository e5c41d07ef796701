"""Measures CLIP through the functions that plugins call: labels told apart, and pictures found by a sentence."""

from __future__ import annotations

import numpy as np
from PIL import Image as Pictures

from assistant.vision.features import PROMPT, embed_images, embed_texts
from training.sentences import caption, labels
from training.world import HELD_OUT, Scene, Taste, make_scene, shapes, things

SCENES = 600
GALLERY = 200  # pictures among which a sentence has to find its own
ALONE = Taste(counts=(1,))


def figures(scenes: int = SCENES) -> dict[str, float]:
    """Return the shares of labels and of first pictures found that are right, for both vendors' drawings."""
    return {
        "zero-shot top 1": zero_shot(scenes, "noto"),
        "zero-shot top 1, drawings of another style": zero_shot(scenes, "fluent"),
        "retrieval recall at 1": retrieval(scenes, "noto"),
        "retrieval recall at 1, drawings of another style": retrieval(scenes, "fluent"),
        "labels": len(things()) + len(shapes()),
        "pictures to find one among": GALLERY,
        "scenes": scenes,
    }


def zero_shot(scenes: int, vendor: str) -> float:
    """Return how often the nearest of all labels is that of the one thing in a picture."""
    all_labels = [thing.label for thing in (*things(), *shapes())]
    texts = embed_texts([PROMPT.format(label) for label in all_labels])
    pictures = [make_scene(number, HELD_OUT, ALONE, vendor) for number in range(scenes)]
    seen = embed_images([Pictures.fromarray(scene.pixels) for scene in pictures])
    best = (seen @ texts.T).argmax(1)
    return share(
        [all_labels[place] == scene.objects[0].thing.label for place, scene in zip(best, pictures, strict=True)]
    )


def retrieval(scenes: int, vendor: str) -> float:
    """Return how often the first picture that a sentence finds is one it is true of."""
    hits: list[bool] = []
    for first in range(0, scenes, GALLERY):
        pictures = [make_scene(number, HELD_OUT, vendor=vendor) for number in range(first, first + GALLERY)]
        rng = np.random.default_rng(first)
        texts = embed_texts([caption(scene, rng) for scene in pictures])
        seen = embed_images([Pictures.fromarray(scene.pixels) for scene in pictures])
        best = (texts @ seen.T).argmax(1)
        hits += [alike(pictures[place], scene) for place, scene in zip(best, pictures, strict=True)]
    return share(hits)


def alike(found: Scene, wanted: Scene) -> bool:
    """Tell whether two scenes are the same for a sentence that names things, their order and a background."""
    return found is wanted or (labels(found) == labels(wanted) and found.ground.colour == wanted.ground.colour)


def share(hits: list[bool]) -> float:
    """Return the share of what is true."""
    return round(sum(hits) / len(hits), 4)
