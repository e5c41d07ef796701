"""A conversation as a file: Markdown to read, JSON for programs, and a ZIP that another Maru takes in whole.

The ZIP holds `conversation.json` (all branches, with receipts) and every file under its SHA-256. What comes in is
checked before anything is stored. Knows conversations and their files, no screen.
"""

from __future__ import annotations

import hashlib
import io
import json
import zipfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import pydantic

from assistant.artifacts import ArtifactStore
from assistant.errors import BadInput
from assistant.history import History
from assistant.settings import MEGABYTE, Settings
from assistant.types import Artifact, Message, ToolResult

Form = Literal["md", "json", "zip"]
VERSION = 1
BODY, FILES = "conversation.json", "files/"
MOST_BODY = 200 * MEGABYTE  # of `conversation.json`, unpacked
SPEAKERS = {"user": "You", "assistant": "Maru"}


@dataclass(frozen=True, slots=True)
class Exported:
    """A conversation with all its branches; `head` is the message shown last, `maru` the version of this form."""

    maru: int
    title: str
    head: str | None
    messages: tuple[Message, ...]
    artifacts: tuple[Artifact, ...]


_EXPORTED = pydantic.TypeAdapter(Exported)


def export(conversations: History, store: ArtifactStore, conversation: str, form: Form) -> bytes:
    """Return a conversation as a file: "md" what is shown, "json" all of it, "zip" all of it with its files."""
    conversations.require(conversation)
    title = next((one.title for one in conversations.all() if one.id == conversation), "")
    path = conversations.path(conversation)
    if form == "md":
        return to_markdown(title, path).encode()
    messages = tuple(conversations.tree(conversation).values())
    whole = Exported(VERSION, title, path[-1].id if path else None, messages, tuple(store.all()))
    if form == "json":
        return to_json(whole).encode()
    return to_zip(whole, lambda artifact: store.path(artifact).read_bytes())


def take_in(
    exported: bytes, conversations: History, store_of: Callable[[str], ArtifactStore], settings: Settings
) -> str:
    """Add a conversation that was exported as ZIP, here or elsewhere, and return its id; all of it, or nothing."""
    whole, files = read_zip(exported, settings)
    conversation = conversations.create()
    store_of(conversation).restore([(artifact, files[artifact.digest]) for artifact in whole.artifacts])
    conversations.restore_tree(conversation, whole.messages, whole.head)
    conversations.entitle(conversation, whole.title)
    return conversation


def to_markdown(title: str, path: Sequence[Message]) -> str:
    """Write what is shown of a conversation, files by their handles and names."""
    parts = [f"# {title}"]
    for message in path:
        if message.result is not None:
            parts.append(_step(message.result))
            continue
        files = [f"- `{artifact.id}` {artifact.name}" for artifact in message.artifacts]
        said = "\n\n".join(filter(None, ["\n".join(files), message.text]))
        if said:
            parts.append(f"## {SPEAKERS[message.role]}\n\n{said}")
    return "\n\n".join(parts) + "\n"


def to_json(conversation: Exported) -> str:
    """Write a conversation for programs."""
    return _EXPORTED.dump_json(conversation, indent=1).decode() + "\n"


def to_zip(conversation: Exported, content: Callable[[Artifact], bytes]) -> bytes:
    """Pack a conversation with its files, whose bytes `content` gives."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as packed:
        packed.writestr(BODY, to_json(conversation))
        for digest, artifact in {artifact.digest: artifact for artifact in conversation.artifacts}.items():
            packed.writestr(f"{FILES}{digest}", content(artifact))
    return buffer.getvalue()


def read_zip(content: bytes, settings: Settings) -> tuple[Exported, dict[str, bytes]]:
    """Return the conversation in a ZIP and its files by digest; `BadInput` says what is wrong with it."""
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as packed:
            conversation = _EXPORTED.validate_json(_unpacked(packed, BODY, MOST_BODY))
            if conversation.maru != VERSION:
                raise BadInput(f"This file is of version {conversation.maru}; this Maru reads version {VERSION}.")
            most = int(settings.max_upload_mb * MEGABYTE)
            digests = {artifact.digest for artifact in conversation.artifacts}
            files = {digest: _unpacked(packed, f"{FILES}{digest}", most) for digest in sorted(digests)}
    except (zipfile.BadZipFile, KeyError, EOFError, NotImplementedError, RuntimeError, ValueError) as error:
        raise BadInput("This is no conversation that Maru exported, or it is damaged. Export it again.") from error
    for digest, held in files.items():
        if hashlib.sha256(held).hexdigest() != digest:
            raise BadInput("A file in this export is not what was exported. Export the conversation again.")
    _check_tree(conversation)
    return conversation, files


def _unpacked(packed: zipfile.ZipFile, name: str, most: int) -> bytes:
    """Unpack a member, never more than `most` bytes, whatever it says of itself."""
    with packed.open(name) as member:
        held = member.read(most + 1)
    if len(held) > most:
        raise BadInput(f"A part of this export has more than {most / MEGABYTE:.0f} MB. Nothing was taken in.")
    return held


def _check_tree(conversation: Exported) -> None:
    """Raise `BadInput` unless every message follows one before it and every file has a handle of its own."""
    known: set[str | None] = {None}
    for message in conversation.messages:
        if message.parent not in known or message.id in known:
            raise BadInput("The messages in this export do not hang together. Export the conversation again.")
        known.add(message.id)
    handles = [artifact.id for artifact in conversation.artifacts]
    if conversation.head not in known or len(set(handles)) < len(handles):
        raise BadInput("This export contradicts itself. Export the conversation again.")


def _step(result: ToolResult) -> str:
    """Write a tool's step: what was asked of it and what came out, as a quotation."""
    asked = json.dumps(dict(result.call.arguments), ensure_ascii=False)
    made = [f"`{artifact.id}` {artifact.name}" for artifact in result.artifacts]
    by = f" ({', '.join(result.receipt.models)})" if result.receipt and result.receipt.models else ""
    lines = [f"**{result.call.name}** `{asked}`{by}", "", *result.text.splitlines(), *made]
    return "\n".join(f"> {line}".rstrip() for line in lines)
