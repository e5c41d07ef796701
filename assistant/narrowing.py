"""Offers a model that chooses tools itself no more of them than it can oversee: those nearest to the request.

Knows what tools say of themselves and which were called before, no tool by name and no model but the embedder.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection, Generator, Sequence

from assistant.background import run_in_background
from assistant.chat_format import turns
from assistant.errors import ModelUnavailable
from assistant.nearness import nearness
from assistant.types import Message, Notice, ToolSpec

MOST = 20  # tools


def offer_nearest(
    messages: Sequence[Message], tools: Sequence[ToolSpec], stop: threading.Event
) -> Generator[Notice, None, list[ToolSpec]]:
    """Return the tools to offer for the last request of a conversation; all, with a notice, if nothing can tell."""
    if len(tools) <= MOST:
        return list(tools)
    request = turns(messages)[-1][0].text
    called = {call.name for message in messages for call in message.calls}

    def work(report: Callable[[Notice], None]) -> list[ToolSpec]:
        try:
            return narrow(request, tools, called, MOST)
        except ModelUnavailable as error:
            report(Notice(f"All {len(tools)} tools are offered at once, which may confuse the model: {error}"))
            return list(tools)

    # on a thread that ends: a thread keeps the helpers that torch gave it
    return (yield from run_in_background(work, stop))


def narrow(request: str, tools: Sequence[ToolSpec], called: Collection[str], most: int) -> list[ToolSpec]:
    """Return the `most` tools nearest to `request`, and those `called` before, in the order of `tools`.

    Raises `ModelUnavailable` when there is no embedder.
    """
    if len(tools) <= most or not request.strip():
        return list(tools)
    near = nearness(request, tools)
    nearest = sorted(near, key=lambda name: -near[name])[:most]
    return [tool for tool in tools if tool.name in nearest or tool.name in called]
