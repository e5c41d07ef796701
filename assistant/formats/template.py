"""Writes prompts with the chat template that came with a tokenizer. Knows messages, tools and control tokens, no model.

The template is filled in with stand-ins for every text of a person, a tool or the model, so only what it writes itself
can become a control token. What it can do is found out once, by trying: how it writes calls, whether several at a time,
and where it wants the system's words. Without calls of a form that can be read, tools are told and called by prompt.

Source: "Chat templates" and "Tool use" in the documentation of transformers.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Container, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import jinja2

from assistant.chat_format import (
    Family,
    Piece,
    Said,
    Tag,
    asked_results,
    describe_tool,
    family_of,
    shorten,
    takes_files,
    turns,
    user_text,
    write_call,
)
from assistant.errors import ModelUnavailable
from assistant.formats.call_style import find_style
from assistant.formats.plain_text import PlainText
from assistant.formats.veil import Hidden, Veil
from assistant.grammars import JSON_STYLE, CallStyle
from assistant.prompts import render
from assistant.types import Message, ToolCall, ToolSpec

FAILURES = (jinja2.TemplateError, TypeError, ValueError, LookupError, AttributeError)  # of templates that refuse


@dataclass(frozen=True, slots=True)
class _Entry:
    """A message for a template: words, calls, or the result of the call `answers`."""

    role: str
    text: str = ""
    calls: tuple[ToolCall, ...] = ()
    answers: ToolCall | None = None


# what is tried
CALLS = tuple(ToolCall(name, name, {"key": "value"}) for name in ("one", "other"))
RESULTS = tuple(_Entry("tool", "result", answers=call) for call in CALLS)
SYSTEM, ASKED, WORDS = _Entry("system", "system"), _Entry("user", "request"), _Entry("assistant", "words")
CALLED = _Entry("assistant", calls=CALLS[:1])
TOOL_NAME = "some_tool"
TOOL = {"type": "function", "function": {"name": TOOL_NAME, "description": "-", "parameters": {"type": "object"}}}


class ChatTemplate:
    """What the template of one tokenizer writes, and what it can."""

    def __init__(self, tokenizer: Any, ends: Iterable[int]) -> None:
        """Try the template of `tokenizer`; any of `ends` ends a reply. `ModelUnavailable` when it cannot be used."""
        self._tokenizer = tokenizer
        self._plain = PlainText(tokenizer)
        self.encode = self._plain.encode
        self.end = frozenset(ends)
        self._arguments_as_text = False
        self._arguments_as_text = not self._keeps([ASKED, CALLED, RESULTS[0]])
        self.style = self._find_style()
        """How the model writes the calls that its template knows; None: as our prompt tells it."""
        self._takes_several = self._keeps([ASKED, replace(CALLED, calls=CALLS), *RESULTS])
        self._keeps_words = self._keeps([ASKED, replace(CALLED, text="words"), RESULTS[0]])
        talk = [ASKED, WORDS, ASKED]
        self._takes_system = self._keeps([SYSTEM, *talk]) and (
            self.style is None or self._keeps([SYSTEM, ASKED, CALLED, RESULTS[0]])
        )
        self._write(talk, None)  # a template that cannot even talk says so at once

    def write(self, messages: Sequence[Message], tools: Sequence[ToolSpec], known: Container[str] = ()) -> list[Piece]:
        """Write the prompt of a conversation; what the model said and is `known` stays apart, for its ids to be taken.

        Raises `ModelUnavailable` when the template refuses this conversation, or leaves out or repeats something.
        """
        described = [describe_tool(tool) for tool in sorted(tools, key=takes_files)]
        if self.style:
            system = render("system", tools=described, told_by_server=True)
            given = [{"type": "function", "function": function} for function in described]
            entries = list(self._entries(messages))
        else:
            system = render("system", tools=[json.dumps(each, ensure_ascii=False) for each in described])
            given = []
            entries = list(_entries_by_prompt(messages))
        entries = list(_join([_Entry("system", system), *entries]))
        if not self._takes_system:
            first, *rest = entries[1:]
            entries = [replace(first, text=f"{system}\n\n{first.text}"), *rest]
        return self._join_pieces(self._write(entries, given or None), known)

    def _entries(self, messages: Sequence[Message]) -> Iterator[_Entry]:
        """Yield what is to be written with calls of the template's own."""
        for turn in turns(messages):
            yield _Entry("user", user_text(turn))
            results = {result.call.id: result for result in asked_results(turn)}
            for message in turn:
                words = message.text if message.role == "assistant" else ""
                calls = [call for call in message.calls if call.id in results]  # a call that was cut off has none
                for together in [calls] if self._takes_several and calls else [[call] for call in calls]:
                    yield _Entry("assistant", words if self._keeps_words else "", tuple(together))
                    for call in together:
                        yield _Entry("tool", shorten(results[call.id].text), answers=call)
                    words = ""
                if words:
                    yield _Entry("assistant", words)

    def _find_style(self) -> CallStyle | None:
        veil = Veil()
        asked, called = ([*self._hide(veil, [ASKED])], [*self._hide(veil, [CALLED, RESULTS[0]])])
        try:
            # without being told not to think: some write an empty thought only where they begin a reply
            before = self._render(asked, [TOOL], True)
            whole = self._render([*asked, *called], [TOOL], False)
        except ModelUnavailable:
            return None
        if not whole.startswith(before) or TOOL_NAME not in before:
            return None
        ids = {text: self._tokenizer.convert_tokens_to_ids(text) for text in self._plain.control}
        return find_style(list(self._split(veil, whole[len(before) :])), _short_id(CALLED.calls[0]), ids, self.end)

    def _keeps(self, entries: Sequence[_Entry]) -> bool:
        try:
            self._write(entries, [TOOL])
        except ModelUnavailable:
            return False
        return True

    def _write(self, entries: Sequence[_Entry], tools: Any) -> list[str | Tag | Hidden]:
        """Fill in the template; `ModelUnavailable` when it refuses, leaves out or repeats something."""
        veil = Veil()
        tools = tools and self._hide_control(veil, tools)
        written = self._render([*self._hide(veil, entries)], tools, True, enable_thinking=False)
        if not veil.is_kept(written):
            raise ModelUnavailable(
                "This model's chat template leaves out or repeats part of the conversation. "
                "Choose another model in catalog.toml."
            )
        return list(self._split(veil, written))

    def _hide(self, veil: Veil, entries: Sequence[_Entry]) -> Iterator[dict[str, Any]]:
        """Yield the messages as a template reads them, with nothing to be read in them."""
        for entry in entries:
            message: dict[str, Any] = {"role": entry.role, "content": veil.hide(entry.text, entry.role == "assistant")}
            if entry.answers:
                name = veil.hide(entry.answers.name, needed=False)
                message |= {"name": name, "tool_call_id": _short_id(entry.answers)}
            if entry.calls:
                message["tool_calls"] = [self._hide_call(veil, call) for call in entry.calls]
            yield message

    def _hide_call(self, veil: Veil, call: ToolCall) -> dict[str, Any]:
        arguments: Any = veil.hide_all(json.loads(json.dumps(dict(call.arguments))))
        if self._arguments_as_text:
            arguments = json.dumps(arguments)
        return {
            "id": _short_id(call),
            "type": "function",
            "function": {"name": veil.hide(call.name), "arguments": arguments},
        }

    def _hide_control(self, veil: Veil, value: Any) -> Any:
        """Hide of the tools' own texts what looks like control tokens; a template may look into the rest."""
        if isinstance(value, dict):
            return {name: self._hide_control(veil, inner) for name, inner in value.items()}
        if isinstance(value, list):
            return [self._hide_control(veil, inner) for inner in value]
        looks = isinstance(value, str) and self._plain.pattern.search(value)
        return veil.hide(value, needed=False) if looks else value

    def _render(self, messages: Any, tools: Any, begin_reply: bool, **options: Any) -> str:
        try:
            written = self._tokenizer.apply_chat_template(
                messages, tools=tools, tokenize=False, add_generation_prompt=begin_reply, **options
            )
        except FAILURES as error:
            raise ModelUnavailable(
                f"This model's chat template refuses the conversation ({error}). Choose another model in catalog.toml."
            ) from error
        return str(written)

    def _split(self, veil: Veil, written: str) -> Iterator[str | Tag | Hidden]:
        """Yield the template's control tokens, its text, and what is hidden."""
        for part in veil.split(written):
            if isinstance(part, Hidden):
                yield part
                continue
            at = 0
            for found in self._plain.pattern.finditer(part):
                yield from [part[at : found.start()]] if found.start() > at else []
                yield Tag(found[0] if found[0] in self._plain.control else found[0].strip())
                at = found.end()
            yield from [part[at:]] if at < len(part) else []

    def _join_pieces(self, parts: Sequence[str | Tag | Hidden], known: Container[str]) -> list[Piece]:
        """Join what stands between control tokens, as it would be encoded: together."""
        end = parts[-1] if parts and isinstance(parts[-1], str) else ""  # with which a reply begins
        pieces: list[Piece] = []
        text = ""
        for part in parts:
            apart: Piece | None = part if isinstance(part, Tag) else None
            if isinstance(part, Hidden) and part.said and not part.depth and part.text in known and text == end:
                apart = Said(part.text)
            if apart is not None:
                pieces += [text, apart] if text else [apart]
                text = ""
            elif not isinstance(part, Tag):
                text += part if isinstance(part, str) else part.write()
        return [*pieces, *([text] if text else [])]


