"""The requests that tool choice is judged by are well formed: they name only tools, arguments and files there are."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest

import plugins
from assistant.registry import discover
from tests.conftest import DATA

Row = dict[str, Any]
CASES = ("tool_requests.jsonl", "unseen_requests.jsonl")
KEYS = {"user", "attachments", "history", "tool", "args", "category", "half"}
TALK = {"chat", "missing", "absent"}
CATEGORIES = TALK | {"single", "follow-up", "two-step", "korean"}
NAMED = [
    "identify_plant",
    "roll_dice",
    "sunset_time",
    "find_rhymes",
    "split_bill",
    "ferry_times",
    "morse_code",
    "document_reading_time",
    "guitar_chord",
    "make_meme",
]
BUILT_IN = {tool.name: tool for tool in discover(plugins)}
UNSEEN = {one["function"]["name"]: one for one in json.loads((DATA / "unseen_tools.json").read_text(encoding="utf-8"))}


def rows(name: str) -> list[Row]:
    return [json.loads(line) for line in (DATA / name).read_text(encoding="utf-8").splitlines()]


def parameters(name: str) -> dict[str, dict[str, Any]]:
    """Map the tools that the requests of the file `name` are for to the schemas of their parameters."""
    if name == CASES[0]:
        return {tool.name: tool.parameters() for tool in BUILT_IN.values()}
    return {tool: one["function"]["parameters"] for tool, one in UNSEEN.items()}


def handles(row: Row) -> list[str]:
    return [file if isinstance(file, str) else file["id"] for file in row["attachments"]]


def calls(row: Row) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield every tool with its arguments: those of earlier turns, the wanted one, and those that follow it."""
    for turn in (*row["history"], row, *row.get("then", ())):
        if turn["tool"] != "reply":
            yield turn["tool"], turn["args"]


def files_named(schema: dict[str, Any], args: dict[str, Any]) -> list[tuple[str, str]]:
    """Return (kind, handle) for every file among `args`."""
    kinds = {key: node.get("x-artifact") for key, node in schema["properties"].items()}
    return [(kinds[key], value) for key, value in args.items() if kinds[key]]


@pytest.mark.parametrize("name", CASES)
def test_every_request_has_its_keys_and_a_known_category_and_half(name: str) -> None:
    for row in rows(name):
        extra = {"then", "results"} if row["category"] == "two-step" else set()
        assert row.keys() == KEYS | extra, row["user"]
        assert row["category"] in CATEGORIES, row["user"]
        assert row["half"] == "test" or (row["half"] == "development" and row["category"] != "korean"), row["user"]
        assert all(turn.keys() == {"user", "tool", "args", "result"} for turn in row["history"]), row["user"]
        assert row["history"] or row["category"] != "follow-up", row["user"]
        assert len(row.get("then", ())) == len(row.get("results", ())), row["user"]


@pytest.mark.parametrize("name", CASES)
def test_tools_and_arguments_exist(name: str) -> None:
    schemas = parameters(name)
    for row in rows(name):
        assert (row["tool"] == "reply") == (row["category"] in TALK) or row["category"] == "korean", row["user"]
        assert row["args"] == {} or row["tool"] != "reply", row["user"]
        for tool, args in calls(row):
            assert tool in schemas, row["user"]
            assert args.keys() <= schemas[tool]["properties"].keys(), row["user"]


def test_earlier_calls_are_ones_that_the_tools_take() -> None:
    for row in rows(CASES[0]):
        for turn in row["history"]:
            if turn["tool"] != "reply":
                BUILT_IN[turn["tool"]].check(turn["args"])


@pytest.mark.parametrize("name", CASES)
def test_files_in_arguments_are_alive_and_required_ones_are_named(name: str) -> None:
    schemas = parameters(name)
    for row in rows(name):
        alive = handles(row)
        made = f"image-{1 + sum(handle.startswith('image') for handle in alive)}"  # by the first of two steps
        assert len(alive) == len(set(alive)), row["user"]
        assert all(re.fullmatch(r"(image|document)-[1-9]", handle) for handle in alive), row["user"]
        for tool, args in calls(row):
            there = [*alive, made] if args in [step["args"] for step in row.get("then", ())] else alive
            for kind, handle in files_named(schemas[tool], args):
                assert handle in there, row["user"]
                assert handle.startswith(kind), row["user"]
            required = (key for key in schemas[tool]["required"] if "x-artifact" in schemas[tool]["properties"][key])
            assert all(key in args for key in required), row["user"]


def test_no_request_occurs_twice() -> None:
    said = Counter(re.sub(r"\W+", " ", row["user"].lower()).strip() for name in CASES for row in rows(name))
    examples = [example for tool in BUILT_IN.values() for example in tool.examples]
    examples += [example for one in UNSEEN.values() for example in one["x-examples"]]
    said.update(re.sub(r"\W+", " ", example.lower()).strip() for example in examples)
    assert [words for words, times in said.items() if times > 1] == []


def test_there_are_enough_requests_for_every_tool_in_both_halves() -> None:
    built_in = rows(CASES[0])
    assert sum(row["category"] == "korean" for row in built_in) >= 12
    assert sum(row["category"] != "korean" for row in built_in) >= 200
    asked = Counter((row["tool"], row["half"]) for row in built_in)
    assert all(asked[tool, half] >= 3 for tool in BUILT_IN for half in ("development", "test")), asked


def test_there_are_enough_requests_for_unseen_tools() -> None:
    asked = Counter(row["tool"] for row in rows(CASES[1]) if row["category"] == "single")
    assert sum(asked[tool] for tool in NAMED) >= 40
    assert all(asked[tool] >= 4 for tool in NAMED), asked
    assert UNSEEN.keys() <= asked.keys()


def test_unseen_tools_are_none_of_the_built_in_ones() -> None:
    assert len(UNSEEN) == 20
    assert UNSEEN.keys().isdisjoint(BUILT_IN)
    for one in UNSEEN.values():
        assert len(one["x-examples"]) == 3
        assert set(one["function"]["parameters"]["required"]) <= one["function"]["parameters"]["properties"].keys()
