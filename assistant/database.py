"""One SQLite file per owner, in WAL mode. Knows how to open, repair and share it, not what the tables mean.

A damaged file is kept beside the new one, and every row that can still be read is carried over.
"""

import contextlib
import logging
import sqlite3
import threading
import time
import uuid
from collections.abc import Iterator
from pathlib import Path

log = logging.getLogger(__name__)


class Database:
    """A connection shared by threads: reads and writes go through `transaction`, one at a time."""

    def __init__(self, path: Path, schema: str) -> None:
        """Open or create `path` with `schema` (idempotent SQL); a damaged file is set aside and salvaged."""
        path.parent.mkdir(parents=True, exist_ok=True)
        self._lock = threading.RLock()
        self.repaired: str | None = None
        """What happened to a damaged file, in a sentence; None when it was sound."""
        try:
            self._connection = _connect(path, schema)
        except sqlite3.DatabaseError as error:
            # not one that is merely locked, nor a schema of ours that is wrong
            if error.sqlite_errorcode & 0xFF not in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB):
                raise
            self.repaired = _repair(path, schema, error)
            self._connection = _connect(path, schema)

    @contextlib.contextmanager
    def transaction(self) -> Iterator[sqlite3.Connection]:
        """Give the connection to one thread; commit at the end, roll back on an error."""
        with self._lock, self._connection:
            self._connection.execute("BEGIN IMMEDIATE")  # no other process writes between our reading and writing
            yield self._connection

    def rows(self, sql: str, *values: object) -> list[sqlite3.Row]:
        """Run one query and return all its rows."""
        with self._lock:
            return self._connection.execute(sql, values).fetchall()

    def close(self) -> None:
        """Close the file; what was committed stays."""
        self._connection.close()


def _connect(path: Path, schema: str) -> sqlite3.Connection:
    connection = sqlite3.connect(path, check_same_thread=False, timeout=30)
    connection.row_factory = sqlite3.Row
    try:
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("PRAGMA synchronous=NORMAL")
        connection.execute("PRAGMA foreign_keys=ON")
        problem = connection.execute("PRAGMA quick_check(1)").fetchone()[0]
        if problem != "ok":
            error = sqlite3.DatabaseError(" ".join(problem.split()))
            error.sqlite_errorcode = sqlite3.SQLITE_CORRUPT
            raise error
        connection.executescript(schema)
    except BaseException:
        connection.close()
        raise
    return connection


def _repair(path: Path, schema: str, error: sqlite3.DatabaseError) -> str:
    kept = path.with_name(f"{path.name}.damaged-{time.strftime('%Y%m%d-%H%M%S')}-{uuid.uuid4().hex[:4]}")
    for suffix in ("", "-wal", "-shm"):
        part = path.with_name(path.name + suffix)
        if part.exists():
            part.rename(kept.with_name(kept.name + suffix))
    saved = _salvage(kept, path, schema)
    sentence = (
        f"The database {path.name} was damaged ({error}). {saved} rows could be read and were kept; "
        f"the damaged file is {kept}."
    )
    log.warning(sentence)
    return sentence


def _salvage(damaged: Path, path: Path, schema: str) -> int:
    """Copy what can be read, table by table and from both ends, into a new file; return the number of rows."""
    new = _connect(path, schema)
    old = sqlite3.connect(f"{damaged.resolve().as_uri()}?mode=ro", uri=True)
    old.execute("PRAGMA writable_schema=ON")  # reads on where the table of tables itself is damaged
    new.execute("PRAGMA foreign_keys=OFF")
    saved = 0
    tables = [
        row[0]
        # what an index of words is made of fills itself from the rows it is of
        for row in new.execute("SELECT name FROM pragma_table_list WHERE type = 'table' AND name NOT LIKE 'sqlite_%'")
    ]
    with new:
        for table in tables:
            for order in ("ASC", "DESC"):
                with contextlib.suppress(sqlite3.DatabaseError):
                    for row in old.execute(f'SELECT * FROM "{table}" ORDER BY rowid {order}'):
                        marks = ",".join("?" * len(row))
                        done = new.execute(f'INSERT OR IGNORE INTO "{table}" VALUES ({marks})', row)
                        saved += done.rowcount
    old.close()
    new.close()
    return saved
