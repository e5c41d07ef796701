"""How near the tools, requests and lines of the training data are to each other, by sentence embeddings.

Tells which tools look alike (they stand in lists together, so that descriptions must be read) and which could serve a
request that is meant for another (they do not).
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import Any

import numpy as np

from assistant.embedder import embed
from training.tool_choice.pool import SLOT, PoolTool, Voice

SAME = 0.72  # cosine similarity of descriptions from which two tools do the same
SERVES = 0.62  # cosine similarity from which a request might be meant for a tool of another group
TALKS = 0.5  # the same for a line that no tool is meant for


class Nearness:
    """Similarities between `tools`, their requests, and lines."""

    def __init__(self, tools: Sequence[PoolTool]) -> None:
        """Embed everything that `tools` say."""
        self._tools = tools
        self._index = {tool.name: i for i, tool in enumerate(tools)}
        self._of = np.array([i for i, tool in enumerate(tools) for _ in (*tool.descriptions, *tool.requests)])
        texts = [text for tool in tools for text in (*tool.descriptions, *(_plain(*said) for said in tool.requests))]
        self._vectors = embed(texts)
        self._rows = {
            (tool.name, request): row
            for tool, start in zip(tools, self._starts, strict=True)
            for row, (_, request) in enumerate(tool.requests, start + len(tool.descriptions))
        }

    @cached_property
    def _starts(self) -> Any:
        return [int(np.argmax(self._of == i)) for i in range(len(self._tools))]

    @cached_property
    def between(self) -> Any:
        """Similarity of descriptions, (tools, tools); of the nearest wordings."""
        heads = np.stack(
            [
                self._vectors[start : start + len(tool.descriptions)].mean(0)
                for tool, start in zip(self._tools, self._starts, strict=True)
            ]
        )
        heads /= np.linalg.norm(heads, axis=1, keepdims=True)
        return heads @ heads.T

    @cached_property
    def _requests(self) -> Any:
        """Similarity of every text of a tool to the nearest text of each tool, (texts, tools)."""
        return self._nearest(self._vectors)

    def _nearest(self, vectors: Any) -> Any:
        similar = vectors @ self._vectors.T
        return np.maximum.reduceat(similar, self._starts, axis=1)

    def neighbours(self, tool: PoolTool) -> list[PoolTool]:
        """Return the other tools, the most alike first."""
        order = np.argsort(-self.between[self._index[tool.name]])
        return [self._tools[i] for i in order if self._tools[i] is not tool]

    def same(self, tool: PoolTool, other: PoolTool) -> bool:
        """Tell whether two tools of different groups do the same."""
        alike = self.between[self._index[tool.name], self._index[other.name]]
        return other.group != tool.group and bool(alike > SAME)

    def serves(self, tool: PoolTool, request: str, other: PoolTool) -> bool:
        """Tell whether `other` might be meant by a request of `tool`; tools of one group were written apart."""
        if other.group == tool.group:
            return False
        return bool(self._requests[self._rows[tool.name, request], self._index[other.name]] > SERVES)

    def talks(self, lines: Sequence[str]) -> list[frozenset[str]]:
        """Return for each of `lines` the names of the tools that might serve it."""
        near = self._nearest(embed(lines)) > TALKS
        return [frozenset(self._tools[i].name for i in np.flatnonzero(row)) for row in near]


def _plain(voice: Voice, request: str) -> str:
    """Fill in a request with the first value of each slot."""
    for slot in SLOT.findall(request):
        value = voice.arguments[slot].values[0][0] if slot in voice.arguments else voice.slots[slot][0]
        request = request.replace(f"{{{slot}}}", value)
    return request
