"""Stands in for texts while a template is filled in, so that the template never sees them. Knows no chat and no token.

A stand-in holds a quotation mark: how often that comes back escaped tells how the template writes what stands there.
"""

from __future__ import annotations

import json
import re
import secrets
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Hidden:
    """A text in its place in what was written, escaped `depth` times as in JSON; `said` when the model said it."""

    text: str
    depth: int
    said: bool

    def write(self) -> str:
        """Return the text as the template would have written it."""
        text = self.text
        for _ in range(self.depth):
            text = json.dumps(text, ensure_ascii=False)[1:-1]
        return text


class Veil:
    """The texts that are hidden in one writing of a template."""

    def __init__(self) -> None:
        """Begin with none."""
        self._mark = f"x{secrets.token_hex(8)}x"  # nobody can guess it, and what a template trims is not in it
        self._found = re.compile(rf'{self._mark}(\d{{6}})(\\*)"{self._mark}')
        self._texts: list[tuple[str, bool, bool]] = []

    def hide(self, text: str, said: bool = False, needed: bool = True) -> str:
        """Return what stands in for `text`; nothing does for an empty one, which a template may ask about.

        `said` marks words of the model, `needed` what must be written exactly once.
        """
        if not text:
            return ""
        self._texts.append((text, said, needed))
        return f'{self._mark}{len(self._texts) - 1:06d}"{self._mark}'

    def hide_all(self, value: Any) -> Any:
        """Hide every text within JSON values, the names of fields too."""
        if isinstance(value, str):
            return self.hide(value)
        if isinstance(value, dict):
            return {self.hide(name): self.hide_all(inner) for name, inner in value.items()}
        return [self.hide_all(inner) for inner in value] if isinstance(value, list | tuple) else value

    def is_kept(self, written: str) -> bool:
        """Tell whether everything needed was written, and once."""
        times = Counter(int(found[1]) for found in self._found.finditer(written))
        return all(times[index] == 1 for index, (_, _, needed) in enumerate(self._texts) if needed)

    def split(self, written: str) -> Iterator[str | Hidden]:
        """Yield what the template wrote itself and what is hidden, in order."""
        at = 0
        for found in self._found.finditer(written):
            if found.start() > at:
                yield written[at : found.start()]
            text, said, _ = self._texts[int(found[1])]
            yield Hidden(text, (len(found[2]) + 1).bit_length() - 1, said)
            at = found.end()
        if at < len(written):
            yield written[at:]
