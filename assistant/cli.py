"""The command line, `python -m assistant COMMAND`, everything without the screen. Knows the façade, not what is below.

Answers go to stdout, everything else to stderr. With --json each answer is one JSON value a line.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from assistant import shelf
from assistant.assistant import Assistant
from assistant.errors import AssistantError
from assistant.printing import print_json, say
from assistant.registry import obstacle
from assistant.settings import Settings, read_settings
from assistant.tools import Tool
from assistant.types import CallFinished, CallProgress, CallStarted, Notice, TextDelta, TurnFinished


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; return 0, or 1 after saying on stderr what went wrong."""
    options = _parser().parse_args(argv)
    try:
        ok = options.run(options)
    except AssistantError as error:
        say(str(error))
        return 1
    except KeyboardInterrupt:
        say("Stopped.")
        return 1
    return 0 if ok else 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m assistant", description="Maru without the browser.")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    def command(name: str, run: Any, description: str) -> argparse.ArgumentParser:
        sub = commands.add_parser(name, help=description, description=description)
        sub.add_argument("--json", action="store_true", help="print JSON")
        sub.set_defaults(run=run)
        return sub

    tools = command("tools", _tools, "list the tools and their arguments")
    tools.add_argument("--markdown", action="store_true", help="print the table that README shows")
    call = command("call", _call, "run one tool: call NAME --argument value …")
    call.add_argument("tool", metavar="NAME", help="the tool; its arguments follow as --argument value")
    call.add_argument("arguments", nargs=argparse.REMAINDER, help=argparse.SUPPRESS)
    chat = command("chat", _chat, "talk, once with a message or for as long as you like without one")
    chat.add_argument("message", nargs="?", help="what to say; without it, lines are read from the keyboard")
    chat.add_argument("-f", "--file", action="append", default=[], type=Path, help="attach a file (repeat for more)")
    chat.add_argument("-c", "--conversation", help="continue the conversation with this id")
    shelf.add_options(command("conversations", shelf.run, "list, search, export and delete conversations"))
    models = command("models", _models, "list which weights serve which role, and why")
    models.add_argument("--load", metavar="ROLE", help="download and load the model of a role, and tell its size")
    settings = command("settings", _settings, "list the settings and their values")
    settings.add_argument("--markdown", action="store_true", help="print the table that README shows")
    return parser


def _tools(options: argparse.Namespace) -> bool:
    tools = Assistant().tools.values()
    if options.json:
        print_json([_describe(tool) for tool in tools])
    elif options.markdown:
        print(tool_table(tools))
    else:
        for tool in tools:
            arguments = " ".join(_usage(tool))
            print(f"{tool.name} {arguments}\n    {tool.description.splitlines()[0]}")
            if why := obstacle(tool):
                print(f"    Not available here: {why}")
    return True


def tool_table(tools: Any) -> str:
    """Write the table of tools that README shows."""
    rows = ["| tool | what it does | arguments |", "|---|---|---|"]
    for tool in tools:
        arguments = ", ".join(f"`{name}`" for name in tool.arguments.model_fields)
        rows.append(f"| `{tool.name}` | {tool.description.splitlines()[0]} | {arguments} |")
    return "\n".join(rows)


def _call(options: argparse.Namespace) -> bool:
    assistant = Assistant()
    words = [word for word in options.arguments if word != "--json"]
    as_json = options.json or "--json" in options.arguments
    tool = assistant.find_tool(options.tool)
    if "--help" in words or "-h" in words:
        print(_help(tool))
        return True
    events = assistant.start_call(tool.name, _read_arguments(tool, words), threading.Event())
    try:
        while True:
            _say_progress(next(events))
    except StopIteration as end:
        result = end.value
    files = {artifact.id: str(assistant.path(artifact)) for artifact in result.artifacts}
    if as_json:
        print_json({**_plain(result), "files": files})
    elif result.failed:
        say(result.text)
    else:
        print(result.text)
        for handle, path in files.items():
            say(f"{handle}: {path}")
    return not result.failed


def _read_arguments(tool: Tool, words: Sequence[str]) -> dict[str, Any]:
    """Read `--name value` pairs, lists as `--name a,b`; types are checked by the tool itself."""
    parser = argparse.ArgumentParser(prog=f"python -m assistant call {tool.name}", add_help=False)
    for name in tool.arguments.model_fields:
        parser.add_argument(f"--{name}", f"--{name.replace('_', '-')}", dest=name, default=argparse.SUPPRESS)
    given = vars(parser.parse_args(words))
    properties = tool.parameters()["properties"]
    return {name: value.split(",") if _is_list(properties[name]) else value for name, value in given.items()}


