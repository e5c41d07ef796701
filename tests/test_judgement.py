"""The embedded model chooses the right tool, or none, on requests that were written by hand.

The floors are below what was measured, so that another machine's rounding does not fail them; the figures stand in
models/tool_choice/README.md.
"""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from assistant import Assistant
from assistant.llama import LlamaChat
from bench._cases import Case, Outcome, Tools, try_case
from training.tool_choice.calibrate import sets

SETS = {name: (cases, tools) for name, cases, tools in sets("development")}
FLOORS = {"built-in tools": 0.88, "unseen tools, three examples": 0.8, "unseen tools, no examples": 0.75}


def outcomes(maru: Assistant, cases: Sequence[Case], tools: Tools) -> list[Outcome]:
    model = LlamaChat(maru.settings)
    return [try_case(model, case, tools) for case in cases]


@pytest.mark.parametrize("name", FLOORS)
def test_most_requests_get_the_right_tool_and_every_call_is_valid(maru: Assistant, name: str) -> None:
    cases, tools = SETS[name]
    told = outcomes(maru, cases, tools)
    wrong = [(each.case.user, each.case.tool, each.name) for each in told if not each.tool_right]
    assert 1 - len(wrong) / len(told) >= FLOORS[name], wrong
    complaints = [tools.complaint(each.name, each.arguments) for each in told if each.name != "reply"]
    assert complaints and not any(complaints), complaints
    if name == "built-in tools":
        talk = [each for each in told if each.case.category == "chat"]
        assert sum(each.name != "reply" for each in talk) <= len(talk) // 20
