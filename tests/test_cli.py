"""Everything works without the screen: answers on stdout, the rest on stderr, exit status 1 with a sentence."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from assistant.cli import main
from assistant.settings import Settings
from tests.conftest import LETTER

Captured = pytest.CaptureFixture[str]


@pytest.fixture(autouse=True)
def at_home(house: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ASSISTANT_DATA", str(house.data))
    monkeypatch.setenv("ASSISTANT_PROFILE", "embedded")


def lines(captured: Captured) -> list[dict[str, object]]:
    return [json.loads(line) for line in captured.readouterr().out.splitlines()]


def test_help_imports_neither_torch_nor_gradio() -> None:
    code = (
        "import sys; from assistant.cli import main\n"
        "try: main(['--help'])\n"
        "except SystemExit: pass\n"
        "heavy = {'torch', 'transformers', 'gradio', 'faiss', 'sentence_transformers', 'rapidocr', 'cv2', 'numpy'}\n"
        "print('heavy:', sorted(heavy & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "heavy: []"
    assert "tools" in done.stdout


def test_tools_lists_every_tool_with_its_schema(capsys: Captured) -> None:
    assert main(["tools", "--json"]) == 0
    (tools,) = lines(capsys)
    by_name = {tool["name"]: tool for tool in tools}
    assert by_name["read_text"]["parameters"]["properties"]["image"]["x-artifact"] == "image"
    assert by_name["add_to_library"]["effects"] == "writes"
    assert main(["tools"]) == 0
    assert "search_library --query VALUE [--count VALUE]" in capsys.readouterr().out


def test_call_prints_the_result_as_json_with_the_files(capsys: Captured, letter: Path) -> None:
    assert main(["call", "read_text", "--image", str(letter), "--json"]) == 0
    (result,) = lines(capsys)
    assert result["text"].splitlines() == list(LETTER)
    assert Path(result["files"][result["data"]["picture"]]).is_file()
    assert result["receipt"]["seconds"] > 0


def test_call_prints_words_on_stdout_and_progress_on_stderr(capsys: Captured, letter: Path) -> None:
    assert main(["call", "read_text", "--image", str(letter)]) == 0
    captured = capsys.readouterr()
    assert captured.out.splitlines() == list(LETTER)
    assert "looking for text" in captured.err


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["reed_text"], "There is no tool 'reed_text'. The tools are: "),
        (["read_text", "--image", "gone.png"], "There is no file 'gone.png'. Check the path and try again."),
        (["read_text"], "read_text: 'image' is missing. Its arguments are: image."),
        (["search_library", "--query", "x", "--count", "many"], "'count' is 'many'"),
        (["search_library", "--query", "x", "--count", "99"], "less than or equal to 20"),
    ],
)
def test_a_wrong_call_exits_with_1_and_a_sentence(words: list[str], sentence: str, capsys: Captured) -> None:
    assert main(["call", *words]) == 1
    captured = capsys.readouterr()
    assert sentence in captured.err
    assert captured.out == ""


def test_a_failed_call_in_json_says_failed(capsys: Captured, picture: Path) -> None:
    assert main(["call", "read_text", "--image", str(picture), "--json"]) == 1
    (result,) = lines(capsys)
    assert result["failed"] is True


def test_the_help_of_a_tool_comes_from_its_docstring(capsys: Captured) -> None:
    assert main(["call", "search_library", "--help"]) == 0
    out = capsys.readouterr().out
    assert "--query  What to look for, in the person's words." in out


def test_chat_answers_once_and_prints_each_event_as_json(capsys: Captured, letter: Path) -> None:
    assert main(["chat", "What does it say?", "-f", str(letter), "--json"]) == 0
    events = lines(capsys)
    assert [e["event"] for e in events if e["event"].startswith("Call")][:1] == ["CallStarted"]
    assert "".join(str(e["text"]) for e in events if e["event"] == "TextDelta").splitlines() == list(LETTER)
    conversation = str(events[-1]["conversation"])
    assert main(["chat", "Who sent it? Read it again.", "-c", conversation]) == 0
    assert "Port Office" in capsys.readouterr().out


def test_chat_without_a_message_reads_lines_and_ends_with_the_input(
    capsys: Captured, monkeypatch: pytest.MonkeyPatch
) -> None:
    typed = iter(["What is the capital of France?"])
    monkeypatch.setattr("builtins.input", lambda prompt: next(typed, None) or (_ for _ in ()).throw(EOFError))
    assert main(["chat"]) == 0
    captured = capsys.readouterr()
    assert "Paris" in captured.out
    assert "SmolLM2-135M-Instruct (embedded)." in captured.err


def test_chat_refuses_a_bad_file_in_a_sentence(capsys: Captured, tmp_path: Path) -> None:
    (tmp_path / "empty.png").touch()
    assert main(["chat", "read it", "-f", str(tmp_path / "empty.png")]) == 1
    assert "'empty.png' is empty." in capsys.readouterr().err


def shelf(capsys: Captured, *words: str) -> list[str]:
    """Run the command, which must work, and return what it printed."""
    assert main(["conversations", *words]) == 0
    return capsys.readouterr().out.splitlines()


def test_conversations_are_listed_searched_named_and_deleted(capsys: Captured) -> None:
    assert main(["chat", "The lighthouse keeper", "--json"]) == 0
    here = str(lines(capsys)[0]["conversation"])
    others = shelf(capsys)[1:]
    shelf(capsys, "--rename", here, "The lighthouse")
    assert shelf(capsys)[0].startswith(here) and shelf(capsys)[0].endswith("The lighthouse")
    hit = json.loads(shelf(capsys, "--search", "LIGHTHOUSE keeper", "--json")[0])
    assert (hit["conversation"], hit["found"]) == (here, "lighthouse")
    assert json.loads(shelf(capsys, "--json")[0])["title"] == "The lighthouse"
    shelf(capsys, "--delete", here)
    assert shelf(capsys) == others
    assert main(["conversations", "--search", "lighthouse keeper"]) == 1
    shelf(capsys, "--restore", here)
    assert len(shelf(capsys)) == 1 + len(others)


def test_a_conversation_goes_to_a_file_and_back(capsys: Captured, tmp_path: Path) -> None:
    assert main(["chat", "Good morning", "--json"]) == 0
    here, before = str(lines(capsys)[0]["conversation"]), len(shelf(capsys))
    for name in ("it.md", "it.json", "it.zip"):
        shelf(capsys, "--export", here, str(tmp_path / name))
        assert (tmp_path / name).stat().st_size > 20
    assert "Good morning" in (tmp_path / "it.md").read_text()
    (there,) = shelf(capsys, "--import", str(tmp_path / "it.zip"))
    assert there != here and len(shelf(capsys)) == before + 1


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["--export", "nowhere", "it.md"], "no conversation 'nowhere'"),
        (["--export", "nowhere", "it.exe"], "must end with .md, .json or .zip"),
        (["--import", "missing.zip"], "cannot be read"),
        (["--delete", "nowhere"], "no conversation"),
    ],
)
def test_a_wrong_wish_for_a_conversation_is_a_sentence(words: list[str], sentence: str, capsys: Captured) -> None:
    assert main(["conversations", *words]) == 1
    assert sentence in capsys.readouterr().err


def test_models_says_what_was_chosen_and_why(capsys: Captured, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ASSISTANT_PROFILE", "auto")
    assert main(["models", "--json"]) == 0
    (rows,) = lines(capsys)
    chat = next(row for row in rows if row["role"] == "chat")
    assert chat["name"] in ("SmolLM2-135M-Instruct", "Llama-3.2-1B-Instruct", "Llama-3.1-8B-Instruct")
    if chat["profile"] == "embedded":
        assert "Llama-3.1-8B-Instruct needs a GPU and there is none" in chat["reason"]


def test_a_model_can_be_loaded_by_its_role(capsys: Captured) -> None:
    assert main(["models", "--load", "embed"]) == 0
    assert "embed    all-MiniLM-L6-v2 (embedded, 0.09 GB, Apache-2.0, in memory, loaded in" in capsys.readouterr().out
    assert main(["models", "--load", "smell"]) == 1
    assert "There is no model for 'smell'. There are models for: " in capsys.readouterr().err


def test_a_wrong_setting_is_a_sentence(capsys: Captured, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ASSISTANT_PROFILE", "huge")
    assert main(["tools"]) == 1
    assert "profile" in capsys.readouterr().err
