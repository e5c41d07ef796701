"""Maru, a private multimodal assistant. `Assistant` is all that scripts need."""

from assistant.assistant import Assistant

__all__ = ["Assistant"]
