"""Prints for the command line: answers on stdout, everything else on stderr. Knows no command."""

from __future__ import annotations

import json
import sys
from typing import Any


def print_json(value: Any) -> None:
    """Print a JSON value on a line of its own."""
    print(json.dumps(value, ensure_ascii=False, default=dict), flush=True)


def say(text: str) -> None:
    """Tell the person something that is no answer."""
    print(text, file=sys.stderr, flush=True)
