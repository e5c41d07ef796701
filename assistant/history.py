"""Conversations as trees of messages, written as things happen. Knows no model, no tool and no screen.

The head of a conversation is its latest message; the conversation shown is the path from the root to the head, so
undoing, retrying or editing only moves the head and loses nothing.
"""

from __future__ import annotations

import dataclasses
import sqlite3
import time
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pydantic

from assistant.database import Database
from assistant.errors import BadInput
from assistant.types import Message

SCHEMA = """
CREATE TABLE IF NOT EXISTS conversations (
    id TEXT PRIMARY KEY, title TEXT NOT NULL DEFAULT '', named INTEGER NOT NULL DEFAULT 0,
    pinned INTEGER NOT NULL DEFAULT 0, deleted REAL, head TEXT, updated REAL NOT NULL
);
CREATE TABLE IF NOT EXISTS messages (
    id TEXT PRIMARY KEY, conversation TEXT NOT NULL, parent TEXT, body TEXT NOT NULL
);
CREATE INDEX IF NOT EXISTS messages_by_conversation ON messages (conversation);
CREATE VIRTUAL TABLE IF NOT EXISTS words USING fts5 (text, tokenize = 'trigram');
CREATE TRIGGER IF NOT EXISTS words_written AFTER INSERT ON messages BEGIN
    INSERT INTO words (rowid, text) VALUES (new.rowid, json_extract(new.body, '$.text') || ' '
        || coalesce(json_extract(new.body, '$.result.text'), ''));
END;
CREATE TRIGGER IF NOT EXISTS words_grown AFTER UPDATE OF body ON messages BEGIN
    UPDATE words SET text = json_extract(new.body, '$.text') || ' '
        || coalesce(json_extract(new.body, '$.result.text'), '') WHERE rowid = new.rowid;
END;
CREATE TRIGGER IF NOT EXISTS words_gone AFTER DELETE ON messages BEGIN
    DELETE FROM words WHERE rowid = old.rowid;
END;
"""
TITLE_CHARACTERS = 60
INDEXED = 3  # letters; shorter words are not in the index of three-letter pieces and are looked for in every message
HITS, AROUND = 50, 60  # of a search: the most, and the letters shown on either side of what was found
_MESSAGE = pydantic.TypeAdapter(Message)


@dataclass(frozen=True, slots=True)
class Conversation:
    """A conversation as a list shows it; `updated` is in seconds since 1970."""

    id: str
    title: str
    updated: float
    pinned: bool = False


