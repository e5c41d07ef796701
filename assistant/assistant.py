"""The façade: everything a front end or a script uses. Knows how the rooms fit together and no front end."""

from __future__ import annotations

import dataclasses
import itertools
import threading
import uuid
from collections.abc import Generator, Mapping, Sequence
from pathlib import Path
from typing import Any

from PIL.Image import Image

import plugins
from assistant import agent, artifacts, history
from assistant.artifacts import ArtifactStore, content_path
from assistant.database import Database
from assistant.errors import BadInput
from assistant.exports import Form, export, take_in
from assistant.history import History
from assistant.library import ImageIndex, Library
from assistant.library import images as images_room
from assistant.library import library as library_room
from assistant.llama import LlamaChat
from assistant.registry import Registry, discover
from assistant.remote import RemoteChat
from assistant.residents import Status, install, load, residents
from assistant.settings import Settings, read_settings
from assistant.tools import Tool
from assistant.turns import Turn
from assistant.types import Artifact, CallProgress, ChatModel, Message, Progress, ToolCall, ToolResult

SCHEMA = artifacts.SCHEMA + history.SCHEMA + library_room.SCHEMA + images_room.SCHEMA
KEPT_SECONDS = 24 * 3600  # how long a deleted conversation can be brought back
DIRECT = "direct"  # the conversation that files of direct calls belong to; no list shows it


