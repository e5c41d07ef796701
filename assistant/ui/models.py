"""The panel that shows which models are in memory and loads or unloads them. Knows the façade's rows, no model."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import gradio as gr

from assistant.errors import AssistantError
from assistant.residents import Status
from assistant.settings import GIGABYTE
from assistant.ui.handlers import House

HEADERS = ["role", "model", "GB", "where", "since"]
REFRESH_SECONDS = 5.0
Rows = list[list[str]]


def panel(house: House) -> None:
    """Lay out the panel and connect it; on a server that others share it only shows, changing nothing."""
    maru = house.anybody()

    def rows() -> Rows:
        return [_row(status) for status in maru.models()]

    def load(role: str) -> Rows:
        _try(lambda: maru.load(role))
        return rows()

    def unload(role: str) -> Rows:
        _try(lambda: maru.unload(role))
        return rows()

    hidden: dict[str, Any] = {"api_visibility": "private", "show_progress": "hidden", "concurrency_limit": None}
    with gr.Accordion("Models", open=False, elem_id="models"):
        table = gr.Dataframe(headers=HEADERS, interactive=False, show_label=False, label="Models")
        gr.Timer(REFRESH_SECONDS).tick(rows, None, table, **hidden)
        if not house.shared:
            roles = [status.role for status in maru.models()]
            with gr.Row(equal_height=True):
                role = gr.Dropdown(roles, value=roles[0], show_label=False, label="Role")
                gr.Button("Load").click(load, role, table, **hidden)
                gr.Button("Unload").click(unload, role, table, **hidden)


def _row(status: Status) -> list[str]:
    since = time.strftime("%H:%M", time.localtime(status.since)) if status.since else ""
    size = f"{status.bytes / GIGABYTE:.2f}" if status.bytes else ""
    where = status.where or ("not loaded" if status.bytes else "not available")
    return [status.role, status.name, size, where, since]


def _try(work: Callable[[], None]) -> None:
    try:
        work()
    except AssistantError as error:
        gr.Warning(str(error))
