"""Every spelling of a call that models were seen to write is read, and words about calls stay words."""

from __future__ import annotations

import json
from typing import Any

import pytest

from assistant.formats.calls import Draft, find_calls, read_arguments
from assistant.formats.loose_json import Unreadable, read_value
from assistant.types import ToolCall
from tests.conftest import DEMO_TOOLS

SPECS = [tool.spec([], {}) for tool in DEMO_TOOLS]
COUNT = ("count_letters", {"text": "lamp"})
FAIL = ("break_down", {})
TURN = ("turn_image", {"image": "image-1", "degrees": 45})
NAME = '"name": "count_letters"'
GIVEN = '{"text": "lamp"}'
CALL = f'{{{NAME}, "parameters": {GIVEN}}}'
OTHER = '{"name": "break_down", "arguments": {}}'
SENTENCE = "The model tried to call 'fly', which is none of its tools. Ask again in other words."

ONE_CALL = [
    CALL,
    f" \n{CALL}\n",
    CALL.replace("parameters", "arguments"),
    CALL.replace(" ", ""),
    CALL.replace(", ", ",\n    "),
    f'{{"parameters": {GIVEN}, {NAME}}}',
    f'{{"arguments": {GIVEN}, {NAME}}}',
    f'{{"id": "call_1", "type": "function", {NAME}, "arguments": {GIVEN}}}',
    f'{{"type": "function", "function": {{{NAME}, "arguments": {GIVEN}}}}}',
    f'{{"function": {{{NAME}, "parameters": {GIVEN}}}}}',
    f'{{"function": {{"parameters": {GIVEN}, {NAME}}}, "type": "function"}}',
    f'{{"type": "function", "function": "count_letters", "parameters": {GIVEN}}}',
    f'{{"function": "count_letters", "arguments": {GIVEN}}}',
    f'{{"tool_calls": [{CALL}]}}',
    f"[{CALL}]",
    f"[ {CALL} ]\n",
    CALL.replace(GIVEN, json.dumps(GIVEN)),
    f"```json\n{CALL}\n```",
    f"```\n{CALL}\n```",
    f"```python\n{CALL}\n```",
    f"```{CALL}```",
    f"<tool_call>\n{CALL}\n</tool_call>",
    f"<tool_call>{CALL}</tool_call>",
    f"<tool_call>\n```json\n{CALL}\n```\n</tool_call>",
    f"<tool_call>\n{CALL}",
    f"<|python_tag|>{CALL}",
    f"<|python_tag|>{CALL}<|eom_id|>",
    f"[TOOL_CALLS] [{CALL}]",
    f"[TOOL_CALLS][{CALL[:-1]}, " + '"id": "abc123XYZ"}]',
    f"[TOOL_CALLS]count_letters[ARGS]{GIVEN}",
    f"[TOOL_CALLS]count_letters{GIVEN}",
    f"[TOOL_CALLS]count_letters[CALL_ID]abc123XYZ[ARGS]{GIVEN}",
    f"<function=count_letters>{GIVEN}</function>",
    f"<function=count_letters>{GIVEN}",
    f"<function=count_letters>\n{GIVEN}\n</function>",
    f"<tool_call>\n<function=count_letters>{GIVEN}</function>\n</tool_call>",
    "{'name': 'count_letters', 'parameters': {'text': 'lamp'}}",
    "{'name': 'count_letters', \"parameters\": {'text': \"lamp\"}}",
    f'{{{NAME}, "parameters": {{"text": "lamp",}},}}',
    f"[{CALL},]",
    CALL[:-1],
    CALL[:-2],
    f"```json\n{CALL[:-1]}\n```",
    f"<tool_call>\n{CALL[:-2]}\n</tool_call>",
    f"[{CALL}",
    f"{CALL}\nThat is the call.",
    f"{CALL};",
    f"{CALL}<|eot_id|>",
]
SEVERAL: list[tuple[str, list[Any]]] = [
    (f"{CALL}\n{OTHER}", [COUNT, FAIL]),
    (f"{CALL}; {OTHER}", [COUNT, FAIL]),
    (f"[{CALL}, {OTHER}]", [COUNT, FAIL]),
    (f"<tool_call>\n{CALL}\n</tool_call>\n<tool_call>\n{OTHER}\n</tool_call>", [COUNT, FAIL]),
    (f"<tool_call>{CALL}</tool_call> and <tool_call>{OTHER}</tool_call>", [COUNT, FAIL]),
    (f"[TOOL_CALLS][{CALL}, {OTHER}]", [COUNT, FAIL]),
    (f"[TOOL_CALLS]count_letters[ARGS]{GIVEN}[TOOL_CALLS]break_down[ARGS]{{}}", [COUNT, FAIL]),
    (f"<function=count_letters>{GIVEN}</function><function=break_down>{{}}</function>", [COUNT, FAIL]),
    (f"```json\n{CALL}\n```\n```json\n{OTHER}\n```", [COUNT, FAIL]),
    (f"{CALL}\n{CALL}", [COUNT, COUNT]),
    (f'{CALL}\n{{"name": "fly", "parameters": {{}}}}', [COUNT, SENTENCE]),
    (f'{{"tool_calls": [{CALL}, {OTHER}]}}', [COUNT, FAIL]),
    ('{"name": "break_down"}', [FAIL]),
    ('{"name": "break_down", "parameters": null}', [FAIL]),
    ('{"name": "break_down", "parameters": ""}', [FAIL]),
    ("<function=break_down>{}</function>", [FAIL]),
    ('{"name": "turn_image", "parameters": {"image": "image-1", "degrees": 45}}', [TURN]),
    ("{'name': 'break_down', 'parameters': {'loudly': True}}", [("break_down", {"loudly": True})]),
    ("{'name': 'break_down', 'parameters': {'loudly': None}}", [("break_down", {"loudly": None})]),
    ('{"name": "break_down", "parameters": {"loudly": False,}}', [("break_down", {"loudly": False})]),
    (CALL.replace("lamp", "it's"), [("count_letters", {"text": "it's"})]),
    (CALL.replace("lamp", r"it\'s"), [("count_letters", {"text": "it's"})]),
    (CALL.replace("lamp", "two\nlines"), [("count_letters", {"text": "two\nlines"})]),
    (CALL.replace("lamp", r"a \"quote\" {"), [("count_letters", {"text": 'a "quote" {'})]),
    (CALL.replace("lamp", "</tool_call>"), [("count_letters", {"text": "</tool_call>"})]),
    (r"{'name': 'count_letters', 'parameters': {'text': 'it\'s'}}", [("count_letters", {"text": "it's"})]),
    (f"I will count.\n{CALL}", ["I will count.", COUNT]),
    (f"I will count.\n\n```json\n{CALL}\n```\n", ["I will count.", COUNT]),
    (f"I will count. <tool_call>\n{CALL}\n</tool_call>", ["I will count.", COUNT]),
    (f"Let me see: <function=count_letters>{GIVEN}</function> Done.", ["Let me see:", COUNT]),
    ('{"name": "fly", "parameters": {}}', [SENTENCE]),
    ('<tool_call>{"name": "fly", "arguments": {}}</tool_call>', [SENTENCE]),
    ("<function=fly>{}</function>", [SENTENCE]),
]
UNREAD = [
    ('{"name": "count_letters", "parameters": {"text": "la', '"la'),
    ('{"name": "count_letters", "parameters": {"text"', "cut off"),
    ('{"name": "count_letters", "parameters": {', "cut off"),
    ('{"name": "count_letters", "parameters": {"text": lamp}}', "lamp}}"),
    ('{"name": "count_letters", "parameters": {"text": "a" "b"}}', '"b"}}'),
    ("{'name': 'count_letters', 'parameters': {'text': 'it's'}}", "'it's'}}"),
    ('{"name": "count_letters", "parameters": "lamp"}', "lamp"),
    ('{"name": "count_letters", "parameters": [1]}', "[1]"),
    ('{"name": "turn_image", "parameters": {"image": "image-1", "degrees": 4', "4"),
    ('<tool_call>\n{"name": "count_letters", "arguments": {"text": "la', '"la'),
    ('<function=count_letters>{"text": "la', '"la'),
    ("<function=count_letters>", "cut off"),
    ("<function=count_letters>\n<parameter=text>\nlamp\n</parameter>", "<parameter=text>"),
    ('[TOOL_CALLS]count_letters[ARGS]{"te', '"te'),
]
WORDS = [
    "Hello.",
    '{"name": "Anna", "age": 5}',
    '{"name": "Anna"}',
    '{"a": 1}',
    "{",
    "[1, 2]",
    "[A link](https://a.b)",
    '```json\n{"a": 1}\n```',
    "```python\nprint({})\n```",
    f"To count I would write {CALL}",
    f"To count, write\n{CALL}\nand wait.",
    f"To count, write\n```json\n{CALL}\n```\nand wait.",
    'A call of another program:\n{"name": "fly", "parameters": {}}',
    "A call begins with <tool_call> and ends with </tool_call>.",
    "Write [TOOL_CALLS] before it.",
    "<function=name> is how Llama does it.",
    "a < b and c[0] > d",
    '{"name": "break_down"',  # cut off before its arguments
    '{"name": "count_lett',
    json.dumps({"name": "count_letters", "description": "Count.", "parameters": {"type": "object"}}),
    json.dumps([{"name": "count_letters", "arguments": {"text": "a"}}, {"name": "Anna"}]),
]