class Assistant:
    """Maru for one owner, whose conversations, files and library lie in a folder of their own."""

    def __init__(
        self,
        settings: Settings | None = None,
        owner: str = "local",
        model: ChatModel | None = None,
        tools: Sequence[Tool] | None = None,
    ) -> None:
        """Open the owner's data; no model is loaded before it is needed.

        Args:
            settings: Defaults to the environment and `assistant.toml`.
            owner: Whose data; letters, digits and hyphens.
            model: The language model; defaults to the server's that is set, else to the catalog's.
            tools: The tools; default to those in `plugins/`.
        """
        if not owner.replace("-", "").isalnum():
            raise BadInput(f"The owner {owner!r} may have only letters, digits and hyphens.")
        self.settings = settings or read_settings()
        self._home = self.settings.data / "owners" / owner
        self._database = Database(self._home / "maru.sqlite", SCHEMA)
        self._running: dict[str, threading.Event] = {}
        self._lock = threading.Lock()
        self.conversations = History(self._database)
        self.library = Library(self._database)
        self.images = ImageIndex(self._database, self._home / "files", self.settings)
        self.model = model or (RemoteChat if self.settings.remote_url else LlamaChat)(self.settings)
        services = {Library: self.library, ImageIndex: self.images}
        self._registry = Registry(discover(plugins) if tools is None else tools, services)
        install(self.settings)
        self._sweep()

    @property
    def tools(self) -> Mapping[str, Tool]:
        """The tools by name."""
        return self._registry.tools

    def find_tool(self, name: str) -> Tool:
        """Return the tool `name`; `BadToolCall` lists those there are."""
        return self._registry.get(name)

    @property
    def notice(self) -> str | None:
        """What a person should know before anything else, such as a repaired database."""
        return self._database.repaired

    def chat(self, text: str, files: Sequence[Path] = (), conversation: str | None = None) -> Turn:
        """Say something, with files if wanted; the turn's events come as it is iterated.

        `BadInput` names the file that cannot be used; then nothing has been said.
        """
        text = _speakable(text)
        if not text and not files:
            raise BadInput("There is nothing to answer. Write a message or attach a file.")
        if conversation is None:
            conversation = self.conversations.create()
        stop = self._begin(conversation)
        try:
            store = self._store(conversation)
            attached = tuple(store.add_files([Path(file) for file in files]))
            path = self.conversations.path(conversation)
            said = Message(uuid.uuid4().hex, path[-1].id if path else None, "user", text, artifacts=attached)
            self.conversations.write(conversation, said)
        except BaseException:
            self._end(conversation)
            raise
        return self._turn(conversation, stop)

    def edit(self, conversation: str, message: str, text: str) -> Turn:
        """Say something else in place of an earlier message, with the same files; the old branch stays in the tree."""
        text = _speakable(text)
        stop = self._begin(conversation)
        try:
            path = self.conversations.path(conversation)
            (old, *after) = _from_said(path, message)
            if not text and not old.artifacts:
                raise BadInput("There is nothing to answer. Write a message.")
            said = dataclasses.replace(old, id=uuid.uuid4().hex, text=text)
            self.conversations.write(conversation, said)
            for told in after:  # what became of the files
                said = dataclasses.replace(told, id=uuid.uuid4().hex, parent=said.id)
                self.conversations.write(conversation, said)
        except BaseException:
            self._end(conversation)
            raise
        return self._turn(conversation, stop)

    def retry(self, conversation: str, message: str | None = None) -> Turn:
        """Answer the last message anew, or an earlier one; the other answer stays in the tree."""
        stop = self._begin(conversation)
        try:
            path = self.conversations.path(conversation)
            if message is None and not any(one.role == "user" for one in path):
                raise BadInput("There is no message to answer again. Write one.")
            self.conversations.move_head(conversation, _from_said(path, message)[-1].id)
        except BaseException:
            self._end(conversation)
            raise
        return self._turn(conversation, stop)

    def undo(self, conversation: str) -> Message | None:
        """Take back the last message and its answer, and return the message. Both stay in the tree."""
        self._begin(conversation)
        try:
            said = self._last_said(conversation)
            if said is not None:
                self.conversations.move_head(conversation, said.parent)
            return said
        finally:
            self._end(conversation)

    def stop(self, conversation: str) -> None:
        """Stop the running turn of `conversation`, if there is one."""
        if stop := self._running.get(conversation):
            stop.set()

    def call(self, tool: str, conversation: str = DIRECT, **arguments: Any) -> ToolResult:
        """Run a tool without the language model; a file is given by its path, as a picture, or by its handle.

        `result.failed` tells whether it worked; `result.text` says what came out or what went wrong.
        """
        events = self.start_call(tool, arguments, threading.Event(), conversation)
        while True:
            try:
                next(events)
            except StopIteration as end:
                result: ToolResult = end.value
                return result

    def start_call(
        self, tool: str, arguments: Mapping[str, Any], stop: threading.Event, conversation: str = DIRECT
    ) -> Generator[CallProgress, None, ToolResult]:
        """Do what `call` does and yield the progress on the way."""
        if conversation != DIRECT:
            self.conversations.require(conversation)
        store = self._store(conversation)
        kinds = self.find_tool(tool).artifacts
        given = {name: _take_in(value, store) if name in kinds else value for name, value in arguments.items()}
        call = ToolCall(uuid.uuid4().hex[:8], tool, given)
        return self._registry.run(call, store, self.settings.seed, stop)

    def export(self, conversation: str, form: Form) -> bytes:
        """Return a conversation as a file: "md" what is shown, "json" all of it, "zip" all of it with its files."""
        return export(self.conversations, self._store(conversation), conversation, form)

    def take_in(self, exported: bytes) -> str:
        """Add a conversation that was exported as ZIP, here or elsewhere, and return its id."""
        return take_in(exported, self.conversations, self._store, self.settings)

    def artifacts(self, conversation: str) -> list[Artifact]:
        """Return the files of a conversation."""
        return self._store(conversation).all()

    def path(self, artifact: Artifact) -> Path:
        """Return where the bytes of an artifact lie."""
        return self._store(DIRECT).path(artifact)

    def models(self) -> list[Status]:
        """Tell for every role which weights serve it, why, and whether they are loaded."""
        rows = residents().status()
        if isinstance(self.model, RemoteChat):
            return [self.model.status() if row.role == "chat" else row for row in rows]
        return rows

    def load(self, role: str, progress: Progress = lambda fraction, note: None) -> None:
        """Load the model of `role` ("chat", "ocr", …) now instead of when it is first needed."""
        if role == "chat" and isinstance(self.model, RemoteChat):
            progress(None, self.model.describe())  # the server has loaded it
        else:
            load(role, progress)

    def unload(self, role: str) -> None:
        """Let the model of `role` leave memory; `BadInput` while it is in use."""
        residents().unload(role)

    def close(self) -> None:
        """Stop what runs and close the database."""
        for stop in self._running.values():
            stop.set()
        self._database.close()

    def _store(self, conversation: str) -> ArtifactStore:
        return ArtifactStore(self._database, self._home / "files", conversation, self.settings)

    def _sweep(self) -> None:
        """Remove for good what was deleted long ago, with the files that nothing else holds."""
        for conversation in self.conversations.forget(KEPT_SECONDS):
            for digest in self._store(conversation).forget():
                self.images.remove(digest)
                if not self.library.holds(digest):
                    content_path(self._home / "files", digest).unlink(missing_ok=True)

    def _last_said(self, conversation: str) -> Message | None:
        path = self.conversations.path(conversation)
        return next((message for message in reversed(path) if message.role == "user"), None)

    def _begin(self, conversation: str) -> threading.Event:
        self.conversations.require(conversation)
        with self._lock:
            if conversation in self._running:
                raise BadInput("This conversation is still answering. Wait for it, or press Stop.")
            self._running[conversation] = threading.Event()
            return self._running[conversation]

    def _end(self, conversation: str) -> None:
        with self._lock:
            self._running.pop(conversation, None)

    def _turn(self, conversation: str, stop: threading.Event) -> Turn:
        turn = agent.Turn(
            self.model,
            self._registry,
            self.conversations,
            self._store(conversation),
            self.settings,
            conversation,
            stop,
        )
        return Turn(conversation, turn.run(), stop, lambda: self._end(conversation))


def _speakable(text: str) -> str:
    return text.strip().encode("utf-8", "replace").decode()  # half a surrogate pair cannot be stored


def _from_said(path: Sequence[Message], message: str | None) -> list[Message]:
    """Return what a person said, the last or the one before or at `message`, and what became of its files."""
    places = [place for place, one in enumerate(path) if one.role == "user"]
    if message is not None:
        at = next((place for place, one in enumerate(path) if one.id == message), -1)
        places = [place for place in places if place <= at]
    if not places:
        raise BadInput("That message is not shown in this conversation. Reload the page.")
    said, *after = path[places[-1] :]
    return [said, *itertools.takewhile(lambda one: one.role == "tool", after)]


def _take_in(value: Any, store: ArtifactStore) -> Any:
    """Make a handle of a file or picture; a handle, or what is neither, stays what it is."""
    if isinstance(value, Image):
        return store.add_image(value, "picture.png").id
    if not isinstance(value, str | Path) or any(artifact.id == value for artifact in store.all()):
        return value
    return store.add_file(Path(value)).id
