"""A database file survives crashes and company, and a damaged one is set aside with every readable row carried over."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from assistant.database import Database

SCHEMA = """
CREATE TABLE IF NOT EXISTS people (id TEXT PRIMARY KEY, name TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS notes (id INTEGER PRIMARY KEY, person TEXT REFERENCES people (id), text TEXT);
"""
PEOPLE = [("a", "Alder"), ("b", "Birch")]
NOTES = [(number, "ab"[number % 2], f"note {number} " + "x" * 400) for number in range(1, 1001)]
JUNK = b"\xde\xad\xbe\xef" * 1024

WRITER = """
import os, sys
from pathlib import Path
from assistant.database import Database

database = Database(Path(sys.argv[1]), sys.argv[2])
print("open", flush=True)
exec(sys.argv[3])
"""
ADD = """
for number in range(100):
    with database.transaction() as connection:
        connection.execute("INSERT INTO people VALUES (?, 'there')", (f"there-{number}",))
"""
CRASH = """
people = ((f"{number:04}", "Alder" * 400) for number in range(3000))  # more than an open transaction holds in memory
with database.transaction() as connection:
    connection.executemany("INSERT INTO people VALUES (?, ?)", people)
with database.transaction() as connection:
    connection.execute("UPDATE people SET name = 'Birch'")
    connection.execute("INSERT INTO people VALUES ('b', 'Birch')")
    os._exit(7)
"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A closed database with two people and a thousand notes."""
    path = tmp_path / "maru.db"
    database = Database(path, SCHEMA)
    with database.transaction() as connection:
        connection.executemany("INSERT INTO people VALUES (?, ?)", PEOPLE)
        connection.executemany("INSERT INTO notes VALUES (?, ?, ?)", NOTES)
    database.close()
    return path


def overwrite(path: Path, begin: float, end: float) -> bytes:
    """Put junk over part of the file, `begin` to `end` of its length; return what the file holds then."""
    content = bytearray(path.read_bytes())
    first, last = int(len(content) * begin), int(len(content) * end)
    content[first:last] = (JUNK * (len(content) // len(JUNK) + 1))[: last - first]
    path.write_bytes(content)
    return bytes(content)


def all_rows(database: Database, table: str) -> list[tuple[object, ...]]:
    return [tuple(row) for row in database.rows(f"SELECT * FROM {table} ORDER BY id")]


def kept_files(path: Path) -> list[Path]:
    return [file for file in path.parent.glob(f"{path.name}.damaged-*") if not file.name.endswith(("-wal", "-shm"))]


def test_a_file_damaged_in_the_middle_is_set_aside_and_its_readable_rows_are_carried_over(path: Path) -> None:
    damaged = overwrite(path, 0.45, 0.55)
    database = Database(path, SCHEMA)
    [kept] = kept_files(path)
    assert kept.read_bytes() == damaged
    rows = all_rows(database, "notes")
    assert all_rows(database, "people") == PEOPLE
    assert 600 < len(rows) < len(NOTES) and set(rows) < set(NOTES)
    assert rows[0] == NOTES[0] and rows[-1] == NOTES[-1]
    assert database.repaired is not None
    assert f"{len(rows) + len(PEOPLE)} rows could be read and were kept" in database.repaired
    assert "maru.db was damaged" in database.repaired and str(kept) in database.repaired
    database.close()


def test_a_repaired_file_is_sound_and_can_be_written(path: Path) -> None:
    overwrite(path, 0.45, 0.55)
    Database(path, SCHEMA).close()
    database = Database(path, SCHEMA)
    assert database.repaired is None
    with database.transaction() as connection:
        connection.execute("INSERT INTO notes (person, text) VALUES ('a', 'new')")
    assert all_rows(database, "notes")[-1] == (1001, "a", "new")
    assert len(kept_files(path)) == 1
    database.close()


@pytest.mark.parametrize("content", [b"This is a letter, and no database at all. " * 200, JUNK * 4])
def test_a_file_that_is_no_database_is_kept_beside_an_empty_one(path: Path, content: bytes) -> None:
    path.write_bytes(content)
    database = Database(path, SCHEMA)
    [kept] = kept_files(path)
    assert kept.read_bytes() == content
    assert database.repaired is not None and str(kept) in database.repaired and " 0 rows" in database.repaired
    assert all_rows(database, "people") == []
    database.close()


def test_a_file_that_lost_its_end_is_kept_beside_a_new_one(path: Path) -> None:
    content = path.read_bytes()[: path.stat().st_size // 2]
    path.write_bytes(content)
    database = Database(path, SCHEMA)
    [kept] = kept_files(path)
    assert kept.read_bytes() == content
    assert database.repaired is not None and str(kept) in database.repaired
    assert set(all_rows(database, "notes")) < set(NOTES)
    database.close()


def test_a_locked_file_is_not_taken_for_a_damaged_one(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Database(path, SCHEMA).close()
    impatient = sqlite3.connect
    monkeypatch.setattr(sqlite3, "connect", lambda *args, **options: impatient(*args, **{**options, "timeout": 0}))
    busy = impatient(path)
    busy.execute("BEGIN EXCLUSIVE")
    with pytest.raises(sqlite3.OperationalError, match="locked"):
        Database(path, "CREATE TABLE another (id TEXT)")
    busy.close()
    assert [file.name for file in path.parent.iterdir() if "damaged" in file.name] == []


def test_a_folder_with_signs_of_a_url_in_its_name_is_salvaged_all_the_same(tmp_path: Path) -> None:
    path = tmp_path / "50% of #1?" / "maru.sqlite"
    database = Database(path, SCHEMA)
    with database.transaction() as connection:
        connection.executemany("INSERT INTO people VALUES (?, ?)", PEOPLE)
        connection.executemany("INSERT INTO notes VALUES (?, ?, ?)", NOTES)
    database.close()
    content = bytearray(path.read_bytes())
    content[40 * 4096 : 41 * 4096] = JUNK[:4096]
    path.write_bytes(content)
    again = Database(path, SCHEMA)
    assert again.repaired is not None
    assert len(again.rows("SELECT * FROM notes")) > 500
    again.close()


def test_a_sound_file_is_left_alone(path: Path) -> None:
    database = Database(path, SCHEMA)
    assert database.repaired is None and kept_files(path) == []
    assert (all_rows(database, "people"), all_rows(database, "notes")) == (PEOPLE, NOTES)
    database.close()


def test_a_transaction_that_fails_leaves_nothing(path: Path) -> None:
    database = Database(path, SCHEMA)
    with pytest.raises(sqlite3.IntegrityError), database.transaction() as connection:
        connection.execute("INSERT INTO people VALUES ('c', 'Cedar')")
        connection.execute("INSERT INTO notes (person, text) VALUES ('nobody', 'lost')")
    assert all_rows(database, "people") == PEOPLE
    database.close()


def test_two_connections_see_what_the_other_has_committed(path: Path) -> None:
    here, there = Database(path, SCHEMA), Database(path, SCHEMA)
    with here.transaction() as connection:
        connection.execute("INSERT INTO people VALUES ('c', 'Cedar')")
        assert all_rows(there, "people") == PEOPLE
    assert all_rows(there, "people") == [*PEOPLE, ("c", "Cedar")]
    here.close()
    there.close()


def test_threads_share_a_connection(path: Path) -> None:
    database = Database(path, SCHEMA)

    def add(thread: int) -> None:
        for number in range(50):
            with database.transaction() as connection:
                connection.execute("INSERT INTO people VALUES (?, 'thread')", (f"{thread}-{number}",))
            database.rows("SELECT count(*) FROM people")

    threads = [threading.Thread(target=add, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(all_rows(database, "people")) == len(PEOPLE) + 4 * 50
    database.close()


@pytest.fixture
def start(path: Path) -> Callable[[str], subprocess.Popen[str]]:
    def start(work: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, "-c", WRITER, str(path), SCHEMA, work], stdout=subprocess.PIPE, text=True
        )

    return start


def test_two_processes_write_the_same_file_and_lose_nothing(
    path: Path, start: Callable[[str], subprocess.Popen[str]]
) -> None:
    database = Database(path, SCHEMA)
    with start(ADD) as other:
        assert other.stdout is not None and other.stdout.readline() == "open\n"
        for number in range(100):
            with database.transaction() as connection:
                connection.execute("INSERT INTO people VALUES (?, 'here')", (f"here-{number}",))
    assert other.returncode == 0
    counts = database.rows("SELECT count(*) FROM people GROUP BY name ORDER BY name")
    assert [row[0] for row in counts] == [1, 1, 100, 100]
    database.close()


def test_a_crash_loses_only_the_open_transaction(tmp_path: Path) -> None:
    path = tmp_path / "crashed.db"
    done = subprocess.run([sys.executable, "-c", WRITER, str(path), SCHEMA, CRASH])
    assert done.returncode == 7
    database = Database(path, SCHEMA)
    assert database.repaired is None
    assert all_rows(database, "people") == [(f"{number:04}", "Alder" * 400) for number in range(3000)]
    database.close()
