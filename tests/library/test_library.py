"""Documents become passages, passages are found with file and page, and nothing is lost or doubled."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from assistant import Assistant
from assistant.library.passages import PASSAGE_CHARACTERS, split_pages
from assistant.settings import Settings
from tests.pdf import write_pdf

GARDEN = """# Garden notes

Tomatoes need six hours of sun and water twice a week. Plant them after the last frost.

## Compost

Turn the heap every three weeks. Add brown leaves when it smells.
"""
KETTLE = ["Thank you for buying the Brunel kettle.", "The warranty lasts 27 months from the day of purchase."]


@pytest.fixture
def garden(tmp_path: Path) -> Path:
    path = tmp_path / "garden.md"
    path.write_text(GARDEN)
    return path


@pytest.fixture
def kettle(tmp_path: Path) -> Path:
    return write_pdf(tmp_path / "kettle.pdf", KETTLE)


def test_a_passage_is_found_with_its_file_and_page(maru: Assistant, garden: Path, kettle: Path) -> None:
    assert maru.call("add_to_library", document=str(garden)).text == "garden.md was added to the library (2 passages)."
    assert maru.call("add_to_library", document=str(kettle)).text == "kettle.pdf was added to the library (2 passages)."
    found = maru.call("search_library", query="How long is the warranty of the kettle?").data["passages"]
    assert found[0]["citation"] == "kettle.pdf, page 2"
    assert found[0]["text"] == KETTLE[1]
    found = maru.call("search_library", query="when do I turn the compost").data["passages"]
    assert found[0]["citation"] == "garden.md"
    assert found[0]["text"].startswith("Compost Turn the heap every three weeks.")


def test_the_same_file_twice_adds_nothing(maru: Assistant, garden: Path, tmp_path: Path) -> None:
    maru.call("add_to_library", document=str(garden))
    copy = tmp_path / "copy.md"
    copy.write_bytes(garden.read_bytes())
    again = maru.call("add_to_library", document=str(copy))
    assert "is in the library already" in again.text
    assert maru.library.documents() == ["garden.md"]
    assert len(maru.call("search_library", query="compost", count=20).data["passages"]) <= 2


def test_passages_survive_a_restart_and_another_process_adds_to_them(house: Settings, garden: Path) -> None:
    first = Assistant(house, owner="restart")
    first.call("add_to_library", document=str(garden))
    assert not first.call("search_library", query="tomatoes").failed
    code = f"""
from pathlib import Path
from assistant import Assistant
from assistant.settings import Settings
other = Assistant(Settings(data=Path({str(house.data)!r}), profile="embedded"), owner="restart")
Path({str(garden.parent / "shed.txt")!r}).write_text("The key to the shed hangs behind the door.")
print(other.call("add_to_library", document={str(garden.parent / "shed.txt")!r}).text)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "was added" in done.stdout
    found = first.call("search_library", query="where is the key to the shed").data["passages"]
    assert found[0]["citation"] == "shed.txt"
    first.close()


def test_an_empty_library_says_how_to_fill_it(maru: Assistant) -> None:
    result = maru.call("search_library", query="anything")
    assert result.failed
    assert result.text == "The library is empty. Attach a PDF, Markdown or text file to fill it."


def test_another_owner_finds_nothing(maru: Assistant, house: Settings, garden: Path) -> None:
    maru.call("add_to_library", document=str(garden))
    other = Assistant(house, owner="somebody-else")
    assert other.call("search_library", query="tomatoes").failed
    other.close()


def test_a_pdf_without_text_a_protected_one_and_a_broken_one_are_sentences(maru: Assistant, tmp_path: Path) -> None:
    blank = write_pdf(tmp_path / "scan.pdf", ["", ""])
    text = maru.call("add_to_library", document=str(blank)).text
    assert text == (
        "'scan.pdf' has 2 pages but no text; it may be scanned. Attach its pages as pictures and ask to read them."
    )
    locked = write_pdf(tmp_path / "locked.pdf", ["A secret."], password="open sesame")
    assert (
        "is protected by a password. Save a copy without one" in maru.call("add_to_library", document=str(locked)).text
    )
    broken = tmp_path / "broken.pdf"
    broken.write_bytes(b"%PDF-1.7\nand then nothing of the kind")
    assert "'broken.pdf' is damaged" in maru.call("add_to_library", document=str(broken)).text
    assert maru.library.documents() == []


def test_passages_are_short_and_lose_no_word() -> None:
    page = "\n\n".join(f"Paragraph {i}. " + "It has several sentences of words. " * (i % 9) for i in range(40))
    passages = split_pages([page, "Last page."])
    assert max(len(passage.text) for passage in passages) <= PASSAGE_CHARACTERS
    assert " ".join(passage.text for passage in passages).split() == [*page.split(), "Last", "page."]
    assert passages[-1].page == 2


def test_a_heading_begins_a_passage_and_stays_with_its_text() -> None:
    assert [passage.text.split()[0] for passage in split_pages([GARDEN])] == ["Garden", "Compost"]
