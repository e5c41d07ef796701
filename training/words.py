"""Tokenizers of CLIP's kind that know the words of the small world and spell all others by letters. Knows no model."""

from __future__ import annotations

import re
import tomllib
from collections import Counter
from collections.abc import Sequence
from functools import cache
from itertools import pairwise
from pathlib import Path

from transformers import CLIPTokenizer

from training.sentences import NUMBERS, plural
from training.world import groups, names, table

BEGIN, END = "<|startoftext|>", "<|endoftext|>"
PADDING = "!"  # its id is 0, which OWLv2 takes for an empty query
EXTRA = (  # what plugins put around a label, and small words of captions and prompts
    "a an the of and with on in at to left right above below next beside over under photo picture image drawing "
    "painting paint draw show me please there is are background , . one two three four five"
)


@cache
def world_words() -> tuple[str, ...]:
    """Return every word that sentences about the world are made of, sorted."""
    templates = tomllib.loads((Path(__file__).parent / "drawings" / "sentences.toml").read_text())
    text = " ".join(sentence for sentences in templates.values() for sentence in sentences)
    text += " ".join(["", *EXTRA.split(), *NUMBERS, *names(), *map(plural, names()), *groups(), "shape", "shapes"])
    text += " ".join(["", *table()["colours"], *table()["grounds"]])
    return tuple(sorted(set(re.findall(r"[a-z]+|[?,.]", re.sub(r"\{\w+\}", " ", text)))))


def clip_tokenizer(longest: int) -> CLIPTokenizer:
    """Return a tokenizer that has one token for each word of the world; it cuts at `longest` tokens.

    The ends of a sentence are its two largest ids, where OWLv2 looks for them; `PADDING` is 0. It is the same in every
    process, for a training goes on in another one.
    """
    merges = _merges(world_words())
    letters = [chr(code) for code in range(ord("!"), ord("~") + 1)]
    tokens = dict.fromkeys([*letters, *(f"{letter}</w>" for letter in letters), *map("".join, merges), BEGIN, END])
    vocabulary = {token: place for place, token in enumerate(tokens)}
    return CLIPTokenizer(vocab=vocabulary, merges=merges, pad_token=PADDING, model_max_length=longest)


def _merges(words: Sequence[str]) -> list[tuple[str, str]]:
    """Return which pairs to join, the most frequent first, until every word is one piece (arXiv:1508.07909).

    The trainer of `tokenizers` breaks ties another way in each process.
    """
    spelled = [[*word[:-1], f"{word[-1]}</w>"] for word in words]
    merges: list[tuple[str, str]] = []
    while pairs := Counter(pair for parts in spelled for pair in pairwise(parts)):
        merges.append(max(pairs, key=lambda pair: (pairs[pair], pair)))
        spelled = [_joined(parts, merges[-1]) for parts in spelled]
    return merges


def _joined(parts: Sequence[str], pair: tuple[str, str]) -> list[str]:
    found: list[str] = []
    for part in parts:
        if found and (found[-1], part) == pair:
            found[-1] += part
        else:
            found.append(part)
    return found