def told(parts: list[ToolCall | str]) -> list[Any]:
    return [(part.name, dict(part.arguments)) if isinstance(part, ToolCall) else part for part in parts]


def stream(text: str, step: int = 1) -> tuple[str, list[Any]]:
    """Let a reply come in pieces; return what was said at once and what came at the end."""
    draft = Draft(SPECS)
    said = "".join(draft.take(text[at : at + step]) for at in range(0, len(text), step))
    return said, told(draft.end())


@pytest.mark.parametrize("text", ONE_CALL)
def test_a_call_is_read_however_it_is_spelt(text: str) -> None:
    assert told(find_calls(text, SPECS)) == [COUNT]
    assert stream(text) == ("", [COUNT])


@pytest.mark.parametrize(("text", "parts"), SEVERAL)
def test_calls_are_read_in_order_with_the_words_before_them(text: str, parts: list[Any]) -> None:
    assert told(find_calls(text, SPECS)) == parts
    for step in (1, 7, len(text)):
        said, rest = stream(text, step)
        assert [said.rstrip(), *rest] == parts if said.strip() else rest == parts


@pytest.mark.parametrize(("text", "lost"), UNREAD)
def test_what_cannot_be_read_is_named_to_the_model(text: str, lost: str) -> None:
    (call,) = find_calls(text, SPECS)
    assert isinstance(call, ToolCall)
    (key,) = call.arguments
    assert key.startswith("not valid JSON ") and lost in key.replace("\\", "")
    checked = next(tool for tool in DEMO_TOOLS if tool.name == call.name)
    with pytest.raises(Exception, match="not valid JSON"):
        checked.check(call.arguments)


