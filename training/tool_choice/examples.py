"""Writes training examples: a list of tools, different every time, and some requests with the choice to make.

Every list is new: other tools, order, names, wordings, argument names; half of the lists are near neighbours. Among
the requests are follow-ups, talk, and wishes that no listed tool can fulfil, without which a model learns to call
whatever is nearest instead of reading. Knows no model and no tokens.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from assistant.choosing.text import REPLY, RESULT, Before, ask, list_tools, write_choice
from assistant.types import Artifact
from training.tool_choice.casts import Cast, cast
from training.tool_choice.nearness import Nearness
from training.tool_choice.pool import (
    PoolTool,
    Said,
    Voice,
    draw_request,
    draw_slots,
    fill,
    meaning,
    read_edits,
    read_lines,
    read_pool,
)
from training.tool_choice.spelling import misspell

REQUESTS = 6  # of one list
SIZES = (2, 3, 4, 5, 6, 6, 7, 7, 7, 8, 8, 9)  # of lists; in use the six nearest stand there and those of the last turns


@dataclass(frozen=True, slots=True)
class Example:
    """What is asked and what is to be answered."""

    asked: str
    answer: str


@dataclass(frozen=True, slots=True)
class Pack:
    """A list of tools with independent requests to it."""

    tools: str
    examples: tuple[Example, ...]


Files = Sequence[Artifact]


class Writer:
    """Writes packs from a seed; the tools named in `held_out` appear nowhere."""

    def __init__(self, seed: int, held_out: Sequence[str] = ()) -> None:
        """Read and embed the pool."""
        self._seed = seed
        self._rng = random.Random(seed)
        self._tools = [tool for tool in read_pool() if tool.name not in held_out]
        self._builtin = [tool for tool in self._tools if tool.builtin]
        self._invented = [tool for tool in self._tools if not tool.builtin]
        self._near = Nearness(self._tools)
        self._lines = {
            key: list(zip(lines, self._near.talks(lines), strict=True))
            for key in ("lines", "knowledge")
            for lines in [read_lines("talk", key)]
        }
        self._edits, self._edit_slots = read_edits()
        self._kinds: list[tuple[float, Callable[[Sequence[Cast]], Example | None]]] = [
            (0.28, self._plain),
            (0.08, self._after_another),
            (0.14, self._follow_up),
            (0.05, self._other_file),
            (0.07, self._edit),
            (0.04, self._on_result),
            (0.05, self._pair),
            (0.09, self._talk),
            (0.05, self._talk_after),
            (0.03, self._knowledge),
            (0.12, self._absent),
            (0.02, self._absent_line),
        ]

    def write(self, number: int) -> Pack:
        """Write the pack of that number, the same every time."""
        self._rng = random.Random(f"{self._seed} {number}")
        casts = self._list()
        examples: list[Example] = []
        while len(examples) < REQUESTS:
            [(_, kind)] = self._rng.choices(self._kinds, [weight for weight, _ in self._kinds])
            if example := kind(casts):
                examples.append(example)
        return Pack(list_tools([item.spec for item in casts]), tuple(examples))

    def _list(self) -> list[Cast]:
        size, mix = self._rng.choice(SIZES), self._rng.random()
        if mix < 0.08:  # what is listed in a conversation without files
            bare = [tool for tool in self._builtin if not tool.files]
            return [cast(tool, self._rng) for tool in self._rng.sample(bare, len(bare))]
        pool = self._builtin if mix < 0.25 else self._invented if mix > 0.65 else self._tools
        anchor = self._rng.choice(self._builtin if mix < 0.45 else pool)
        if self._rng.random() < 0.5:
            near = [tool for tool in self._near.neighbours(anchor) if tool in pool][: 2 * size]
            others = self._rng.sample(near, min(size - 1, len(near)))
        else:
            others = self._rng.sample([tool for tool in pool if tool is not anchor], size - 1)
        casts: list[Cast] = []
        for tool in self._rng.sample([anchor, *others], 1 + len(others)):
            if any(self._near.same(tool, item.tool) for item in casts):
                continue
            casts.append(cast(tool, self._rng, [item.spec.name for item in casts]))
        return casts

    def _example(
        self, said: str, chosen: Cast | None, arguments: Any, files: Files, before: Sequence[Before]
    ) -> Example:
        name = chosen.spec.name if chosen else REPLY
        return Example(ask(said, files, before), write_choice(name, chosen.rename(arguments) if chosen else {}))

    def _request(self, tool: PoolTool, casts: Sequence[Cast]) -> Said | None:
        """Draw a request that is meant for `tool` and for no other of `casts`."""
        voice, request = self._rng.choice(tool.requests)
        if any(self._near.serves(tool, request, item.tool) for item in casts if item.tool is not tool):
            return None
        return self._spell(draw_request(voice, request, self._rng), tool)

    def _first(self, tool: PoolTool) -> tuple[Voice, Said]:
        """Draw a request of an earlier turn."""
        voice, request = self._rng.choice(tool.requests)
        return voice, draw_request(voice, request, self._rng)

    def _spell(self, said: Said, tool: PoolTool) -> Said:
        words, whole = (
            [name for name, argument in tool.arguments.items() if argument.kind == kind] for kind in ("text", "request")
        )
        return misspell(said, words, whole, self._rng)

    def _spell_line(self, line: str) -> str:
        return misspell(Said(line, {}), (), (), self._rng).text

    def _plain(self, casts: Sequence[Cast]) -> Example | None:
        chosen = self._rng.choice(casts)
        if (said := self._request(chosen.tool, casts)) is None:
            return None
        return self._example(said.text, chosen, said.arguments, self._files(chosen.tool), ())

    def _after_another(self, casts: Sequence[Cast]) -> Example | None:
        chosen = self._rng.choice(casts)
        said = self._request(chosen.tool, casts)
        before = self._turn(self._rng.choice(casts)) if self._rng.random() < 0.7 else self._talked()
        if said is None:
            return None
        return self._example(said.text, chosen, said.arguments, self._files(chosen.tool), (before,))

    def _turn(self, item: Cast, said: Said | None = None, result: str | None = None) -> Before:
        """Make an earlier turn in which a tool was called."""
        said = said or self._first(item.tool)[1]
        answer = result or self._rng.choice(read_lines("files", "results"))
        return Before(said.text, item.spec.name, item.rename(said.arguments), answer)

    def _talked(self) -> Before:
        line, _ = self._rng.choice(self._lines["lines"])
        return Before(line, REPLY, {}, self._rng.choice(read_lines("files", "answers")))

    def _follow_up(self, casts: Sequence[Cast]) -> Example | None:
        chosen = self._rng.choice(casts)
        tool = chosen.tool
        voice, first = self._first(tool)
        if not voice.follow_ups:
            return None
        said = draw_request(voice, self._rng.choice(voice.follow_ups), self._rng, first.arguments)
        before = [self._turn(chosen, first)]
        if self._rng.random() < 0.15:
            before.insert(0, self._turn(self._rng.choice(casts)))
        said = self._spell(said, tool)
        return self._example(said.text, chosen, said.arguments, self._files(tool, present=True), before)

    def _other_file(self, casts: Sequence[Cast]) -> Example | None:
        chosen = self._rng.choice([item for item in casts if item.tool.files] or [None])
        if chosen is None:
            return None
        _, first = self._first(chosen.tool)
        say = self._rng.choice(read_lines("files", "other"))
        files = [*self._files(chosen.tool, present=True), self._file(chosen.tool.files[0], 2)]
        # also a question about another file is the question asked before
        return self._example(say, chosen, first.arguments, files, (self._turn(chosen, first),))

    def _edit(self, casts: Sequence[Cast]) -> Example | None:
        listed = {item.tool.name: item for item in casts}
        edits = [edit for edit in self._edits if edit["tool"] in listed]
        if not edits:
            return None
        edit = self._rng.choice(edits)
        chosen = listed[edit["tool"]]
        values, argument = draw_slots(self._edit_slots, self._rng), edit["argument"]
        old, say, new = (fill(edit[key], values) for key in ("before", "say", "after"))
        kind = chosen.tool.arguments[argument].kind
        _, first = self._first(chosen.tool)
        before = Said(_swap(first, argument, old), {**first.arguments, argument: meaning(old, kind)})
        arguments = {**before.arguments, argument: meaning(new, kind)}
        files = self._files(chosen.tool, present=True)
        return self._example(say, chosen, arguments, files, (self._turn(chosen, before),))

    def _on_result(self, casts: Sequence[Cast]) -> Example | None:
        takers = [(item, voice) for item in casts for voice in item.tool.voices if voice.on_result]
        if not takers:
            return None
        chosen, voice = self._rng.choice(takers)
        givers = [item for item in casts if item is not chosen]
        if not givers:
            return None
        said = draw_request(voice, self._rng.choice(voice.on_result), self._rng, result=RESULT)
        before = self._turn(self._rng.choice(givers))
        return self._example(said.text, chosen, said.arguments, self._files(None), (before,))

    def _pair(self, casts: Sequence[Cast]) -> Example | None:
        """Ask for two things at once, of which the first is chosen; or for the second, when the first is done."""
        listed = {item.tool.name: item for item in casts}
        pairs = [pair for pair in read_lines("pairs", "pair") if {pair["first"], pair["second"]} <= set(listed)]
        if not pairs:
            return None
        pair = self._rng.choice(pairs)
        whole = f"{pair['say_first']}{pair['joint']}{pair['say_second']}"
        first, second = listed[pair["first"]], listed[pair["second"]]
        files = self._files(first.tool, present=True)
        begun = _given(first.tool, pair["say_first"], pair.get("first_arguments", {}))
        if self._rng.random() < 0.5:
            return self._example(whole, first, begun, files, ())
        rest = _given(second.tool, pair["say_second"], pair.get("second_arguments", {}))
        return self._example(pair["say_second"], second, rest, files, (self._turn(first, Said(whole, begun)),))

    def _talk(self, casts: Sequence[Cast], lines: str = "lines") -> Example | None:
        line, served = self._rng.choice(self._lines[lines])
        if any(item.tool.name in served for item in casts):
            return None
        before = (self._turn(self._rng.choice(casts)),) if self._rng.random() < 0.25 else ()
        return self._example(self._spell_line(line), None, {}, self._files(None), before)

    def _knowledge(self, casts: Sequence[Cast]) -> Example | None:
        return self._talk(casts, "knowledge")

    def _talk_after(self, casts: Sequence[Cast]) -> Example:
        said = self._spell_line(self._rng.choice(read_lines("talk", "after")))
        item = self._rng.choice(casts)
        return self._example(said, None, {}, self._files(item.tool, present=True), (self._turn(item),))

    def _absent(self, casts: Sequence[Cast]) -> Example | None:
        """Ask for a tool that is not listed, often for a near relative of one that is."""
        listed = {item.tool.name for item in casts}
        if self._rng.random() < 0.6:
            near = self._near.neighbours(self._rng.choice(casts).tool)[:12]
            absent = self._rng.choice([tool for tool in near if tool.name not in listed] or self._tools)
        else:
            absent = self._rng.choice(self._tools)
        if absent.name in listed or (said := self._request(absent, casts)) is None:
            return None
        before = (self._turn(self._rng.choice(casts)),) if self._rng.random() < 0.2 else ()
        return self._example(said.text, None, {}, self._files(absent), before)

    def _absent_line(self, casts: Sequence[Cast]) -> Example | None:
        """Ask the built-in tools for what none of them can do."""
        if not all(item.tool.builtin for item in casts):
            return None
        said = self._spell_line(self._rng.choice(read_lines("talk", "absent")))
        return self._example(said, None, {}, self._files(self._rng.choice(casts).tool), ())

    def _files(self, tool: PoolTool | None, present: bool = False) -> list[Artifact]:
        """Draw the files of a conversation; mostly those that `tool` needs, which are sure to be `present`."""
        kinds: list[str] = []
        if tool and tool.files and (present or self._rng.random() < 0.95):
            kinds.append(self._rng.choice(tool.files))
        while self._rng.random() < 0.25:
            kinds.append(self._rng.choice(("image", "image", "document")))
        counts: dict[str, int] = {}
        files = []
        for kind in kinds:
            counts[kind] = counts.get(kind, 0) + 1
            files.append(self._file(kind, counts[kind]))
        return files

    def _file(self, kind: str, number: int) -> Artifact:
        name = self._rng.choice(read_lines("files", f"{kind}_names"))
        return Artifact(f"{kind}-{number}", "image" if kind == "image" else "document", "", name, "", 0)


def _given(tool: PoolTool, said: str, arguments: Mapping[str, Any]) -> dict[str, Any]:
    """Complete the arguments of half a wish; a text that is not named is what the first tool returned."""
    given = dict(arguments)
    for name, argument in tool.arguments.items():
        if argument.kind == "request":
            given[name] = said
        elif argument.kind == "text" and not argument.optional:
            given.setdefault(name, RESULT)
    return given


def _swap(said: Said, argument: str, value: str) -> str:
    """Write another value of an argument into a request."""
    old = str(said.arguments.get(argument, ""))
    return said.text.replace(old, value) if old and old in said.text else value
