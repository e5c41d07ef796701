"""Tokenizers of CLIP's kind that know the words of the small world and spell all others by letters. Knows no model."""

from __future__ import annotations

import json
import re
import string
import tomllib
from functools import cache
from pathlib import Path

from tokenizers import Tokenizer, models, pre_tokenizers, trainers
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

    The ends of a sentence are its two largest ids, where OWLv2 looks for them; `PADDING` is 0.
    """
    raw = Tokenizer(models.BPE(end_of_word_suffix="</w>", unk_token=END))
    raw.pre_tokenizer = pre_tokenizers.Whitespace()
    letters = [chr(code) for code in range(ord("!"), ord("~") + 1)]
    trainer = trainers.BpeTrainer(vocab_size=20_000, end_of_word_suffix="</w>", show_progress=False)
    raw.train_from_iterator([*world_words(), *string.ascii_lowercase], trainer)
    merges = [tuple(pair) for pair in json.loads(raw.to_str())["model"]["merges"]]
    tokens = dict.fromkeys([*letters, *(f"{letter}</w>" for letter in letters), *map("".join, merges), BEGIN, END])
    vocabulary = {token: place for place, token in enumerate(tokens)}
    return CLIPTokenizer(vocab=vocabulary, merges=merges, pad_token=PADDING, model_max_length=longest)
