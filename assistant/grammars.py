"""Writes the grammars a reply stays in, in llguidance's Lark dialect. Knows tool schemas and text, no model.

Of tokens it knows the ids of those that stand around a call, where it is given them.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

from assistant.types import ToolSpec

Part = str | int | None
"""What stands around a call: text, a control token by its id, or (None) nine letters and digits, the call's own id."""


@dataclass(frozen=True, slots=True)
class CallStyle:
    """How a model writes a call: what stands before its name, between that and the arguments, and behind them."""

    before: tuple[Part, ...] = ('{"name": "',)
    between: tuple[Part, ...] = ('", "parameters": ',)
    behind: tuple[Part, ...] = ("}",)


SHORT = 1000  # characters of a result that is quoted whole

JSON_STYLE = CallStyle()
"""Llama-3.1's, and that of every model that is told its tools by our own prompt."""


def call_grammar(tools: Sequence[ToolSpec], style: CallStyle = JSON_STYLE) -> str:
    """Write the grammar "one valid call, or words that do not begin like one".

    Where calls have a mark of their own, such as a control token, words may stand before it.
    """
    names = " | ".join(f"call_{i}" for i in range(len(tools)))
    mark, before = _split_mark(style.before)
    rules = [
        f"call_{i}: {_sequence((*before, tool.name, *style.between))} "
        f"%json {json.dumps(strict(tool.parameters))}{_behind(style)}"
        for i, tool in enumerate(tools)
    ]
    words = r"words: /[^{\s](.|\n)*/"
    if mark is None:
        return "\n".join([f"start: words | {names}", words, *rules])
    if isinstance(mark, int):  # which no words contain
        return "\n".join([f"start: words | words? <[{mark}]> ({names})", words, *rules])
    sign = re.escape(mark).replace("/", r"\/")
    marked = rf"marked[lazy]: /([^{{\s](.|\n)*)?{sign}/"  # lazy: what follows the mark can only be a call
    return "\n".join([f"start: words | marked ({names})", words, marked, *rules])


def _split_mark(before: tuple[Part, ...]) -> tuple[int | str | None, tuple[Part, ...]]:
    """Take off what tells a call from words at its first sign, where that is not the call's own bracket."""
    first, *rest = before
    if isinstance(first, int):
        return first, tuple(rest)
    mark = re.split(r"[{\[]", first or "")[0].strip()
    return (mark, ((first or "").lstrip().removeprefix(mark), *rest)) if mark else (None, before)


def _behind(style: CallStyle) -> str:
    return f" {_sequence(style.behind)}" if style.behind else ""


def _sequence(parts: Sequence[Part]) -> str:
    """Write parts one after another, joining text that touches."""
    symbols: list[str] = []
    for is_text, group in groupby(parts, key=lambda part: isinstance(part, str)):
        if is_text:
            symbols.append(_literal("".join(str(part) for part in group)))
        else:
            symbols += ["/[a-zA-Z0-9]{9}/" if part is None else f"<[{part}]>" for part in group]
    return " ".join(symbols)


def find_problem(tool: ToolSpec) -> str | None:
    """Say why no model can be held to the parameters of `tool`, or return None."""
    from llguidance import LLMatcher

    failed, complaints = LLMatcher.validate_grammar_with_warnings(LLMatcher.grammar_from_lark(call_grammar([tool])))
    if not failed:
        return None
    complaint = " ".join(complaints[0].split("\n   1 |")[0].split())  # without the grammar that it shows
    return complaint.partition("failed to compile JSON schema: ")[2] or complaint


def quote_grammar(texts: Sequence[str]) -> str:
    """Write the grammar of an answer that quotes `texts`: of the last a run of whole lines of one block (between blank
    lines); the others, which the person wanted for themselves, as they are if they are short, else in the same way."""
    rules: list[str] = []
    quotes: list[str] = []
    for place, text in enumerate(texts, 1):
        if place < len(texts) and 0 < len(text.strip()) <= SHORT:
            quotes.append(_literal(text.strip()))
            continue
        first = len(rules)
        for block in [block for block in re.split(r"\n\s*\n", text.strip()) if block] or ["Done."]:
            chunks = {"substring_chunks": block.splitlines(keepends=True)}
            rules.append(f"QUOTE_{len(rules)}: %regex {json.dumps(chunks)} & /(.|\\n)+/")
        quotes.append(f"({' | '.join(f'QUOTE_{i}' for i in range(first, len(rules)))})")
    between = f" {_literal(chr(10) * 2)} "
    return "\n".join([f"start: {between.join(quotes)}", *rules])


def _literal(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)


def strict(schema: Any) -> dict[str, Any]:
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
