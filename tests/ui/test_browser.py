"""A real Chromium drives the real app on the embedded models. Screenshots go to the git-ignored `screenshots/`."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect, sync_playwright

from assistant import Assistant
from assistant.settings import Settings
from tests.conftest import LETTER, ScriptedModel

REPOSITORY = Path(__file__).parents[2]
SCREENSHOTS = REPOSITORY / "screenshots"
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
pytestmark = pytest.mark.skipif(
    CHROMIUM is None and "CI" not in os.environ, reason="no Chromium here; install it to test the browser front end"
)
SECONDS = 60_000  # milliseconds a page may take; models load on first use


class Server:
    """The app in a process of its own, on a free port."""

    def __init__(self, data: Path) -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        self._data = data
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        environment = {
            **os.environ,
            "GRADIO_SERVER_PORT": str(self.port),
            "ASSISTANT_DATA": str(self._data),
            "ASSISTANT_PROFILE": "embedded",
        }
        self.process = subprocess.Popen([sys.executable, "app.py"], cwd=REPOSITORY, env=environment)
        for _ in range(600):
            try:
                urllib.request.urlopen(self.url, timeout=1).close()
                return
            except OSError:
                time.sleep(0.1)
        raise AssertionError("the app did not start")

    def describe_first_picture(self, text: str) -> None:
        """Keep what the first picture of the latest conversation shows, as a tool would."""
        settings = Settings(data=self._data, profile="embedded")
        assistant = Assistant(settings, model=ScriptedModel(), tools=[])
        conversation = assistant.conversations.all()[0].id
        assistant._store(conversation).describe(assistant.artifacts(conversation)[0].digest, text)
        assistant.close()

    def kill(self) -> None:
        assert self.process is not None
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()


@pytest.fixture(scope="module")
def server(house: Settings, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    data = tmp_path_factory.mktemp("browser")
    (data / "weights").symlink_to(house.data / "weights")
    server = Server(data)
    server.start()
    yield server
    server.kill()


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    quiet = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update"]
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=[*quiet, "--disable-sync"])
        yield browser
        browser.close()


@pytest.fixture
def page(browser: Browser, server: Server, request: pytest.FixtureRequest) -> Iterator[Page]:
    context = browser.new_context(viewport={"width": 1280, "height": 860})
    page = context.new_page()
    page.set_default_timeout(SECONDS)
    expect.set_options(timeout=SECONDS)
    open_app(page, server)
    yield page
    SCREENSHOTS.mkdir(exist_ok=True)
    page.screenshot(path=SCREENSHOTS / f"{request.node.name}.png")
    context.close()


def open_app(page: Page, server: Server) -> None:
    page.goto(server.url)
    expect(page.locator("#notice")).to_contain_text("SmolLM2-135M-Instruct (embedded)")


def say(page: Page, text: str, *files: Path) -> None:
    if files:
        page.set_input_files("#box input[type=file]", [str(file) for file in files])
        expect(page.locator("#box button[aria-label='Remove File'], #box .thumbnail-item")).not_to_have_count(0)
    page.fill("#box textarea", text)
    page.press("#box textarea", "Enter")


def test_a_page_of_text_is_read_and_answered(page: Page, letter: Path) -> None:
    say(page, "What does it say?", letter)
    chat = page.locator("#chat")
    expect(chat).to_contain_text('read_text(image="image-1")')
    for line in LETTER:
        expect(chat).to_contain_text(line)
    expect(chat.locator(".bot img[src*='read_text.png']")).to_be_visible()  # the picture with the boxes drawn
    expect(page.locator("#stop")).to_be_hidden()


def test_pictures_say_what_they_show_to_those_who_do_not_see_them(page: Page, server: Server, letter: Path) -> None:
    say(page, "What does it say?", letter)
    attached, made = page.locator("#chat .user img"), page.locator("#chat .bot img")
    expect(attached).to_have_attribute("alt", "image-1, letter.png")
    expect(made).to_have_attribute("alt", f"image-2: {' '.join(LETTER)}")
    expect(page.locator("#stop")).to_be_hidden()
    sly = 'A "cat" <img src=x onerror=alert(1)> [a](b) **on** a sofa & `more`.'
    server.describe_first_picture(sly)
    say(page, "What is the capital of France?")
    expect(attached).to_have_attribute("alt", f"image-1, letter.png: {sly}")
    expect(page.locator("#chat")).to_contain_text("Paris")
    page.reload()
    expect(attached).to_have_attribute("alt", f"image-1, letter.png: {sly}")
    expect(page.locator("#chat")).not_to_contain_text("sofa")
    for picture in (attached, made):
        expect(picture).to_have_js_property("naturalWidth", 900)
    expect(page.locator("#chat").get_by_role("button", name="Fullscreen")).to_have_count(2)


def test_documents_are_added_and_the_answer_shows_passage_and_citation(page: Page, tmp_path: Path) -> None:
    (tmp_path / "kettle.txt").write_text("The warranty of the Brunel kettle lasts 27 months.")
    (tmp_path / "garden.md").write_text("Tomatoes need six hours of sun and water twice a week.")
    say(page, "How long is the kettle's warranty?", tmp_path / "kettle.txt", tmp_path / "garden.md")
    chat = page.locator("#chat")
    expect(chat).to_contain_text('add_to_library(document="document-2")')
    expect(chat.locator(".bot").last).to_contain_text("[kettle.txt] The warranty of the Brunel kettle lasts 27 months.")
    chat.get_by_text("search_library(query=").click()  # the step opens and shows what was found
    expect(chat.locator("code", has_text="[kettle.txt] The warranty")).to_be_visible()


def test_stop_ends_a_long_answer_and_keeps_what_was_said(page: Page) -> None:
    say(page, "Write a long story about a ship.")
    answer = page.locator("#chat .bot").last
    expect(answer).to_contain_text(" ", timeout=SECONDS)
    page.click("#stop")
    expect(page.locator("#stop")).to_be_hidden()
    said = answer.inner_text()
    page.wait_for_timeout(1500)
    assert answer.inner_text() == said
    assert len(said) < 1500


def test_a_reload_and_a_second_tab_find_the_conversation(page: Page, server: Server) -> None:
    say(page, "What is the capital of France?")
    expect(page.locator("#chat")).to_contain_text("Paris")
    expect(page.locator("#stop")).to_be_hidden()
    page.reload()
    expect(page.locator("#chat")).to_contain_text("Paris")
    tab = page.context.new_page()
    open_app(tab, server)
    expect(tab.locator("#chat")).to_contain_text("Paris")
    page.click("#new")
    expect(page.locator("#chat")).not_to_contain_text("Paris")
    page.locator("#conversations label", has_text="What is the capital of France?").first.click()
    expect(page.locator("#chat")).to_contain_text("Paris")


def test_undo_gives_the_message_back_and_retry_answers_again(page: Page) -> None:
    say(page, "What is the capital of Italy?")
    expect(page.locator("#chat")).to_contain_text("Rome")
    expect(page.locator("#stop")).to_be_hidden()
    page.click("#chat button[aria-label=Retry]")
    expect(page.locator("#stop")).to_be_hidden()
    expect(page.locator("#chat")).to_contain_text("Rome")
    page.click("#chat button[aria-label=Undo]")
    expect(page.locator("#box textarea")).to_have_value("What is the capital of Italy?")
    expect(page.locator("#chat")).not_to_contain_text("Rome")


def test_undo_gives_attached_files_back_under_their_names(page: Page, letter: Path) -> None:
    disguised = letter.rename(letter.with_name("letter.html"))
    say(page, "What does it say?", disguised)
    expect(page.locator("#stop")).to_be_hidden()
    expect(page.locator("#chat .bot").last).to_contain_text("Port Office")
    page.click("#chat button[aria-label=Undo]")
    expect(page.locator("#box textarea")).to_have_value("What does it say?")
    expect(page.locator("#box img[src*='letter.png']")).to_be_visible()


def test_a_bad_file_is_refused_in_a_sentence_and_the_message_stays(page: Page, tmp_path: Path) -> None:
    (tmp_path / "holiday.png").write_bytes(b"\0\1no picture" * 50)
    say(page, "What does it say?", tmp_path / "holiday.png")
    expect(page.locator("body")).to_contain_text("'holiday.png' is no file that Maru reads. Attach a picture")
    expect(page.locator("#box textarea")).to_have_value("What does it say?")


def test_the_models_panel_shows_loads_and_unloads(page: Page) -> None:
    page.click("#models button >> nth=0")
    panel = page.locator("#models")
    expect(panel).to_contain_text("PP-OCRv6 small")
    say(page, "How long is the kettle's warranty?")  # which needs chat and embed, so that both are loaded
    expect(page.locator("#chat .bot").last).to_contain_text(".")
    in_memory = panel.get_by_text("memory", exact=True)
    panel.locator("input[role=listbox], [role=combobox]").first.click()
    page.get_by_role("option", name="embed").click()
    panel.get_by_role("button", name="Load", exact=True).click()
    page.wait_for_timeout(1000)
    loaded = in_memory.count()
    panel.get_by_role("button", name="Unload").click()
    expect(in_memory).to_have_count(loaded - 1)
    panel.get_by_role("button", name="Load", exact=True).click()
    expect(in_memory).to_have_count(loaded)


def test_nothing_is_asked_of_any_other_machine(browser: Browser, server: Server) -> None:
    page = browser.new_page()
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    open_app(page, server)
    say(page, "What is the capital of France?")
    expect(page.locator("#chat")).to_contain_text("Paris", timeout=SECONDS)
    elsewhere = [url for url in asked if not url.startswith((server.url, "data:", "blob:"))]
    assert elsewhere == []
    page.close()


def test_a_killed_server_has_kept_every_finished_sentence(page: Page, server: Server) -> None:
    say(page, "Write a long story about a lighthouse.")
    answer = page.locator("#chat .bot").last
    expect(answer).to_contain_text(".")
    said = answer.inner_text()
    server.kill()
    server.start()
    page.reload()
    expect(page.locator("#chat")).to_contain_text("Write a long story about a lighthouse.")
    whole = said[: said.rindex(".") + 1].strip()
    expect(page.locator("#chat .bot").last).to_contain_text(whole)
    say(page, "What is the capital of France?")
    expect(page.locator("#chat")).to_contain_text("Paris")
