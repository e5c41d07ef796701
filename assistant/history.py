"""Conversations as trees of messages, written as things happen. Knows no model, no tool and no screen.

The head of a conversation is its latest message; the conversation shown is the path from the root to the head, so
undoing or retrying only moves the head and loses nothing.
"""

from __future__ import annotations

import time
import uuid
from dataclasses import dataclass

import pydantic

from assistant.database import Database
from assistant.errors import BadInput
from assistant.types import Message

SCHEMA = """
CREATE TABLE IF NOT EXISTS conversations (
    id TEXT PRIMARY KEY, title TEXT NOT NULL DEFAULT '', head TEXT, updated REAL NOT NULL
);
CREATE TABLE IF NOT EXISTS messages (
    id TEXT PRIMARY KEY, conversation TEXT NOT NULL, parent TEXT, body TEXT NOT NULL
);
CREATE INDEX IF NOT EXISTS messages_by_conversation ON messages (conversation);
"""
TITLE_CHARACTERS = 60
_MESSAGE = pydantic.TypeAdapter(Message)


@dataclass(frozen=True, slots=True)
class Conversation:
    """A conversation as a list shows it; `updated` is in seconds since 1970."""

    id: str
    title: str
    updated: float


class History:
    """All conversations of one owner."""

    def __init__(self, database: Database) -> None:
        """Keep them in `database`."""
        self._database = database

    def create(self) -> str:
        """Begin a conversation and return its id."""
        conversation = uuid.uuid4().hex
        with self._database.transaction() as connection:
            connection.execute("INSERT INTO conversations (id, updated) VALUES (?, ?)", (conversation, time.time()))
        return conversation

    def all(self) -> list[Conversation]:
        """Return the conversations that have a message, newest first."""
        rows = self._database.rows(
            "SELECT id, title, updated FROM conversations WHERE title != '' ORDER BY updated DESC"
        )
        return [Conversation(*row) for row in rows]

    def require(self, conversation: str) -> None:
        """Raise `BadInput` when there is no such conversation."""
        if not self._database.rows("SELECT 1 FROM conversations WHERE id = ?", conversation):
            raise BadInput(f"There is no conversation {conversation!r}. Begin a new one.")

    def write(self, conversation: str, message: Message) -> None:
        """Store `message` (again, if its text has grown) and make it the head."""
        body = _MESSAGE.dump_json(message).decode()
        title = " ".join((message.text or ", ".join(a.name for a in message.artifacts)).split())
        with self._database.transaction() as connection:
            connection.execute(
                "INSERT INTO messages VALUES (?, ?, ?, ?) ON CONFLICT (id) DO UPDATE SET body = excluded.body",
                (message.id, conversation, message.parent, body),
            )
            connection.execute(
                "UPDATE conversations SET head = ?, updated = ?, title = CASE title WHEN '' THEN ? ELSE title END "
                "WHERE id = ?",
                (message.id, time.time(), title[:TITLE_CHARACTERS], conversation),
            )

    def path(self, conversation: str) -> list[Message]:
        """Return the messages from the root to the head."""
        rows = self._database.rows("SELECT id, body FROM messages WHERE conversation = ?", conversation)
        messages = {row["id"]: _MESSAGE.validate_json(row["body"]) for row in rows}
        heads = self._database.rows("SELECT head FROM conversations WHERE id = ?", conversation)
        path: list[Message] = []
        at = heads[0]["head"] if heads else None
        while at in messages:
            path.append(messages[at])
            at = path[-1].parent
        return path[::-1]

    def move_head(self, conversation: str, message: str | None) -> None:
        """Make `message` the head; what came after it stays in the tree."""
        with self._database.transaction() as connection:
            connection.execute("UPDATE conversations SET head = ? WHERE id = ?", (message, conversation))