@dataclass(frozen=True, slots=True)
class Hit:
    """A message with all words of a search; `found` is the first of them as it stands there, with its surroundings."""

    conversation: str
    title: str
    message: str
    before: str
    found: str
    after: str


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
        """Return the conversations that have a message and were not deleted: the pinned ones, then newest first."""
        rows = self._database.rows(
            "SELECT id, title, updated, pinned FROM conversations WHERE title != '' AND deleted IS NULL "
            "ORDER BY pinned DESC, updated DESC"
        )
        return [Conversation(row["id"], row["title"], row["updated"], bool(row["pinned"])) for row in rows]

    def require(self, conversation: str) -> None:
        """Raise `BadInput` when there is no such conversation."""
        if not self._database.rows("SELECT 1 FROM conversations WHERE id = ? AND deleted IS NULL", conversation):
            raise BadInput(f"There is no conversation {conversation!r}. Begin a new one.")

    def rename(self, conversation: str, title: str) -> None:
        """Call a conversation what a person says; no title made by itself takes that away."""
        title = " ".join(title.split())
        if not title:
            raise BadInput("A conversation needs a name. Write one.")
        self._change(conversation, "title = ?, named = 1", title[:TITLE_CHARACTERS])

    def entitle(self, conversation: str, title: str) -> None:
        """Give a conversation a title that nobody asked for, unless a person has named it."""
        with self._database.transaction() as connection:
            connection.execute(
                "UPDATE conversations SET title = ? WHERE id = ? AND named = 0",
                (" ".join(title.split())[:TITLE_CHARACTERS], conversation),
            )

    def pin(self, conversation: str, pinned: bool) -> None:
        """Keep a conversation at the top of the list, or no longer."""
        self._change(conversation, "pinned = ?", pinned)

    def delete(self, conversation: str) -> None:
        """Take a conversation away; `restore` brings it back until `forget` is called."""
        self._change(conversation, "deleted = ?", time.time())

    def restore(self, conversation: str) -> None:
        """Bring a deleted conversation back."""
        with self._database.transaction() as connection:
            connection.execute("UPDATE conversations SET deleted = NULL WHERE id = ?", (conversation,))
        self.require(conversation)

    def forget(self, seconds: float) -> list[str]:
        """Remove for good what was deleted so long ago, and return which conversations those were."""
        with self._database.transaction() as connection:
            rows = connection.execute(
                "SELECT id FROM conversations WHERE deleted <= ?", (time.time() - seconds,)
            ).fetchall()
            for row in rows:
                connection.execute("DELETE FROM messages WHERE conversation = ?", (row["id"],))
                connection.execute("DELETE FROM conversations WHERE id = ?", (row["id"],))
        return [row["id"] for row in rows]

    def write(self, conversation: str, message: Message) -> None:
        """Store `message` (again, if its text has grown) and make it the head."""
        with self._database.transaction() as connection:
            _write(connection, conversation, message)

    def restore_tree(self, conversation: str, messages: Sequence[Message], head: str | None) -> None:
        """Store all messages of an exported conversation, under ids of their own, for the original may be here too."""
        ids = {message.id: uuid.uuid4().hex for message in messages}
        with self._database.transaction() as connection:
            for message in messages:
                parent = ids[message.parent] if message.parent is not None else None
                _write(connection, conversation, dataclasses.replace(message, id=ids[message.id], parent=parent))
            shown = ids[head] if head is not None else None
            connection.execute("UPDATE conversations SET head = ? WHERE id = ?", (shown, conversation))

    def path(self, conversation: str) -> list[Message]:
        """Return the messages from the root to the head."""
        messages = self.tree(conversation)
        heads = self._database.rows("SELECT head FROM conversations WHERE id = ?", conversation)
        path: list[Message] = []
        at = heads[0]["head"] if heads else None
        while at in messages:
            path.append(messages[at])
            at = path[-1].parent
        return path[::-1]

    def tree(self, conversation: str) -> Mapping[str | None, Message]:
        """Return all messages by their ids, in the order in which they were begun."""
        rows = self._database.rows("SELECT id, body FROM messages WHERE conversation = ? ORDER BY rowid", conversation)
        return {row["id"]: _MESSAGE.validate_json(row["body"]) for row in rows}

    def versions(self, conversation: str) -> dict[str, tuple[str, ...]]:
        """Return for each message shown that has others in its place the ids of all of them, oldest first."""
        children: dict[str | None, list[str]] = {}
        for message in self.tree(conversation).values():
            children.setdefault(message.parent, []).append(message.id)
        shown = self.path(conversation)
        return {one.id: tuple(children[one.parent]) for one in shown if len(children[one.parent]) > 1}

    def show(self, conversation: str, message: str) -> None:
        """Show the branch of a message: what was last said after it becomes the head."""
        tree = self.tree(conversation)
        if message not in tree:
            raise BadInput("That message is not in this conversation. Reload the page.")
        below, last = {message}, message
        for one in tree.values():  # a message is begun after the one it follows
            if one.parent in below:
                below.add(one.id)
                last = one.id
        self.move_head(conversation, last)

    def move_head(self, conversation: str, message: str | None) -> None:
        """Make `message` the head; what came after it stays in the tree."""
        with self._database.transaction() as connection:
            connection.execute("UPDATE conversations SET head = ? WHERE id = ?", (message, conversation))

    def search(self, query: str) -> list[Hit]:
        """Return messages that have all words of `query`, in whatever case, those of the newest conversations first."""
        words = query.split()
        if not words:
            return []
        long = [word for word in words if len(word) >= INDEXED]
        conditions = ["text LIKE ? ESCAPE '\\'" for word in words if len(word) < INDEXED]
        values = [f"%{_escaped(word)}%" for word in words if len(word) < INDEXED]
        if long:
            conditions.insert(0, "words MATCH ?")
            values.insert(0, " AND ".join('"' + word.replace('"', '""') + '"' for word in long))
        rows = self._database.rows(
            "SELECT c.id, c.title, m.id AS message, text FROM words JOIN messages m ON m.rowid = words.rowid "
            "JOIN conversations c ON c.id = m.conversation "
            f"WHERE c.deleted IS NULL AND {' AND '.join(conditions)} ORDER BY c.updated DESC, m.rowid LIMIT {HITS}",
            *values,
        )
        return [Hit(row["id"], row["title"], row["message"], *_surroundings(row["text"], words[0])) for row in rows]

    def _change(self, conversation: str, what: str, value: object) -> None:
        self.require(conversation)
        with self._database.transaction() as connection:
            connection.execute(f"UPDATE conversations SET {what} WHERE id = ?", (value, conversation))


def _write(connection: sqlite3.Connection, conversation: str, message: Message) -> None:
    body = _MESSAGE.dump_json(message).decode()
    title = " ".join((message.text or ", ".join(a.name for a in message.artifacts)).split())
    connection.execute(
        "INSERT INTO messages VALUES (?, ?, ?, ?) ON CONFLICT (id) DO UPDATE SET body = excluded.body",
        (message.id, conversation, message.parent, body),
    )
    connection.execute(
        "UPDATE conversations SET head = ?, updated = ?, title = CASE title WHEN '' THEN ? ELSE title END WHERE id = ?",
        (message.id, time.time(), title[:TITLE_CHARACTERS], conversation),
    )


def _escaped(word: str) -> str:
    """Write a word for LIKE, whose own signs then stand for themselves."""
    return word.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")


def _surroundings(text: str, word: str) -> tuple[str, str, str]:
    """Return what stands before a word, the word itself, and what stands after it; cut parts end with an ellipsis."""
    text = " ".join(text.split())
    at = max(0, text.lower().find(word.lower()))
    end = at + len(word)
    before, after = text[max(0, at - AROUND) : at], text[end : end + AROUND]
    return f"{'…' if at > AROUND else ''}{before}", text[at:end], f"{after}{'…' if end + AROUND < len(text) else ''}"
