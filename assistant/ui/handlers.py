"""What happens when something on the page is pressed. Knows the façade and gradio's updates, not where things stand.

Every handler begins from what is stored, so a reload or a second tab loses nothing.
"""

from __future__ import annotations

import mimetypes
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import gradio as gr
from gradio.processing_utils import save_bytes_to_cache

from assistant.assistant import Assistant
from assistant.errors import BadInput
from assistant.settings import Settings
from assistant.turns import Turn
from assistant.types import (
    Artifact,
    CallFinished,
    CallProgress,
    CallStarted,
    Notice,
    TextDelta,
    TurnFinished,
)
from assistant.ui import bubbles
from assistant.ui.bubbles import Bubble, Shown

Seat = dict[str, Any]
FRAME_SECONDS = 0.06  # a browser cannot show more than about 15 changes a second


class House:
    """The assistants of all owners. On one's own machine there is one owner; on a public server each browser is one."""

    def __init__(self, settings: Settings, shared: bool) -> None:
        """Serve the owner "local", or with `shared` as many as there are browsers."""
        self.shared = shared
        self._settings = settings
        self._assistants: dict[str, Assistant] = {}
        self._lock = threading.Lock()

    def assistant(self, browser: str) -> Assistant:
        """Return the assistant of whoever sits at `browser`, a random name that only that browser knows."""
        return self._of(f"browser-{uuid.UUID(browser).hex}" if self.shared else "local")

    def anybody(self) -> Assistant:
        """Return an assistant for what belongs to nobody, such as the models of this process."""
        return self._of("local")

    def _of(self, owner: str) -> Assistant:
        with self._lock:
            if owner not in self._assistants:
                self._assistants[owner] = Assistant(self._settings, owner)
            return self._assistants[owner]


class Handlers:
    """One method for each thing that can be pressed. `at` is the seat: which browser, which conversation."""

    def __init__(self, house: House) -> None:
        """Serve the people of `house`."""
        self._house = house

    def enter(self, at: Seat) -> tuple[Any, ...]:
        """Fill the page when it opens: (chatbot, listing, seat, notice)."""
        at = {**at, "browser": at["browser"] or uuid.uuid4().hex}
        assistant = self._house.assistant(at["browser"])
        if at["conversation"] not in {conversation.id for conversation in assistant.conversations.all()}:
            at["conversation"] = None
        words = " ".join(filter(None, (assistant.model.describe(), assistant.notice)))
        return _draw(self._house, at), _listing(assistant, at), at, words

    def send(self, value: dict[str, Any], at: Seat) -> Iterator[tuple[Any, ...]]:
        """Answer what is in the box."""
        text, files = value.get("text", ""), [Path(file) for file in value.get("files", ())]
        yield from _show_turn(self._house, at, lambda a: a.chat(text, files, at["conversation"]), value)

    def retry(self, at: Seat) -> Iterator[tuple[Any, ...]]:
        """Answer the last message anew."""
        yield from _show_turn(self._house, at, lambda a: a.retry(at["conversation"]), None)

    def undo(self, at: Seat) -> tuple[Any, ...]:
        """Take the last message back into the box: (chatbot, box)."""
        assistant = self._house.assistant(at["browser"])
        try:
            said = assistant.undo(at["conversation"])
        except BadInput as error:
            gr.Warning(str(error))
            return gr.skip(), gr.skip()
        files = [_address(assistant, artifact) for artifact in said.artifacts] if said else []
        return _draw(self._house, at), gr.update(value={"text": said.text if said else "", "files": files})

    def stop(self, at: Seat) -> None:
        """Stop the running answer."""
        if at["conversation"]:
            self._house.assistant(at["browser"]).stop(at["conversation"])

    def begin(self, at: Seat) -> tuple[Any, ...]:
        """Begin a conversation: (chatbot, seat, listing)."""
        return [], {**at, "conversation": None}, gr.update(value=None)

    def choose(self, conversation: str, at: Seat) -> tuple[Any, ...]:
        """Show another conversation: (chatbot, seat)."""
        at = {**at, "conversation": conversation}
        return _draw(self._house, at), at


