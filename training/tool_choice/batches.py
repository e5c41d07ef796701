"""Packs as tensors: a list of tools is read once, and every request to it sees the list and itself only.

Knows the tokenizer of the model and ids; no pool and no trainer.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch.utils.data import Dataset

from assistant.chat_format import Family
from assistant.choosing.text import name_line
from assistant.speaker import encode
from training.tool_choice.examples import Pack, Writer

IGNORED = -100  # the label of what is not to be learned: all but the answers
NAME_WEIGHT = 4.0  # of the tokens of a tool's name in the loss; the arguments follow easily
LONGEST = 1100  # tokens of a pack; requests that do not fit are left out

Item = dict[str, list[int] | list[float]]


class Packs(Dataset[Item]):
    """The first `count` packs of a writer, as ids, segments (0 is the list), positions, labels and weights."""

    def __init__(self, writer: Writer, count: int, tokenizer: Any, family: Family) -> None:
        """Encode what `writer` writes when it is asked for."""
        self._writer = writer
        self._count = count
        self._tokenizer = tokenizer
        self._family = family

    def __len__(self) -> int:
        """Count the packs."""
        return self._count

    def __getitem__(self, number: int) -> Item:
        """Encode pack `number`."""
        return encode_pack(self._writer.write(number), self._tokenizer, self._family)


def encode_pack(pack: Pack, tokenizer: Any, family: Family) -> Item:
    """Encode the list and then each request with its answer, whose positions go on where the list ended."""
    ids = encode(tokenizer, [*family.start, *family.turn("system", pack.tools)])
    item: Item = {
        "ids": list(ids),
        "segments": [0] * len(ids),
        "positions": list(range(len(ids))),
        "labels": [IGNORED] * len(ids),
        "weights": [0.0] * len(ids),
    }
    for number, example in enumerate(pack.examples, 1):
        asked = encode(tokenizer, [*family.turn("user", example.asked), *family.open("assistant")])
        name, _, arguments = example.answer.partition("\n")
        named = encode(tokenizer, [name_line(name)])
        rest = encode(tokenizer, [arguments, family.end[0]])
        whole = [*asked, *named, *rest]
        if len(item["ids"]) + len(whole) > LONGEST:
            continue
        item["ids"] += whole
        item["segments"] += [number] * len(whole)
        item["positions"] += range(len(ids), len(ids) + len(whole))
        item["labels"] += [IGNORED] * len(asked) + [*named, *rest]
        item["weights"] += [0.0] * len(asked) + [NAME_WEIGHT] * len(named) + [1.0] * len(rest)
    return item


def collate(items: Sequence[Item]) -> dict[str, torch.Tensor]:
    """Pad to the longest: ids, positions, labels and weights (packs, tokens), and an additive mask over all pairs."""
    length = max(len(item["ids"]) for item in items)

    def pad(key: str, value: float) -> torch.Tensor:
        return torch.tensor([[*item[key], *[value] * (length - len(item[key]))] for item in items])

    segments = pad("segments", -1)
    seen = (segments[:, None, :] == 0) | (segments[:, :, None] == segments[:, None, :])
    seen &= torch.ones(length, length, dtype=torch.bool).tril()
    mask = torch.zeros(seen.shape, dtype=torch.bfloat16).masked_fill(~seen, torch.finfo(torch.bfloat16).min)
    return {
        "input_ids": pad("ids", 0),
        "position_ids": pad("positions", 0),
        "attention_mask": mask[:, None],
        "labels": pad("labels", IGNORED),
        "weights": pad("weights", 0.0),
    }
