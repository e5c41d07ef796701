"""How well a model chooses tools: `--cases FILE` of requests with the right choice, `--tools FILE` of other tools.

The model is the one that the settings choose, a server's too. Each case is answered up to its first call or its first
words. The formats of both files are told in bench/README.md.
"""

from __future__ import annotations

import argparse
import json
import statistics
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from assistant.choosing.question import LISTED
from assistant.llama import LlamaChat
from assistant.narrowing import MOST
from assistant.nearness import nearness
from assistant.remote import RemoteChat
from assistant.residents import install
from assistant.settings import read_settings
from bench._cases import REPLY, Case, Outcome, Tools, builtin_tools, read_cases, read_tools, try_case
from bench._measure import Figure

CASES = Path(__file__).parents[1] / "tests" / "data" / "tool_requests.jsonl"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Tell what this benchmark takes."""
    parser.add_argument("--cases", type=Path, default=CASES, help="requests with the right choice, JSON lines")
    parser.add_argument("--tools", type=Path, help="tools in OpenAI's function form instead of the built-in ones")
    parser.add_argument("--half", choices=["development", "test"], help="only the cases of this half")
    parser.add_argument("--without-examples", action="store_true", help="take the example requests of the tools away")
    parser.add_argument("--wrong", action="store_true", help="print every case that went wrong, too")


def run(options: argparse.Namespace) -> Iterator[Figure]:
    """Yield one figure after another."""
    settings = read_settings()
    install(settings)
    model = (RemoteChat if settings.remote_url else LlamaChat)(settings)
    tools: Tools = read_tools(options.tools) if options.tools else builtin_tools()
    if options.without_examples:
        tools = tools.without_examples()
    cases = [case for case in read_cases(options.cases) if options.half in (None, case.half)]
    outcomes = []
    for case in [cases[0], *cases]:  # the first once more: it loads the models
        outcomes.append(try_case(model, case, tools))
        if options.wrong and not outcomes[-1].right and len(outcomes) > 1:
            yield _wrong(outcomes[-1])
    yield from figures(outcomes[1:], tools)
    for most in (LISTED, MOST):
        yield _recall(cases, tools, most)


def figures(outcomes: Sequence[Outcome], tools: Tools) -> Iterator[Figure]:
    """Sum up what came out: everything together, then each category."""
    yield from _shares("all", [o for o in outcomes if o.case.category != "korean"])
    for category in dict.fromkeys(outcome.case.category for outcome in outcomes):
        yield from _shares(category, [outcome for outcome in outcomes if outcome.case.category == category])
    calls = [outcome for outcome in outcomes if outcome.name != "reply"]
    yield _share("calls that validate", [tools.complaint(o.name, o.arguments) is None for o in calls])
    yield _share(
        "called where nothing was to be called", [o.name != "reply" for o in outcomes if o.case.tool == "reply"]
    )
    yield _share(
        "answered where a tool was to be called", [o.name == "reply" for o in outcomes if o.case.tool != "reply"]
    )
    chat = [outcome.excused for outcome in outcomes if outcome.case.category == "chat"]
    yield _share("talk answered by asking for a file or telling what is lacking", chat)
    seconds = sorted(outcome.seconds for outcome in outcomes)
    yield {
        "figure": "seconds to a choice",
        "median": round(statistics.median(seconds), 3),
        "of_ten_nine_under": round(seconds[len(seconds) * 9 // 10], 3),
        "tools": len(tools.names),
    }


def _shares(name: str, outcomes: Sequence[Outcome]) -> Iterator[Figure]:
    yield _share(f"{name}: tool right", [outcome.tool_right for outcome in outcomes])
    yield _share(f"{name}: tool and arguments right", [outcome.right for outcome in outcomes])


def _recall(cases: Sequence[Case], tools: Tools, most: int) -> Figure:
    """Tell how often the right tool is among the nearest that can be called; a follow-up is near to nothing."""
    found = []
    for case in cases:
        if case.tool != REPLY and not case.history and case.category != "korean":
            near = nearness(case.user, [tool for tool in tools.describe(case.attachments) if tool.callable])
            found.append(case.tool in sorted(near, key=lambda name: -near[name])[:most])
    return _share(f"right tool among the {most} nearest, first requests", found)


def _share(figure: str, rights: Sequence[bool]) -> Figure:
    share = round(sum(rights) / len(rights), 4) if rights else None
    return {"figure": figure, "share": share, "count": sum(rights), "of": len(rights)}


def _wrong(outcome: Outcome) -> Figure:
    case: Case = outcome.case
    expected: dict[str, Any] = {"tool": case.tool, "args": dict(case.args)}
    got = {"tool": outcome.name, "args": dict(outcome.arguments)}
    return {"wrong": case.user, "category": case.category, "expected": expected, "got": json.loads(json.dumps(got))}
