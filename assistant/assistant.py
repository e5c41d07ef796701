"""The façade: everything a front end or a script uses. Knows how the rooms fit together and no front end."""

from __future__ import annotations

import threading
import uuid
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from PIL.Image import Image

import plugins
from assistant import agent, artifacts, history
from assistant.artifacts import ArtifactStore
from assistant.database import Database
from assistant.errors import BadInput
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
from assistant.types import Artifact, CallProgress, ChatModel, Event, Message, Progress, ToolCall, ToolResult

SCHEMA = artifacts.SCHEMA + history.SCHEMA + library_room.SCHEMA + images_room.SCHEMA
DIRECT = "direct"  # the conversation that files of direct calls belong to; no list shows it


class Turn(Iterator[Event]):
    """A running turn: iterate it for events, `cancel()` it from any thread, or close it."""

    def __init__(
        self, conversation: str, events: Iterator[Event], stop: threading.Event, ended: Callable[[], None]
    ) -> None:
        """Wrap the events of one turn; `ended` is called once, when the last has come or the turn is closed."""
        self.conversation = conversation
        self._stop = stop
        self._events = self._watch(events, ended)
        next(self._events)  # a generator that never began would not call `ended` when it is closed

    def __next__(self) -> Event:
        """Return the next event."""
        event: Event = next(self._events)
        return event

    @staticmethod
    def _watch(events: Iterator[Event], ended: Callable[[], None]) -> Generator[Any, None, None]:
        try:
            yield None
            yield from events
        finally:
            ended()

    def close(self) -> None:
        """Stop and let go at once; no more events come."""
        self._stop.set()
        self._events.close()

    def cancel(self) -> None:
        """Stop within one token or one tool step; what was said so far is kept."""
        self._stop.set()


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
        text = text.strip().encode("utf-8", "replace").decode()  # half a surrogate pair cannot be stored
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

    def retry(self, conversation: str) -> Turn:
        """Answer the last message anew; the earlier answer stays in the tree."""
        stop = self._begin(conversation)
        said = self._last_said(conversation)
        if said is None:
            self._end(conversation)
            raise BadInput("There is no message to answer again. Write one.")
        path = self.conversations.path(conversation)
        kept = path[: path.index(said) + 1]
        for message in path[len(kept) :]:
            if message.role != "tool":
                break
            kept.append(message)  # what became of attached files need not be done again
        self.conversations.move_head(conversation, kept[-1].id)
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


def _take_in(value: Any, store: ArtifactStore) -> Any:
    """Make a handle of a file or picture; a handle, or what is neither, stays what it is."""
    if isinstance(value, Image):
        return store.add_image(value, "picture.png").id
    if not isinstance(value, str | Path) or any(artifact.id == value for artifact in store.all()):
        return value
    return store.add_file(Path(value)).id