def _show_turn(
    house: House, at: Seat, begin: Callable[[Assistant], Turn], typed: dict[str, Any] | None
) -> Iterator[tuple[Any, ...]]:
    """Yield (chatbot, box, stop, listing, seat) as the turn goes; a refused message stays in the box.

    The seat is always given whole: gradio would store the mark of `gr.skip()` in the browser.
    """
    assistant = house.assistant(at["browser"])
    try:
        turn = begin(assistant)
    except BadInput as error:
        gr.Warning(str(error))
        yield gr.skip(), gr.update(value=typed) if typed else gr.skip(), gr.skip(), gr.skip(), at
        return
    at = {**at, "conversation": turn.conversation}
    empty = gr.update(value={"text": "", "files": []})
    shown = _draw(house, at)
    yield shown, empty, gr.update(visible=True), _listing(assistant, at), at
    try:
        for frame in _frames(turn, shown, _look_up_in(assistant, turn.conversation)):
            yield frame, gr.skip(), gr.skip(), gr.skip(), at
    finally:
        turn.close()
    yield _draw(house, at), gr.skip(), gr.update(visible=False), _listing(assistant, at), at


def _frames(turn: Turn, shown: list[Bubble], look_up: Callable[[Artifact], Shown]) -> Iterator[list[Bubble]]:
    """Yield the bubbles as events change them, at most one frame in `FRAME_SECONDS`."""
    last, text = 0.0, ""
    for event in turn:
        match event:
            case TextDelta(piece):
                shown = shown[: -1 if text else None]
                text += piece
                shown = [*shown, bubbles.answer(text)]
            case CallStarted(call):
                shown, text = [*shown, bubbles.started(call)], ""
            case CallProgress(call, preview=bytes(jpeg)):
                shown = [*shown[:-1], bubbles.previewed(call, jpeg)]
            case CallProgress(call, fraction, note):
                shown = [*shown[:-1], bubbles.progressed(call, fraction, note)]
            case CallFinished(result):
                shown = [*shown[:-1], *bubbles.finished(result, look_up)]
            case Notice(words):
                shown, text = [*shown, bubbles.note(words)], ""
            case TurnFinished():
                return
        if time.monotonic() - last >= FRAME_SECONDS or not isinstance(event, TextDelta):
            last = time.monotonic()
            yield shown


def _draw(house: House, at: Seat) -> list[Bubble]:
    if at["conversation"] is None:
        return []
    assistant = house.assistant(at["browser"])
    messages = assistant.conversations.path(at["conversation"])
    return bubbles.bubbles_of(messages, _look_up_in(assistant, at["conversation"]))


def _listing(assistant: Assistant, at: Seat) -> Any:
    choices = [(conversation.title, conversation.id) for conversation in assistant.conversations.all()]
    return gr.update(choices=choices, value=at["conversation"])


def _look_up_in(assistant: Assistant, conversation: str) -> Callable[[Artifact], Shown]:
    """Return what tells of an artifact its file and what it shows, which may be known only since it was stored."""

    def look_up(artifact: Artifact) -> Shown:
        known = {there.id: there.alt for there in assistant.artifacts(conversation)}
        return _address(assistant, artifact), known.get(artifact.id, "")  # a repaired database may have lost it

    return look_up


def _address(assistant: Assistant, artifact: Artifact) -> str:
    """Copy a file to gradio's cache, from where alone it may serve files; the data folder stays closed.

    The ending is that of what the file is, not of what it was called: a browser must not take a picture for a page.
    """
    name = Path(artifact.name).stem + (mimetypes.guess_extension(artifact.media_type) or "")
    return str(save_bytes_to_cache(assistant.path(artifact).read_bytes(), name, gr.utils.get_upload_folder()))
