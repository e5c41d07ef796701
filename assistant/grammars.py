"""Writes the grammars a reply stays in, in llguidance's Lark dialect, and reads the call that comes out of one.

Knows tool schemas and text, no token and no model.
"""

from __future__ import annotations

import json
import re
import uuid
from collections.abc import Sequence
from typing import Any

from assistant.types import ToolCall, ToolSpec


def read_call(text: str) -> ToolCall | str:
    """Read a call; text that is none (it was cut off by the length limit) stays text."""
    try:
        call = json.loads(text)
        return ToolCall(uuid.uuid4().hex[:8], call["name"], call["parameters"])
    except (ValueError, KeyError, TypeError):
        return text


def call_grammar(tools: Sequence[ToolSpec]) -> str:
    """Write the grammar "one valid call, or words that do not begin like one"."""
    names = " | ".join(f"call_{i}" for i in range(len(tools)))
    rules = [
        f'call_{i}: {_literal(f"""{{"name": "{tool.name}", "parameters": """)} '
        f'%json {json.dumps(_strict(tool.parameters))} "}}"'
        for i, tool in enumerate(tools)
    ]
    return "\n".join([f"start: words | {names}", r"words: /[^{\s](.|\n)*/", *rules])


def guided_grammar(tool: ToolSpec, request: str, attached: Sequence[str]) -> str:
    """Write the grammar of a call of `tool` with only its required arguments; free text is the request itself.

    A file is one that the request names, else one of those last `attached`, else the latest there is.
    """
    properties = tool.parameters.get("properties", {})
    values = []
    for name in tool.parameters.get("required", ()):
        schema = dict(properties[name])
        if "x-artifact" in schema:
            alive = schema["enum"]
            named = [handle for handle in alive if re.search(rf"\b{handle}\b", request)]
            schema["enum"] = named or [handle for handle in alive if handle in attached] or alive[-1:]
        is_free_text = schema.get("type") == "string" and "enum" not in schema
        value = (
            _literal(json.dumps(request, ensure_ascii=False))
            if is_free_text
            else f"%json {json.dumps(_strict(schema))}"
        )
        values.append(f"{_literal(json.dumps(name) + ': ')} {value}")
    head = _literal(f'{{"name": "{tool.name}", "parameters": {{')
    body = ' ", " '.join(values)
    return f'start: {head} {body} "}}}}"'


def quote_grammar(texts: Sequence[str]) -> str:
    """Write the grammar of an answer that is a run of whole lines of one block (between blank lines) of `texts`."""
    blocks = [block for text in texts for block in re.split(r"\n\s*\n", text.strip()) if block] or ["Done."]
    rules = [
        f"QUOTE_{i}: %regex {json.dumps({'substring_chunks': block.splitlines(keepends=True)})}"
        for i, block in enumerate(blocks)
    ]
    return "\n".join([f"start: {' | '.join(f'QUOTE_{i}' for i in range(len(blocks)))}", *rules])


def _literal(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)


def _strict(schema: Any) -> dict[str, Any]:
    """Ask llguidance for JSON without free white space, which small models fill pages with."""
    clean = {key: value for key, value in schema.items() if key != "x-artifact"}
    return {
        **clean,
        "x-guidance": {"whitespace_flexible": False, "item_separator": ", ", "key_separator": ": "},
    }
