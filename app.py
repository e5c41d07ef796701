"""Starts Maru in the browser: `python app.py`, and the entry point of a Hugging Face Space."""

import logging
import os
import sys
import threading

from assistant.errors import AssistantError
from assistant.settings import read_settings
from assistant.ui.handlers import House
from assistant.ui.page import serve

LOOPBACK = ("", "127.0.0.1", "localhost", "::1")


def main() -> int:
    """Serve the page until Ctrl-C; return 1 after saying what is wrong with the settings."""
    # the libraries warn of what cannot be helped here, such as processors that work without torchvision
    os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
    os.environ.setdefault("DIFFUSERS_VERBOSITY", "error")
    logging.basicConfig(level=logging.WARNING, format="%(message)s", stream=sys.stderr)
    logging.getLogger("assistant").setLevel(logging.INFO)
    try:
        settings = read_settings()
        # other people can reach the page: each browser then has its own conversations, files and library
        shared = "SPACE_ID" in os.environ or os.environ.get("GRADIO_SERVER_NAME", "") not in LOOPBACK
        house = House(settings, shared)
    except AssistantError as error:
        logging.getLogger("assistant").error(str(error))
        return 1
    threading.Thread(target=_load, args=(house,), daemon=True).start()
    serve(house, settings.max_upload_mb)
    return 0


def _load(house: House) -> None:
    """Bring the language model into memory while the person is still typing."""
    log = logging.getLogger("assistant")
    try:
        house.anybody().load("chat", lambda fraction, note: log.info(note))
    except AssistantError as error:
        log.error(str(error))


if __name__ == "__main__":
    sys.exit(main())