@pytest.mark.parametrize(
    "text", ['{"parameters": {"text": "la', '<tool_call>{"arguments": {"text": "la', "<tool_call>{x"]
)
def test_a_call_without_a_name_that_can_be_read_becomes_a_sentence(text: str) -> None:
    (part,) = find_calls(text, SPECS)
    assert isinstance(part, str)
    assert part.startswith("The model began a call that cannot be read from ") and part.endswith(" on. Ask again.")


@pytest.mark.parametrize("text", WORDS)
def test_words_about_json_stay_words(text: str) -> None:
    assert find_calls(text, SPECS) == [text]
    for step in (1, 5, len(text)):
        said, rest = stream(text, step)
        assert said + "".join(rest) == text


@pytest.mark.parametrize(
    ("text", "at_once"),
    [
        ("Well, {}", "Well, {}"),
        ("a < b", "a < b"),
        ("```python\nx = 1\n```\nSo.", "```python\nx = 1\n```\nSo."),
        ('{"a": 1}', '{"a": 1}'),
        ("See\n[1] here", "See\n[1] here"),
        ('See\n{"name": "x"}', "See\n"),
        ("one <tool", "one "),
    ],
)
def test_only_what_may_become_a_call_is_held_back(text: str, at_once: str) -> None:
    assert stream(text)[0] == at_once


def test_without_tools_everything_is_words() -> None:
    draft = Draft([])
    assert draft.take(CALL) == CALL
    assert draft.end() == []


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("[1, -2.5, 1e3]", [1, -2.5, 1000.0]),
        ("[true, None, 'a', \"b\"]", [True, None, "a", "b"]),
        ('{"a": {"b": [', None),
        ('{"a": [1, 2], "b": "x"', {"a": [1, 2], "b": "x"}),
        ('{"a": 1,, "b": 2}', None),
        ('{"a" 1}', None),
        ("{a: 1}", None),
        ('{"a": 12', None),
        ('"\\q"', None),
        ("[" * 100_000, None),
        ("[Nonesuch]", None),
    ],
)
def test_json_is_read_loosely_but_never_guessed(text: str, value: Any) -> None:
    if value is None:
        with pytest.raises(Unreadable):
            read_value(text)
    else:
        assert read_value(text) == (value, len(text))


@pytest.mark.parametrize("given", [None, "", {}, "{}", '"{}"'])
def test_no_arguments_are_none(given: Any) -> None:
    assert read_arguments(given) == {}
