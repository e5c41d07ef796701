"""The command `conversations`: list, search, name, delete, export and take in what was said. Knows the façade only."""

from __future__ import annotations

import argparse
import dataclasses
import time
from pathlib import Path

from assistant.assistant import Assistant
from assistant.errors import BadInput
from assistant.printing import print_json, say


def add_options(parser: argparse.ArgumentParser) -> None:
    """Say what the command can do; without any of it, it lists the conversations."""
    one = parser.add_mutually_exclusive_group()
    one.add_argument("--search", metavar="WORDS", help="find messages that have all these words")
    one.add_argument("--rename", nargs=2, metavar=("ID", "TITLE"), help="call a conversation something else")
    one.add_argument("--delete", metavar="ID", help="delete a conversation; for a day it can be restored")
    one.add_argument("--restore", metavar="ID", help="bring a deleted conversation back")
    one.add_argument("--export", nargs=2, metavar=("ID", "FILE"), help="write it to a .md, .json or .zip file")
    one.add_argument("--import", dest="take_in", metavar="FILE", type=Path, help="add one that was exported as .zip")


def run(options: argparse.Namespace) -> bool:
    """Do what was asked."""
    assistant = Assistant()
    past = assistant.conversations
    if options.search is not None:
        hits = past.search(options.search)
        for hit in hits:
            if options.json:
                print_json(dataclasses.asdict(hit))
            else:
                print(f"{hit.conversation}  {hit.title}\n    {hit.before}{hit.found}{hit.after}")
        return bool(hits)
    if options.rename:
        past.rename(*options.rename)
    elif options.delete:
        past.delete(options.delete)
        say(f"Deleted. For a day it can be brought back: conversations --restore {options.delete}")
    elif options.restore:
        past.restore(options.restore)
    elif options.export:
        _export(assistant, options.export[0], Path(options.export[1]))
    elif options.take_in:
        print(assistant.take_in(_read(options.take_in)))
    else:
        _list(assistant, options.json)
    return True


def _list(assistant: Assistant, as_json: bool) -> None:
    for one in assistant.conversations.all():
        if as_json:
            print_json(dataclasses.asdict(one))
        else:
            day = time.strftime("%Y-%m-%d %H:%M", time.localtime(one.updated))
            print(f"{one.id}  {day}  {'* ' if one.pinned else ''}{one.title}")


def _export(assistant: Assistant, conversation: str, path: Path) -> None:
    match path.suffix.lower():
        case ".md":
            content = assistant.export(conversation, "md")
        case ".json":
            content = assistant.export(conversation, "json")
        case ".zip":
            content = assistant.export(conversation, "zip")
        case _:
            raise BadInput(f"{path.name!r} must end with .md, .json or .zip, which says what to write.")
    try:
        path.write_bytes(content)
    except OSError as error:
        raise BadInput(f"{str(path)!r} cannot be written ({error.strerror}). Name another file.") from None


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise BadInput(f"{str(path)!r} cannot be read ({error.strerror}). Check the path.") from None
