"""Reads the prompts in `prompts/`, which a person may edit. Knows no model and no conversation."""

from functools import cache
from pathlib import Path

import jinja2

FOLDER = Path(__file__).parent.parent / "prompts"


@cache
def _environment() -> jinja2.Environment:
    # a prompt is plain text for a model, so nothing is escaped as HTML; a missing value is an error, not a blank
    return jinja2.Environment(
        loader=jinja2.FileSystemLoader(FOLDER),
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        autoescape=False,
    )


def render(prompt: str, /, **values: object) -> str:
    """Fill in `prompts/PROMPT.md`."""
    return _environment().get_template(f"{prompt}.md").render(**values).strip()
