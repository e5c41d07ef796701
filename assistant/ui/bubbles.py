"""Turns messages and events into chat bubbles, plain dictionaries as gradio's Chatbot takes them. Draws nothing itself.

What tools return is shown as text in a code block: it is data, so no markup in it is ever rendered.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Sequence
from typing import Any

from assistant.types import Artifact, Message, ToolCall, ToolResult

Bubble = dict[str, Any]
Shown = tuple[str, str]
"""The file that the browser may load for an artifact, and what it shows, as far as that is known."""
STEP_CHARACTERS = 2000  # of a result shown in its step; the rest is counted


def bubbles_of(messages: Sequence[Message], look_up: Callable[[Artifact], Shown]) -> list[Bubble]:
    """Draw a stored conversation; `look_up` tells of an artifact what is known by now."""
    bubbles: list[Bubble] = []
    for message in messages:
        if message.role == "user":
            bubbles += said(message, look_up)
        elif message.result is not None:
            bubbles += finished(message.result, look_up)
        elif message.text:
            bubbles.append(answer(message.text))
    return bubbles


def said(message: Message, look_up: Callable[[Artifact], Shown]) -> list[Bubble]:
    """Draw what the person said: each file with its handle, then the words."""
    content: list[Any] = []
    for artifact in message.artifacts:
        if artifact.kind == "image":
            content.append(_picture(f"{artifact.id}, {artifact.name}", look_up(artifact)))
        content.append({"type": "text", "text": f"`{artifact.id}` {_escape(artifact.name)}"})
    if message.text:
        content.append({"type": "text", "text": _escape(message.text)})
    return [{"role": "user", "content": content}]


def answer(text: str) -> Bubble:
    """Draw words of the model; pictures from elsewhere are not loaded, whatever the words say."""
    return {"role": "assistant", "content": _escape(text)}


def note(text: str) -> Bubble:
    """Draw something the person should know."""
    return {"role": "assistant", "content": "", "metadata": {"title": f"ℹ {text}", "status": "done"}}


def started(call: ToolCall) -> Bubble:
    """Draw a running tool."""
    return _step(call, "", "pending")


def progressed(call: ToolCall, fraction: float | None, text: str) -> Bubble:
    """Draw how far a running tool is."""
    return _step(call, text if fraction is None else f"{text} {fraction:.0%}", "pending")


def previewed(call: ToolCall, jpeg: bytes) -> Bubble:
    """Draw what a running tool has made so far."""
    picture = base64.b64encode(jpeg).decode()
    return _step(call, f'<img alt="preview" src="data:image/jpeg;base64,{picture}">', "pending")


def finished(result: ToolResult, look_up: Callable[[Artifact], Shown]) -> list[Bubble]:
    """Draw a tool's outcome, and its pictures below it where they are seen without opening the step."""
    step = _step(result.call, _block(result.text), "done", failed=result.failed)
    if result.receipt is not None:
        step["metadata"]["duration"] = result.receipt.seconds
        step["content"] += "".join(f"\n`{model}`" for model in result.receipt.models)
    pictures = [artifact for artifact in result.artifacts if artifact.kind == "image"]
    drawn = [_picture(artifact.id, look_up(artifact)) for artifact in pictures]
    return [step, *({"role": "assistant", "content": content} for content in drawn)]


def _picture(called: str, shown: Shown) -> dict[str, Any]:
    """Draw a picture with a text for those who do not see it.

    Gradio's Chatbot leaves out the `alt_text` of a file, but not that of its component for images.
    """
    path, alt = shown
    return {
        "type": "component",
        "component": "image",
        "value": {"path": path, "meta": {"_type": "gradio.FileData"}},
        "constructor_args": {},
        "props": {"alt_text": f"{called}: {alt}" if alt else called},
    }


def _step(call: ToolCall, content: str, status: str, failed: bool = False) -> Bubble:
    arguments = ", ".join(f"{key}={json.dumps(value, ensure_ascii=False)}" for key, value in call.arguments.items())
    title = f"{'⚠' if failed else '⚙'} {call.name}({arguments}){' failed' if failed else ''}"
    return {"role": "assistant", "content": content, "metadata": {"title": title, "status": status, "id": call.id}}


def _block(text: str) -> str:
    shown = text[:STEP_CHARACTERS]
    more = f"\n… and {len(text) - len(shown)} more characters" if len(text) > len(shown) else ""
    fence = "```"
    while fence in shown:
        fence += "`"
    return f"{fence}text\n{shown}{more}\n{fence}"


def _escape(text: str) -> str:
    return text.replace("![", "!\\[").replace("<", "&lt;")
