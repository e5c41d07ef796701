"""The values that flow between the rooms: frozen, without behaviour. Knows only the standard library.

A front end sees `Event`s; the language model is a `ChatModel`; everything else here is what those two carry.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

Kind = Literal["image", "document"]
Role = Literal["user", "assistant", "tool"]
Quantize = Literal["nf4", "nf4-head", "int8", "int4", "none", "gptq", "bitnet"]
Progress = Callable[[float | None, str], None]
"""Told a fraction in 0..1 (None where it is unknown) and a short note."""


@dataclass(frozen=True, slots=True)
class Artifact:
    """A file of a conversation, uploaded or made by a tool. `id` is its handle ("image-1"), `digest` its SHA-256.

    `alt` is what a picture shows, for those who do not see it, as far as it was known when this value was made.
    """

    id: str
    kind: Kind
    media_type: str
    name: str
    digest: str
    size: int
    alt: str = ""


@dataclass(frozen=True, slots=True)
class ToolSpec:
    """A tool as a language model sees it: `parameters` is a JSON schema whose handle enums are those alive now.

    `relevance` tells, as a cosine similarity, how near a request is to what the tool holds; None: it holds nothing.
    The pictures of a tool that `illustrates` only show its answer. `missing` are the kinds of file that it needs and
    that there are none of, `obstacle` says why its models cannot be had; with either it cannot be called now, and
    whoever asks for it is told so.
    """

    name: str
    description: str
    parameters: Mapping[str, Any]
    examples: tuple[str, ...] = ()
    relevance: Callable[[str], float] | None = field(default=None, compare=False)
    illustrates: bool = False
    missing: tuple[Kind, ...] = ()
    obstacle: str | None = None

    @property
    def callable(self) -> bool:
        """Whether it can be called now."""
        return not self.missing and self.obstacle is None


@dataclass(frozen=True, slots=True)
class ToolCall:
    """A request to run the tool `name`."""

    id: str
    name: str
    arguments: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Receipt:
    """What really ran: wall seconds, the weights used ("name@revision"), the seed, and the digests of what came out."""

    seconds: float
    models: tuple[str, ...] = ()
    seed: int | None = None
    digests: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class ToolResult:
    """A tool's outcome: `text` for the model, `data` (JSON values) for programs, `artifacts` for people."""

    call: ToolCall
    text: str
    data: Any = None
    artifacts: tuple[Artifact, ...] = ()
    failed: bool = False
    receipt: Receipt | None = None


@dataclass(frozen=True, slots=True)
class Message:
    """One node of a conversation's tree. A `tool` message whose parent is no assistant message came with an upload."""

    id: str
    parent: str | None
    role: Role
    text: str = ""
    artifacts: tuple[Artifact, ...] = ()
    calls: tuple[ToolCall, ...] = ()
    result: ToolResult | None = None


@dataclass(frozen=True, slots=True)
class Usage:
    """Tokens and seconds of one or more replies; `reused_tokens` of the prompt came out of the KV cache."""

    prompt_tokens: int = 0
    reused_tokens: int = 0
    generated_tokens: int = 0
    first_token_seconds: float = 0.0
    seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class TextDelta:
    """A piece of the answer."""

    text: str


@dataclass(frozen=True, slots=True)
class CallStarted:
    """A tool begins."""

    call: ToolCall


@dataclass(frozen=True, slots=True)
class CallProgress:
    """A running tool tells how far it is; `fraction` is in 0..1 or None, `preview` a JPEG of what there is so far."""

    call: ToolCall
    fraction: float | None
    note: str
    preview: bytes | None = None


@dataclass(frozen=True, slots=True)
class CallFinished:
    """A tool ended, well or not (`result.failed`)."""

    result: ToolResult


@dataclass(frozen=True, slots=True)
class Notice:
    """Something the person should know that is no part of the answer."""

    text: str


@dataclass(frozen=True, slots=True)
class TurnFinished:
    """The last event of every turn: the stored answer, what it took, and whether it was stopped."""

    message: Message
    usage: Usage = field(default_factory=Usage)
    stopped: bool = False


Event = TextDelta | CallStarted | CallProgress | CallFinished | Notice | TurnFinished
ReplyPart = str | ToolCall | Notice | Usage


class ChatModel(Protocol):
    """A language model that answers in words or calls tools."""

    def describe(self) -> str:
        """Say in one sentence which model this is and why it was chosen."""
        ...

    def reply(
        self, messages: Sequence[Message], tools: Sequence[ToolSpec], stop: threading.Event
    ) -> Iterator[ReplyPart]:
        """Yield text, calls of the offered tools, notices, and one final `Usage`; end soon after `stop` is set."""
        ...
