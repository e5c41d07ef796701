"""Writes the grammars a reply stays in, in llguidance's Lark dialect, and reads calls that came with or without.

Knows tool schemas and text, no token and no model.
"""

from __future__ import annotations

import json
import re
import uuid
from collections.abc import Sequence
from typing import Any

from assistant.types import ToolCall, ToolSpec

CALL_OPENERS = ("{", "```json", "```\n{", "<|python_tag|>", "<tool_call>")
UNREADABLE = "not valid JSON"  # no tool has this argument, so the check of arguments tells the model what was wrong


def read_call(text: str) -> ToolCall | str:
    """Read a call; text that is none (it was cut off by the length limit) stays text."""
    try:
        call = json.loads(text)
        return ToolCall(uuid.uuid4().hex[:8], call["name"], call["parameters"])
    except (ValueError, KeyError, TypeError):
        return text


def may_be_call(text: str) -> bool:
    """Tell whether a reply without a grammar begins like a call, or is still too short to tell."""
    text = text.lstrip()
    return any(text.startswith(opener) or opener.startswith(text) for opener in CALL_OPENERS)


def find_call(text: str, tools: Sequence[ToolSpec]) -> ToolCall | str:
    """Read a call that a model without a grammar wrote as text: fenced, tagged, or cut off.

    A call of no offered tool becomes a sentence; text that is no call stays text.
    """
    body = text.strip().removesuffix("</tool_call>").rstrip("`\n ")
    head = re.search(r'"name"\s*:\s*"([^"]*)"\s*,\s*"(?:parameters|arguments)"\s*:\s*', body)
    if head is None:
        return text
    if head[1] not in {tool.name for tool in tools}:
        return f"The model tried to call {head[1]!r}, which is none of its tools. Ask again in other words."
    given = body[head.end() :]
    for braces in ("", "}"):
        try:
            arguments = read_arguments(json.JSONDecoder().raw_decode(given + braces)[0])
            return ToolCall(uuid.uuid4().hex[:8], head[1], arguments)
        except ValueError:
            continue
    return ToolCall(uuid.uuid4().hex[:8], head[1], {UNREADABLE: given})


def read_arguments(given: Any) -> dict[str, Any]:
    """Read arguments that may be JSON, JSON in a string, or cut off, which the check of arguments then refuses."""
    read = given
    for _ in range(2):  # some servers wrap the text of the arguments into a string once more
        if isinstance(read, str) and read.strip():
            try:
                read = json.loads(read)
            except ValueError:
                break
    if isinstance(read, dict):
        return read
    return {UNREADABLE: given} if given else {}


def call_grammar(tools: Sequence[ToolSpec]) -> str:
    """Write the grammar "one valid call, or words that do not begin like one"."""
    names = " | ".join(f"call_{i}" for i in range(len(tools)))
    rules = [
        f'call_{i}: {_literal(f"""{{"name": "{tool.name}", "parameters": """)} '
        f'%json {json.dumps(_strict(tool.parameters))} "}}"'
        for i, tool in enumerate(tools)
    ]
    return "\n".join([f"start: words | {names}", r"words: /[^{\s](.|\n)*/", *rules])


def find_problem(tool: ToolSpec) -> str | None:
    """Say why no model can be held to the parameters of `tool`, or return None."""
    from llguidance import LLMatcher

    failed, complaints = LLMatcher.validate_grammar_with_warnings(LLMatcher.grammar_from_lark(call_grammar([tool])))
    if not failed:
        return None
    complaint = " ".join(complaints[0].split("\n   1 |")[0].split())  # without the grammar that it shows
    return complaint.partition("failed to compile JSON schema: ")[2] or complaint


def guided_grammar(tool: ToolSpec, request: str, attached: Sequence[str]) -> str:
    """Write the grammar of a call of `tool` with only its required arguments; free text is the request itself.

    A file is one that the request names, else one of those last `attached`, else the latest there is.
    """
    properties = tool.parameters.get("properties", {})
    kinds = {key: value for key, value in tool.parameters.items() if key == "$defs"}  # what a schema may refer to
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
            else f"%json {json.dumps(_strict(schema | kinds))}"
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
    """Ask llguidance for JSON without free white space, which small models fill pages with.

    What it cannot hold a model to (distinct items, rare formats) is left to the check of arguments.
    """
    clean = {key: value for key, value in schema.items() if key != "x-artifact"}
    return {
        **clean,
        "x-guidance": {
            "whitespace_flexible": False,
            "item_separator": ", ",
            "key_separator": ": ",
            "lenient": True,
        },
    }
