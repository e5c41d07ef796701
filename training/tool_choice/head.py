"""Trains the classifier of requests for the built-in tools on the same requests as the adapter; takes a minute.

Knows the pool and sentence embeddings, no language model.
"""

from __future__ import annotations

import logging
import random
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.numpy import save_file

from assistant.choosing.head import FILE, features
from assistant.choosing.text import REPLY
from assistant.embedder import embed
from assistant.types import Kind
from training.tool_choice.nearness import Nearness
from training.tool_choice.pool import PoolTool, Voice, draw_request, draw_slots, fill, read_edits, read_lines, read_pool
from training.tool_choice.spelling import misspell

log = logging.getLogger(__name__)
SEED = 11
DRAWS = 3  # of each request
NETWORKS, HIDDEN, EPOCHS, BATCH = 5, 64, 30, 128
DROPPED = 0.3  # of the features, which otherwise are learned by heart


@dataclass(frozen=True, slots=True)
class Row:
    """A request and the tool it is meant for."""

    said: str
    last: str | None
    kinds: Collection[Kind]
    tool: str


def train_head(folder: Path) -> None:
    """Train some networks and write them to `folder`."""
    rng = random.Random(SEED)
    pool = read_pool()
    builtin = [tool for tool in pool if tool.builtin]
    names = (*(tool.name for tool in builtin), REPLY)
    rows = [*_requests(builtin, rng), *_follow_ups(builtin, rng), *_talk(builtin, rng), *_absent(pool, rng)]
    log.info("embedding %d requests", len(rows))
    inputs = features(embed([row.said for row in rows]), [r.last for r in rows], [r.kinds for r in rows], names)
    targets = np.array([names.index(row.tool) for row in rows])
    tensors = {}
    for number in range(NETWORKS):
        tensors |= {f"{number}.{key}": value for key, value in _fit(inputs, targets, len(names), number).items()}
    save_file(tensors, folder / FILE, {"names": " ".join(names), "networks": str(NETWORKS)})


def _fit(inputs: Any, targets: Any, count: int, seed: int) -> dict[str, Any]:
    """Fit one network; each tool weighs the same, however many requests it has."""
    torch.manual_seed(seed)
    network = torch.nn.Sequential(
        torch.nn.Dropout(DROPPED),
        torch.nn.Linear(inputs.shape[1], HIDDEN),
        torch.nn.ReLU(),
        torch.nn.Dropout(DROPPED),
        torch.nn.Linear(HIDDEN, count),
    )
    x, y = torch.from_numpy(inputs), torch.from_numpy(targets)
    shares = torch.bincount(y, minlength=count).clamp(min=1).float()
    loss_of = torch.nn.CrossEntropyLoss((shares.mean() / shares).sqrt(), label_smoothing=0.05)
    optimizer = torch.optim.AdamW(network.parameters(), lr=2e-3, weight_decay=0.01)
    total = 0.0
    for _ in range(EPOCHS):
        total = 0.0
        for part in torch.randperm(len(y)).split(BATCH):
            optimizer.zero_grad()
            loss = loss_of(network(x[part]), y[part])
            loss.backward()
            optimizer.step()
            total += float(loss) * len(part)
    log.info("network %d: loss %.3f after %d epochs", seed, total / len(y), EPOCHS)
    inner, outer = network[1], network[4]
    arrays = {"inner": inner.weight.T, "inner_bias": inner.bias, "outer": outer.weight.T, "outer_bias": outer.bias}
    return {name: array.detach().half().contiguous().numpy() for name, array in arrays.items()}


def _spelt(tool: PoolTool, voice: Voice, request: str, rng: random.Random) -> str:
    texts = [name for name, argument in tool.arguments.items() if argument.kind == "text"]
    return misspell(draw_request(voice, request, rng), texts, (), rng).text


def _kinds(tool: PoolTool | None, rng: random.Random) -> list[Kind]:
    """Draw the kinds of file that there are; those that the tool takes are."""
    drawn: list[Kind] = [kind for kind in ("image", "document") if rng.random() < 0.3]  # type: ignore[misc]
    needed: list[Any] = list(tool.files[:1]) if tool else []
    return list({*drawn, *needed})


def _last(builtin: list[PoolTool], rng: random.Random) -> str | None:
    return rng.choice([None, None, None, REPLY, rng.choice(builtin).name])


def _requests(builtin: list[PoolTool], rng: random.Random) -> Iterator[Row]:
    for tool in builtin:
        for voice, request in tool.requests:
            for _ in range(DRAWS):
                said = _spelt(tool, voice, request, rng)
                yield Row(said, _last(builtin, rng), _kinds(tool, rng), tool.name)


def _follow_ups(builtin: list[PoolTool], rng: random.Random) -> Iterator[Row]:
    for tool in builtin:
        for voice in tool.voices:
            for request in voice.follow_ups:
                for _ in range(DRAWS):
                    yield Row(_spelt(tool, voice, request, rng), tool.name, _kinds(tool, rng), tool.name)
        if tool.files:
            for line in read_lines("files", "other"):
                yield Row(line, tool.name, _kinds(tool, rng), tool.name)
    edits, slots = read_edits()
    for edit in edits:
        for _ in range(DRAWS):
            values = draw_slots(slots, rng)
            tool = next(tool for tool in builtin if tool.name == edit["tool"])
            yield Row(fill(edit["say"], values), tool.name, _kinds(tool, rng), tool.name)


def _talk(builtin: list[PoolTool], rng: random.Random) -> Iterator[Row]:
    for key in ("lines", "knowledge"):
        for line in read_lines("talk", key):
            for _ in range(2):
                yield Row(line, _last(builtin, rng), _kinds(None, rng), REPLY)
    for line in read_lines("talk", "after"):
        for _ in range(DRAWS):
            tool = rng.choice(builtin)
            yield Row(line, tool.name, _kinds(tool, rng), REPLY)


def _absent(pool: tuple[PoolTool, ...], rng: random.Random) -> Iterator[Row]:
    """Yield wishes that no built-in tool can fulfil."""
    for line in read_lines("talk", "absent"):
        for _ in range(DRAWS):
            yield Row(line, None, _kinds(None, rng), REPLY)
    near = Nearness(pool)
    builtin = [tool for tool in pool if tool.builtin]
    for tool in pool:
        for voice, request in () if tool.builtin else tool.requests[:6]:
            if not any(near.serves(tool, request, other) for other in builtin):
                yield Row(_spelt(tool, voice, request, rng), _last(builtin, rng), _kinds(tool, rng), REPLY)
