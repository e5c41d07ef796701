"""Writes the grammar of a call's arguments whose texts are words that a person has said, in llguidance's Lark dialect.

Knows schemas and words, no tool by name, no model. A small model that may write anything invents; here a text is a run
of words of what was said, or, to change an earlier argument ("now make it blue"), made of such words.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

from assistant.choosing.text import RESULT
from assistant.grammars import strict

CHUNK = re.compile(r"\w+|\s+|[^\w\s]")
LINKS = ("a", "an", "the", "and", "with", "in", "at", "of", "no", "on", "as")
MOST_WORDS = 24  # of a text that is made anew
LONGEST_ITEMS = 10


def said_grammar(
    schemas: Mapping[str, Any],
    required: Sequence[str],
    said: Sequence[str],
    earlier: Mapping[str, Any] | None = None,
    has_result: bool = False,
) -> str:
    """Write the grammar of a JSON object with all `required` and any other members, in the order of `schemas`.

    Args:
        schemas: The JSON schema of each member.
        required: Names of members that must be there.
        said: What the person said, the message first.
        earlier: The arguments of the last call, if it was of the same tool; its texts may be changed.
        has_result: Whether a text may be `RESULT`, what the last tool returned.
    """
    texts = [*said, *(value for value in (earlier or {}).values() if isinstance(value, str))]
    rules = [f"SAID_{i}: {_run(text)}" for i, text in enumerate(texts) if text.strip()]
    sources = [rule.partition(":")[0] for rule in rules]
    changed = earlier is not None and any(isinstance(value, str) for value in earlier.values())
    if changed:
        rules.append(f"MADE: {_made_of(texts)}")
        sources.append("MADE")
    if has_result:
        rules.append(f"RESULT: {_quoted(RESULT)}")
        sources.append("RESULT")
    names = list(schemas)
    rules += [f"text: {_quoted(chr(34))} ({' | '.join(sources)}) {_quoted(chr(34))}"] if sources else []
    longest = max(map(len, texts))
    rules += [
        f"member_{i}: {_quoted(json.dumps(name) + ': ')} {_value(schemas[name], longest)}"
        for i, name in enumerate(names)
    ]
    return "\n".join([f"start: {_members(names, required)}", *_rests(names, required), *rules])


def _members(names: Sequence[str], required: Sequence[str]) -> str:
    """Write the object: which member may come first, then the rest; the comma stands before each but the first."""
    firsts = []
    for i, name in enumerate(names):
        firsts.append(f"member_{i} rest_{i + 1}")
        if name in required:
            break
    else:
        firsts.append('""')
    return f"{_quoted('{')} ({' | '.join(firsts)}) {_quoted('}')}"


def _rests(names: Sequence[str], required: Sequence[str]) -> list[str]:
    rules = [f'rest_{len(names)}: ""']
    for i, name in enumerate(names[1:], 1):
        member = f"{_quoted(', ')} member_{i}"
        rules.append(f"rest_{i}: {member if name in required else f'({member})?'} rest_{i + 1}")
    return rules


def _value(schema: Mapping[str, Any], longest: int) -> str:
    """Write the grammar of one value: words that were said, where any would do, else what the schema allows."""
    node = dict(next((part for part in schema.get("anyOf", ()) if part.get("type") != "null"), schema))
    if _is_free(node, longest):
        return "text"
    if node.get("type") == "array" and _is_free(node.get("items", {}), longest):
        least, most = max(node.get("minItems", 1), 1), min(node.get("maxItems", LONGEST_ITEMS), LONGEST_ITEMS)
        return f"{_quoted('[')} text ({_quoted(', ')} text){{{least - 1},{max(most, least) - 1}}} {_quoted(']')}"
    kinds = {key: value for key, value in schema.items() if key == "$defs"}  # what a schema may refer to
    return f"%json {json.dumps(strict(node | kinds))}"


def _is_free(node: Mapping[str, Any], longest: int) -> bool:
    """Tell whether a value may be any of the texts, the longest of them too."""
    if node.get("type") != "string" or {"enum", "const", "format", "pattern"} & set(node):
        return False
    return bool(node.get("minLength", 0) <= 1 and node.get("maxLength", longest) >= longest)


def _run(text: str) -> str:
    """Write a run of whole words of `text`, not empty, as it stands in a JSON string."""
    chunks = [json.dumps(chunk, ensure_ascii=False)[1:-1] for chunk in CHUNK.findall(text)]
    return f"%regex {json.dumps({'substring_chunks': chunks})} & /[^ ](.|\\n)*/"


def _made_of(texts: Sequence[str]) -> str:
    """Write a sequence of words of `texts` and words that link them."""
    words = {json.dumps(word, ensure_ascii=False)[1:-1] for text in texts for word in re.findall(r"[\w'-]+", text)}
    some = "|".join(re.escape(word).replace("/", r"\/") for word in sorted({*words, *LINKS}))
    return f"/({some})(,? ({some})){{0,{MOST_WORDS}}}/"


def _quoted(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)
