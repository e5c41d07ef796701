"""Documents a person can ask about: read into passages, embedded, searched. Knows no chat and no tool."""

from assistant.library.library import Added, Hit, Library

__all__ = ["Added", "Hit", "Library"]
