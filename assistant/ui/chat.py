"""The chat page: conversations at the side, bubbles in the middle, a box for words and files below.

Knows the façade and gradio. Every handler begins from what is stored, so a reload or a second tab loses nothing.
"""

from __future__ import annotations

import threading
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import gradio as gr
from gradio.processing_utils import save_bytes_to_cache

from assistant.assistant import Assistant, Turn
from assistant.errors import BadInput
from assistant.settings import Settings
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
from assistant.ui.bubbles import Bubble

STYLE = Path(__file__).with_name("page.css")
FRAME_SECONDS = 0.06  # a browser cannot show more than about 15 changes a second
CACHE_SECONDS = 24 * 3600  # how long gradio keeps its copies of uploaded and shown files
EXAMPLES = [
    "What does it say? (attach a picture of some text)",
    "What do my documents say about …? (attach a PDF, Markdown or text file)",
    "What is the capital of France?",
]


class House:
    """The assistants of all owners. On one's own machine there is one owner; on a public server each browser is one."""

    def __init__(self, settings: Settings, shared: bool) -> None:
        """Serve the owner "local", or with `shared` as many as there are browsers."""
        self._settings = settings
        self._shared = shared
        self._assistants: dict[str, Assistant] = {}
        self._lock = threading.Lock()

    def assistant(self, browser: str) -> Assistant:
        """Return the assistant of whoever sits at `browser`, a random name that only that browser knows."""
        owner = f"browser-{uuid.UUID(browser).hex}" if self._shared else "local"
        with self._lock:
            if owner not in self._assistants:
                self._assistants[owner] = Assistant(self._settings, owner)
            return self._assistants[owner]


def build(house: House) -> gr.Blocks:
    """Lay out the page and connect it."""
    cache = (CACHE_SECONDS, CACHE_SECONDS)
    with gr.Blocks(title="Maru", fill_height=True, analytics_enabled=False, delete_cache=cache) as page:
        seat = gr.BrowserState({"browser": "", "conversation": None}, storage_key="maru", secret="maru")
        with gr.Sidebar(width=260):
            gr.Markdown("## Maru")
            new = gr.Button("New conversation", elem_id="new")
            listing = gr.Radio([], label="Conversations", elem_id="conversations", container=False)
        notice = gr.Markdown(elem_id="notice")
        chatbot = gr.Chatbot(
            elem_id="chat",
            show_label=False,
            scale=1,
            buttons=["copy"],
            placeholder="## What can I do for you?\n\n" + "\n\n".join(EXAMPLES),
            layout="bubble",
            feedback_options=None,
        )
        with gr.Row(equal_height=True):
            box = gr.MultimodalTextbox(
                elem_id="box",
                show_label=False,
                label="Message",
                placeholder="Write a message, or attach pictures, PDFs or text",
                file_count="multiple",
                autofocus=True,
                scale=8,
            )
            stop = gr.Button("Stop", variant="stop", visible=False, elem_id="stop", scale=0, min_width=90)
        _connect(house, page, seat, new, listing, notice, chatbot, box, stop)
    return page


