"""The chat page: conversations at the side, bubbles in the middle, a box for words and files below.

Knows where things stand and which handler each one calls, not what the handlers do.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import gradio as gr

from assistant.settings import MEGABYTE
from assistant.ui import models
from assistant.ui.handlers import Handlers, House

CACHE_SECONDS = 24 * 3600  # how long gradio keeps its copies of uploaded and shown files
EXAMPLES = (
    "What does it say? (attach a picture of some text)",
    "What do my documents say about …? (attach a PDF, Markdown or text file)",
    "What is the capital of France?",
)


def serve(house: House, max_upload_mb: float) -> None:
    """Serve the page until Ctrl-C, printing its address."""
    build(house).launch(
        # fonts of the machine itself: nothing is fetched from elsewhere
        theme=gr.themes.Soft(font=["system-ui", "sans-serif"], font_mono=["ui-monospace", "monospace"]),
        css_paths=Path(__file__).with_name("page.css"),
        footer_links=[],
        enable_monitoring=False,
        max_file_size=int(max_upload_mb * MEGABYTE),
        show_error=True,
        ssr_mode=False,
    )


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
        models.panel(house)
        chatbot, box, stop = _conversation()
        hidden: dict[str, Any] = {"api_visibility": "private", "show_progress": "hidden"}
        live: dict[str, Any] = {**hidden, "concurrency_limit": None}
        do = Handlers(house)
        turn = [chatbot, box, stop, listing, seat]
        page.load(do.enter, [seat], [chatbot, listing, seat, notice], **live)
        box.submit(do.send, [box, seat], turn, **live)
        chatbot.retry(do.retry, [seat], turn, **live)
        chatbot.undo(do.undo, [seat], [chatbot, box], **live)
        stop.click(do.stop, [seat], None, queue=False, **hidden)
        for event in (new.click, chatbot.clear):
            event(do.begin, [seat], [chatbot, seat, listing], **live)
        listing.input(do.choose, [listing, seat], [chatbot, seat], **live)
    return page


def _conversation() -> tuple[gr.Chatbot, gr.MultimodalTextbox, gr.Button]:
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
    return chatbot, box, stop