def _is_list(schema: dict[str, Any]) -> bool:
    return schema.get("type") == "array" or any(_is_list(part) for part in schema.get("anyOf", ()))


def _help(tool: Tool) -> str:
    properties = tool.parameters()["properties"]
    lines = [f"  --{name}  {schema['description']}" for name, schema in properties.items()]
    return "\n".join(
        [f"python -m assistant call {tool.name} {' '.join(_usage(tool))}", "", tool.description, "", *lines]
    )


def _usage(tool: Tool) -> list[str]:
    required = tool.parameters().get("required", [])
    pairs = {name: f"--{name} {tool.artifacts.get(name, 'value').upper()}" for name in tool.arguments.model_fields}
    return [pair if name in required else f"[{pair}]" for name, pair in pairs.items()]


def _chat(options: argparse.Namespace) -> bool:
    assistant = Assistant()
    if assistant.notice:
        say(assistant.notice)
    if options.message is not None or options.file:
        _turn(assistant, options.message or "", options.file, options.conversation, options.json)
        return True
    say(f"{assistant.model.describe()} Ctrl-D ends.")
    conversation = options.conversation
    while True:
        try:
            message = input("> ")
        except EOFError:
            return True
        if message.strip():
            conversation = _turn(assistant, message, [], conversation, options.json)


def _turn(assistant: Assistant, message: str, files: list[Path], conversation: str | None, as_json: bool) -> str:
    """Print one turn as it happens and return its conversation; Ctrl-C stops the turn, not the program."""
    turn = assistant.chat(message, files, conversation)
    while True:
        try:
            event = next(turn)
        except KeyboardInterrupt:
            turn.cancel()
            continue
        except StopIteration:
            return turn.conversation
        if as_json:
            print_json({"event": type(event).__name__, "conversation": turn.conversation, **_plain(event)})
            continue
        match event:
            case TextDelta(text):
                print(text, end="", flush=True)
            case CallStarted(call):
                say(f"[{call.name} {json.dumps(dict(call.arguments), ensure_ascii=False)}]")
            case CallProgress():
                _say_progress(event)
            case CallFinished(result):
                say(f"[{'failed: ' if result.failed else ''}{result.text}]")
            case Notice(text):
                say(text)
            case TurnFinished():
                print()


def _models(options: argparse.Namespace) -> bool:
    assistant = Assistant()
    if options.load:
        assistant.load(options.load, lambda fraction, note: say(_progress(fraction, note)))
    rows = assistant.models()
    if options.json:
        print_json([dataclasses.asdict(row) for row in rows])
        return True
    for row in rows:
        if row.profile == "remote":
            print(f"{row.role:8} {row.name} (remote, on {row.where})")
            continue
        where = f", in {row.where}, loaded in {row.load_seconds:.1f} s" if row.where else ""
        print(f"{row.role:8} {row.name} ({row.profile}, {row.bytes / 1e9:.2f} GB, {row.licence}{where})")
        if row.reason:
            print(f"         not better, because {row.reason}")
    return True


def _settings(options: argparse.Namespace) -> bool:
    values = read_settings().model_dump(mode="json")
    if options.json:
        print_json(values)
    elif options.markdown:
        print(settings_table())
    else:
        for name, field in Settings.model_fields.items():
            print(f"ASSISTANT_{name.upper()} = {values[name]}\n    {field.description}")
    return True


def settings_table() -> str:
    """Write the table of settings that README shows."""
    rows = ["| variable | default | meaning |", "|---|---|---|"]
    for name, field in Settings.model_fields.items():
        default = "the user-data folder" if name == "data" else field.default
        rows.append(f"| `ASSISTANT_{name.upper()}` | {default} | {field.description} |")
    return "\n".join(rows)


def _describe(tool: Tool) -> dict[str, Any]:
    return {
        "name": tool.name,
        "description": tool.description,
        "parameters": tool.parameters(),
        "effects": tool.effects,
        "examples": tool.examples,
        "obstacle": obstacle(tool),
    }


def _plain(value: Any) -> dict[str, Any]:
    fields = dataclasses.asdict(value)
    fields.pop("preview", None)
    return fields


def _say_progress(event: CallProgress) -> None:
    if event.preview is None:  # a terminal shows no pictures
        say(_progress(event.fraction, event.note))


def _progress(fraction: float | None, note: str) -> str:
    return note if fraction is None else f"{note} {fraction:.0%}"
