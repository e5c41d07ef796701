"""README cannot go stale: its tables are printed by the program, its examples run."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from types import ModuleType

import gradio
import pytest

from assistant import Assistant
from assistant.cli import main, settings_table, tool_table
from assistant.registry import discover
from assistant.settings import Settings

README = Path(__file__).parents[1] / "README.md"
BLOCK = re.compile(r"<!-- python -m assistant (?P<command>\w+) --markdown -->\n(?P<table>.*?)<!-- end -->", re.DOTALL)


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", README.read_text(), re.DOTALL)


def test_the_tables_are_those_the_program_prints(maru: Assistant) -> None:
    tables = {match["command"]: match["table"].strip() for match in BLOCK.finditer(README.read_text())}
    fresh = {"tools": tool_table(maru.tools.values()), "settings": settings_table()}
    for command, table in fresh.items():
        assert tables[command] == table, f"README is stale: run `python -m assistant {command} --markdown`"


def test_the_script_example_runs(
    house: Settings, letter: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("ASSISTANT_DATA", str(house.data))
    monkeypatch.setenv("ASSISTANT_PROFILE", "embedded")
    monkeypatch.chdir(letter.parent)
    letter.rename("page.png")
    exec(blocks("python")[0], {})
    out = capsys.readouterr().out
    assert "parcel 4471" in out
    assert "TurnFinished" in out


def test_the_plugin_example_is_a_plugin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "readme_plugins").mkdir()
    (tmp_path / "readme_plugins" / "turn.py").write_text(blocks("python")[1])
    monkeypatch.syspath_prepend(str(tmp_path))
    package = ModuleType("readme_plugins")
    package.__path__ = [str(tmp_path / "readme_plugins")]
    monkeypatch.setitem(sys.modules, "readme_plugins", package)
    (tool,) = discover(package)
    assert tool.name == "turn_picture"
    assert tool.examples == ("rotate this photo", "turn it upside down")


def test_every_command_line_in_readme_is_one_the_program_knows(capsys: pytest.CaptureFixture[str]) -> None:
    commands = set(re.findall(r"python -m assistant (\w+)", README.read_text()))
    assert commands == {"tools", "call", "chat", "conversations", "models", "settings"}
    for command in commands:
        with pytest.raises(SystemExit):
            main([command, "--help"])
        assert command in capsys.readouterr().out


def test_the_two_commands_stand_in_the_makefile() -> None:
    makefile = README.with_name("Makefile").read_text()
    for target in re.findall(r"^make (\w+)", "\n".join(blocks("sh")), re.MULTILINE):
        assert re.search(rf"^{target}:", makefile, re.MULTILINE), target


def test_the_space_card_names_a_gradio_that_the_requirements_allow() -> None:
    version = re.search(r"^sdk_version: (.+)$", README.read_text(), re.MULTILINE)
    assert version is not None
    assert version[1].split(".")[0] == gradio.__version__.split(".")[0]
    assert (README.parent / "assistant/ui/screenshot.png").is_file()
