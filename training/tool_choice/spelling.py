"""Writes a request as hasty, polite or talkative people type it. Knows no tool and no model."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import replace

from training.tool_choice.pool import Said

BEFORE = ("hi, ", "hey ", "Maru, ", "please ", "ok, ", "um, ", "Good morning! ", "So, ", "next: ", "one more thing: ")
AFTER = (" please", " pls", " thanks", ", thank you", " asap", " :)", "?", "!", "...", " if you can")


def misspell(said: Said, words: Sequence[str], whole: Sequence[str], rng: random.Random) -> Said:
    """Change a request a little, most not at all; the arguments `words` stay words of it, `whole` are all of it."""
    changed = _lower(said, words) if rng.random() < 0.12 else said
    if rng.random() < 0.10:
        changed = replace(changed, text=rng.choice(BEFORE) + changed.text)
    if rng.random() < 0.08:
        changed = replace(changed, text=changed.text.rstrip(".?! ") + rng.choice(AFTER))
    if rng.random() < 0.10:
        changed = replace(changed, text=_slip(changed, whole, rng))
    lost = [name for name in words if said.arguments.get(name, "") in said.text and not _stands(changed, name)]
    changed = said if lost else changed
    given = {name: changed.text for name in whole if name in changed.arguments}
    return replace(changed, arguments={**changed.arguments, **given})


def _stands(said: Said, name: str) -> bool:
    return said.arguments.get(name, "") in said.text


def _lower(said: Said, words: Sequence[str]) -> Said:
    arguments = {
        name: value.lower() if name in words and value in said.text else value for name, value in said.arguments.items()
    }
    return Said(said.text.lower().rstrip(".?!"), arguments)


def _slip(said: Said, whole: Sequence[str], rng: random.Random) -> str:
    """Leave out or swap a letter of a word that is no argument."""
    kept = " ".join(str(value) for name, value in said.arguments.items() if name not in whole)
    words = said.text.split(" ")
    places = [i for i, word in enumerate(words) if len(word) > 4 and word.isalpha() and word not in kept]
    if places:
        place = rng.choice(places)
        word = words[place]
        at = rng.randrange(1, len(word) - 2)
        swapped = word[:at] + word[at + 1] + word[at] + word[at + 2 :]
        words[place] = rng.choice((word[:at] + word[at + 1 :], swapped))
    return " ".join(words)
