"""Chooses a tool, or none, for a guided model: by how near the request is to what each tool says of itself.

Knows descriptions, example requests and earlier results, no tool by name. The two numbers were set on the development
half of tests/data/requests.jsonl; tests/test_chooser.py says what must hold on the other half.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import TYPE_CHECKING

from assistant.embedder import embed
from assistant.prompts import render
from assistant.types import ToolResult, ToolSpec

if TYPE_CHECKING:
    import numpy as np

THRESHOLD = 0.25  # cosine similarity below which no tool is meant
TALK_MARGIN = 0.05  # how much nearer to small talk than to any tool a request must be to be taken for it


def choose_tool(request: str, tools: Sequence[ToolSpec], earlier: Sequence[ToolResult]) -> ToolSpec | None:
    """Return the tool that `request` is nearest to, or None when it is nearer to talk or near to nothing.

    Args:
        request: What the person said.
        tools: The tools whose inputs exist.
        earlier: Results in this conversation; a request near to one is taken to ask about it again.
    """
    if not tools or not request.strip():
        return None
    asked = embed([request])[0]
    scores = [_nearness(asked, request, tool, earlier) for tool in tools]
    best = max(scores)
    talk = float((_vectors(tuple(render("talk").splitlines())) @ asked).max())
    if best < THRESHOLD or talk > best + TALK_MARGIN:
        return None
    return tools[scores.index(best)]


def _nearness(asked: np.ndarray, request: str, tool: ToolSpec, earlier: Sequence[ToolResult]) -> float:
    """Return the best similarity to the tool's own texts, to what it holds, and to what it said before."""
    texts = [tool.description, *tool.examples]
    for result in earlier:
        if result.call.name == tool.name and not result.failed:
            texts += [result.text, *result.text.splitlines()]
    own = float((_vectors(tuple(filter(None, texts))) @ asked).max())
    return max(own, tool.relevance(request)) if tool.relevance else own


@lru_cache(maxsize=256)
def _vectors(texts: tuple[str, ...]) -> np.ndarray:
    return embed(texts)