def _connect(
    house: House,
    page: gr.Blocks,
    seat: gr.BrowserState,
    new: gr.Button,
    listing: gr.Radio,
    notice: gr.Markdown,
    chatbot: gr.Chatbot,
    box: gr.MultimodalTextbox,
    stop: gr.Button,
) -> None:
    page_parts = [chatbot, box, stop, listing, seat]
    hidden: dict[str, Any] = {"api_visibility": "private", "show_progress": "hidden"}
    live: dict[str, Any] = {**hidden, "concurrency_limit": None}

    def send(value: dict[str, Any], at: dict[str, Any]) -> Iterator[tuple[Any, ...]]:
        files = [Path(file) for file in value.get("files", ())]
        yield from _show_turn(house, at, lambda a: a.chat(value.get("text", ""), files, at["conversation"]), value)

    def again(at: dict[str, Any]) -> Iterator[tuple[Any, ...]]:
        yield from _show_turn(house, at, lambda a: a.retry(at["conversation"]), None)

    def take_back(at: dict[str, Any]) -> tuple[Any, ...]:
        text = house.assistant(at["browser"]).undo(at["conversation"])
        return _draw(house, at), gr.update(value={"text": text, "files": []})

    def halt(at: dict[str, Any]) -> None:
        if at["conversation"]:
            house.assistant(at["browser"]).stop(at["conversation"])

    def begin(at: dict[str, Any]) -> tuple[Any, ...]:
        return [], {**at, "conversation": None}, gr.update(value=None)

    def choose(conversation: str, at: dict[str, Any]) -> tuple[Any, ...]:
        at = {**at, "conversation": conversation}
        return _draw(house, at), at

    def enter(at: dict[str, Any]) -> tuple[Any, ...]:
        at = {**at, "browser": at["browser"] or uuid.uuid4().hex}
        assistant = house.assistant(at["browser"])
        known = {conversation.id for conversation in assistant.conversations.all()}
        if at["conversation"] not in known:
            at["conversation"] = None
        words = " ".join(filter(None, (assistant.model.describe(), assistant.notice)))
        return _draw(house, at), _listing(assistant, at), at, words

    page.load(enter, [seat], [chatbot, listing, seat, notice], **live)
    box.submit(send, [box, seat], page_parts, **live)
    chatbot.retry(again, [seat], page_parts, **live)
    chatbot.undo(take_back, [seat], [chatbot, box], **live)
    stop.click(halt, [seat], None, queue=False, **hidden)
    for event in (new.click, chatbot.clear):
        event(begin, [seat], [chatbot, seat, listing], **live)
    listing.input(choose, [listing, seat], [chatbot, seat], **live)


def _show_turn(
    house: House, at: dict[str, Any], begin: Callable[[Assistant], Turn], typed: dict[str, Any] | None
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
    yield _draw(house, at), empty, gr.update(visible=True), _listing(assistant, at), at
    try:
        for frame in _frames(turn, _draw(house, at), lambda artifact: _address(assistant, artifact)):
            yield frame, gr.skip(), gr.skip(), gr.skip(), at
    finally:
        turn.close()
    yield _draw(house, at), gr.skip(), gr.update(visible=False), _listing(assistant, at), at


def _frames(turn: Turn, shown: list[Bubble], address: Callable[[Artifact], str]) -> Iterator[list[Bubble]]:
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
            case CallProgress(call, fraction, note):
                shown = [*shown[:-1], bubbles.progressed(call, fraction, note)]
            case CallFinished(result):
                shown = [*shown[:-1], *bubbles.finished(result, address)]
            case Notice(words):
                shown, text = [*shown, bubbles.note(words)], ""
            case TurnFinished():
                return
        if time.monotonic() - last >= FRAME_SECONDS or not isinstance(event, TextDelta):
            last = time.monotonic()
            yield shown


def _draw(house: House, at: dict[str, Any]) -> list[Bubble]:
    if at["conversation"] is None:
        return []
    assistant = house.assistant(at["browser"])
    messages = assistant.conversations.path(at["conversation"])
    return bubbles.bubbles_of(messages, lambda artifact: _address(assistant, artifact))


def _listing(assistant: Assistant, at: dict[str, Any]) -> Any:
    choices = [(conversation.title, conversation.id) for conversation in assistant.conversations.all()]
    return gr.update(choices=choices, value=at["conversation"])


def _address(assistant: Assistant, artifact: Artifact) -> str:
    """Copy a picture to gradio's cache, from where alone it may serve files; the data folder stays closed."""
    name = f"{artifact.id}.{artifact.media_type.rpartition('/')[2]}"
    return str(save_bytes_to_cache(assistant.path(artifact).read_bytes(), name, gr.utils.get_upload_folder()))
