"""Finds out how a chat template writes a call, from one that it wrote. Knows text and control tokens, no chat.

A style that cannot be read back from what a model will write in it is none.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from assistant.chat_format import Tag
from assistant.formats.calls import TAGS, find_calls
from assistant.formats.veil import Hidden
from assistant.grammars import CallStyle, Part
from assistant.types import ToolCall, ToolSpec

ARGUMENTS = re.compile(r'\{\s*"\0"\s*:\s*"\0"\s*\}')
SHOWN = "<tool_call>"  # for a control token with which calls begin, whatever its name
PROBE = ToolSpec("probe", "", {})


def find_style(
    written: Sequence[str | Tag | Hidden], call_id: str, ids: Mapping[str, int], ends: frozenset[int]
) -> CallStyle | None:
    """Return how `written`, which begins with a call, does it; None where that is not the name and then JSON.

    Args:
        written: What the template wrote for a call of one argument; name, argument and value are hidden.
        call_id: The id of the call.
        ids: The ids of the control tokens by their text.
        ends: The ids that end a reply.
    """
    # as one text, in which a control token is "\1id\1" and what is hidden "\0"
    whole = ""
    for piece in written:
        if isinstance(piece, Tag) and ids[piece.text] in ends:
            break
        whole += f"\1{ids[piece.text]}\1" if isinstance(piece, Tag) else piece if isinstance(piece, str) else "\0"
    else:
        return None  # nothing ends it
    before, _, rest = whole.partition("\0")
    found = ARGUMENTS.search(rest)
    if found is None or "\0" in before + rest[: found.start()] + rest[found.end() :]:
        return None
    parts = (before.lstrip(), rest[: found.start()], rest[found.end() :])
    style = CallStyle(*(_parts(text, call_id) for text in parts))
    return style if _can_be_read(style, {token: text for text, token in ids.items()}) else None


def shown_tokens(style: CallStyle) -> dict[int, str]:
    """Return how a control token that begins a call is to be shown to who reads the call."""
    first = style.before[0] if style.before else ""
    return {first: SHOWN} if isinstance(first, int) else {}


def _parts(text: str, call_id: str) -> tuple[Part, ...]:
    return tuple(
        None if part == call_id else int(part[1:-1]) if part.startswith("\1") else part
        for part in re.split(f"(\1\\d+\1|{call_id})", text)
        if part
    )


def _can_be_read(style: CallStyle, texts: Mapping[int, str]) -> bool:
    """Tell whether a call in this style is one for `find_calls`, whether or not control tokens are shown to it."""
    shown = shown_tokens(style)
    first = style.before[0] if style.before else ""
    if isinstance(first, str) and not first.startswith(("{", "[{", *TAGS)):
        return False
    for others in (texts, {}):
        wrote = [PROBE.name, '{"text": "x"}', ""]
        text = ""
        for parts, middle in zip((style.before, style.between, style.behind), wrote, strict=True):
            for part in parts:
                text += (
                    "123456789"
                    if part is None
                    else part
                    if isinstance(part, str)
                    else shown.get(part, others.get(part, ""))
                )
            text += middle
        calls = [(call.name, call.arguments) for call in find_calls(text, [PROBE]) if isinstance(call, ToolCall)]
        if calls != [(PROBE.name, {"text": "x"})]:
            return False
    return True
