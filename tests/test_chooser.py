"""The right tool, or none, on requests written by hand; the floors are for the half that no number was set on."""

from __future__ import annotations

import json

import pytest

from assistant import Assistant
from assistant.chooser import choose_tool
from assistant.types import Artifact, ToolCall, ToolResult, ToolSpec
from tests.conftest import DATA, LETTER

IMAGE = Artifact("image-1", "image", "image/png", "a.png", "aa", 1)
DOCUMENT = Artifact("document-1", "document", "text/plain", "a.txt", "bb", 1)
FILES = {"none": [], "image": [IMAGE], "read": [IMAGE], "documents": [DOCUMENT]}
READ = ToolResult(ToolCall("1", "read_text", {"image": "image-1"}), "\n".join(LETTER))
GARDEN = """# Garden notes
Tomatoes need six hours of sun and water twice a week. Plant them after the last frost.
# Compost
Turn the heap every three weeks. Add brown leaves when it smells."""
KETTLE = (
    "The warranty of the Brunel kettle lasts 27 months. Keep the receipt. Descale it every two months with vinegar."
)


def chosen(maru: Assistant, row: dict[str, str], specs: list[ToolSpec]) -> str:
    earlier = [READ] if row["state"] == "read" else []
    tool = choose_tool(row["user"], specs, earlier)
    return tool.name if tool else "reply"


@pytest.fixture
def outcomes(maru: Assistant, tmp_path) -> dict[str, list[tuple[dict[str, str], str]]]:
    """Each request with what was chosen, by half."""
    (tmp_path / "garden.md").write_text(GARDEN)
    (tmp_path / "kettle.txt").write_text(KETTLE)
    rows = [json.loads(line) for line in (DATA / "requests.jsonl").read_text().splitlines()]
    halves: dict[str, list[tuple[dict[str, str], str]]] = {"development": [], "test": []}
    for row in sorted(rows, key=lambda row: row["state"] == "documents"):  # the library is empty for the others
        if row["state"] == "documents" and not maru.library.documents():
            maru.call("add_to_library", document=str(tmp_path / "garden.md"))
            maru.call("add_to_library", document=str(tmp_path / "kettle.txt"))
        specs = maru._registry.offered(FILES[row["state"]])
        halves[row["half"]].append((row, chosen(maru, row, specs)))
    return halves


def test_most_requests_get_the_right_tool(outcomes: dict[str, list[tuple[dict[str, str], str]]]) -> None:
    for half, floor in (("development", 0.9), ("test", 0.8)):
        wrong = [(row["user"], row["tool"], got) for row, got in outcomes[half] if got != row["tool"]]
        share = 1 - len(wrong) / len(outcomes[half])
        assert share >= floor, f"{share:.1%} of {len(outcomes[half])} in the {half} half; wrong: {wrong}"


def test_small_talk_calls_no_tool(outcomes: dict[str, list[tuple[dict[str, str], str]]]) -> None:
    talk = [(row["user"], got) for half in outcomes.values() for row, got in half if row["tool"] == "reply"]
    called = [(user, got) for user, got in talk if got != "reply"]
    assert len(called) <= len(talk) // 10, called


def test_no_tools_and_no_words_choose_nothing(maru: Assistant) -> None:
    assert choose_tool("read this", [], []) is None
    assert choose_tool("  ", maru._registry.offered([IMAGE]), []) is None
