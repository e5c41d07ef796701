"""A small classifier of requests for the built-in tools: it knows them well, where the adapter only reads their lines.

Knows sentence embeddings and the names it was trained with; where another tool is listed it says nothing.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from assistant.choosing.text import REPLY
from assistant.embedder import embed
from assistant.types import Kind

FILE = "head.safetensors"
KINDS: tuple[Kind, ...] = ("image", "document")


@dataclass(frozen=True)
class Head:
    """Some networks of one hidden layer, whose probabilities are averaged; `names` are the tools, the last is none."""

    names: tuple[str, ...]
    layers: Sequence[tuple[Any, Any, Any, Any]]
    """Of each network the weights and biases: (features, hidden), (hidden,), (hidden, names), (names,)."""

    def likely(
        self, said: str, last: str | None, kinds: Collection[Kind], listed: Sequence[str]
    ) -> Mapping[str, float] | None:
        """Return the log probability of each of `listed` and of no tool; None where a tool is listed that it knows not.

        Args:
            said: The request.
            last: The tool of the turn before, `REPLY`, or None for the first turn.
            kinds: The kinds of file that there are.
            listed: Names of the tools to choose from.
        """
        if not set(listed) <= set(self.names):
            return None
        import numpy as np

        wanted = [*listed, REPLY]
        row = features(embed([said]), [last], [kinds], self.names)[0]
        totals = np.zeros(len(wanted))
        for inner, inner_bias, outer, outer_bias in self.layers:
            logits = np.maximum(row @ inner + inner_bias, 0) @ outer + outer_bias
            some = logits[[self.names.index(name) for name in wanted]]
            shares = np.exp(some - some.max())
            totals += shares / shares.sum() / len(self.layers)
        return dict(zip(wanted, np.log(totals + 1e-6).tolist(), strict=True))


def features(vectors: Any, lasts: Sequence[str | None], kinds: Sequence[Collection[Kind]], names: Sequence[str]) -> Any:
    """Return what the networks read, (requests, features): the embedding, the last tool, the kinds of file."""
    import numpy as np

    known = [*names, None]
    last = np.array([[name == one for one in known] for name in lasts], np.float32)
    there = np.array([[kind in some for kind in KINDS] for some in kinds], np.float32)
    return np.concatenate([vectors, last, there], 1)


@lru_cache(maxsize=2)
def read_head(folder: Path) -> Head | None:
    """Read the head in `folder`, or None where there is none."""
    if not (folder / FILE).exists():
        return None
    from safetensors import safe_open

    with safe_open(folder / FILE, "np") as file:
        names = tuple(file.metadata()["names"].split())
        count = int(file.metadata()["networks"])
        parts = ("inner", "inner_bias", "outer", "outer_bias")
        layers = [tuple(file.get_tensor(f"{i}.{part}").astype("float32") for part in parts) for i in range(count)]
    return Head(names, layers)
