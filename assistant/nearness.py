"""How near a request is to each tool: to its description, its example requests, and what it holds.

Knows sentence embeddings, no tool by name and no language model.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

from assistant.embedder import embed
from assistant.types import ToolSpec

if TYPE_CHECKING:
    import numpy as np

KEPT = 4096  # vectors

_vectors: dict[str, np.ndarray] = {}
"""Of what tools say of themselves, which seldom changes, and of what was said lately."""


def nearness(request: str, tools: Sequence[ToolSpec]) -> Mapping[str, float]:
    """Return for each tool, by its name, the best cosine similarity of `request` to what it says of itself or holds.

    Raises `ModelUnavailable` when there is no embedder.
    """
    asked = embed([request])[0]
    known = _embed_known(text for tool in tools for text in _texts(tool))
    near = {tool.name: max((float(known[text] @ asked) for text in _texts(tool)), default=-1.0) for tool in tools}
    held = {tool.name: tool.relevance(request) for tool in tools if tool.relevance}
    return near | {name: max(near[name], relevance) for name, relevance in held.items()}


def nearest(request: str, texts: Sequence[str]) -> float:
    """Return the best cosine similarity of `request` to one of `texts`; -1 where there are none."""
    return max(similarities(request, texts), default=-1.0)


def similarities(request: str, texts: Sequence[str]) -> list[float]:
    """Return the cosine similarity of `request` to each of `texts`."""
    if not texts:
        return []
    asked, known = embed([request])[0], _embed_known(texts)
    return [float(known[text] @ asked) for text in texts]


def _texts(tool: ToolSpec) -> list[str]:
    return [text for text in (tool.description, *tool.examples) if text.strip()]


def _embed_known(texts: Iterable[str]) -> dict[str, np.ndarray]:
    """Return the vector of each text; those never seen before are made together."""
    wanted = dict.fromkeys(texts)
    known = {text: _vectors[text] for text in wanted if text in _vectors}
    if new := [text for text in wanted if text not in known]:
        made = dict(zip(new, embed(new), strict=True))
        known |= made
        _vectors.update(made)
    while len(_vectors) > KEPT:
        del _vectors[next(iter(_vectors))]
    return known