Format = Family | ChatTemplate


def format_of(tokenizer: Any, settings: Any) -> Format:
    """Return how to talk to the model of `tokenizer`: as a family that is known, or else with its own template.

    `settings` are the model's own for generating, which with the tokenizer tell what ends a reply.
    """
    vocabulary = tokenizer.get_vocab()
    if tokenizer.chat_template is None:
        return family_of(vocabulary)
    try:
        family = family_of(vocabulary)
    except ModelUnavailable:
        return ChatTemplate(tokenizer, _ends(tokenizer, settings))
    try:
        template = ChatTemplate(tokenizer, _ends(tokenizer, settings))
        marks = family.before_role in template.write([Message("", None, "user", "Hello")], [])
    except ModelUnavailable:  # what it would write is known all the same
        return family
    return family if marks and template.style in (None, JSON_STYLE) else template


def end_of(chat_format: Format, tokenizer: Any) -> frozenset[int]:
    """Return the ids that end a reply."""
    if isinstance(chat_format, ChatTemplate):
        return chat_format.end
    vocabulary = tokenizer.get_vocab()
    return frozenset(vocabulary[tag.text] for tag in chat_format.end if tag.text in vocabulary)


def _ends(tokenizer: Any, settings: Any) -> frozenset[int]:
    told = getattr(settings, "eos_token_id", None)
    ends = {tokenizer.eos_token_id, *(told if isinstance(told, list) else [told])} - {None}
    if not ends:
        raise ModelUnavailable("This model does not say how its replies end. Choose another model in catalog.toml.")
    return frozenset(ends)


def _entries_by_prompt(messages: Sequence[Message]) -> Iterator[_Entry]:
    """Yield what is to be written where calls are words of the model, and results words of the person."""
    for turn in turns(messages):
        yield _Entry("user", user_text(turn))
        results = {result.call.id: result for result in asked_results(turn)}
        for message in turn:
            if message.role == "assistant" and message.text:
                yield _Entry("assistant", message.text)
            for call in message.calls:
                if result := results.get(call.id):
                    yield _Entry("assistant", write_call(call.name, dict(call.arguments)))
                    told = render("result", name=call.name, failed=result.failed, text=shorten(result.text))
                    yield _Entry("user", told)


def _join(entries: Sequence[_Entry]) -> Iterator[_Entry]:
    """Join words that the same one says twice in a row, which many templates refuse."""
    last: _Entry | None = None
    for entry in entries:
        if last and entry.role == last.role and not (entry.calls or last.calls or entry.answers):
            last = replace(last, text=f"{last.text}\n\n{entry.text}")
            continue
        if last:
            yield last
        last = entry
    if last:
        yield last


def _short_id(call: ToolCall) -> str:
    """Return an id in the form that Mistral's models want: nine letters and digits."""
    return hashlib.sha256(call.id.encode()).hexdigest()[:9]
