"""Which weights do which job on this machine, and why. Knows the table `catalog.toml`; loads nothing.

Profiles stand in order of quality (gpu, cpu, embedded); a role without a row for one is served by the next. `auto`
takes the first that this machine can hold and reach, and keeps the reason why a better one was passed over.
"""

from __future__ import annotations

import time
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import MISSING, dataclass, fields
from functools import cached_property
from pathlib import Path

from assistant.errors import ModelUnavailable, PluginError
from assistant.settings import GIGABYTE, Settings
from assistant.sources import OBSTACLE_SECONDS, Source, fetch, obstacle, parse_source
from assistant.types import Progress, Quantize

CATALOG = Path(__file__).with_name("catalog.toml")
PROFILES = ("gpu", "cpu", "embedded")


@dataclass(frozen=True, slots=True)
class Entry:
    """One row of the catalog; the fields are explained at the top of `catalog.toml`."""

    role: str
    profile: str
    name: str
    source: Source
    dtype: str
    bytes: int
    licence: str
    quantize: Quantize = "none"
    chooser: str | None = None
    skip: Sequence[str] = ()
    variant: str | None = None
    distilled: bool = False


@dataclass(frozen=True, slots=True)
class Choice:
    """The entry chosen for a role and, for each better one, why not."""

    entry: Entry
    passed_over: tuple[str, ...] = ()

    def sentence(self) -> str:
        """Say what was chosen and why nothing better was."""
        why = f" Not better, because {'; '.join(self.passed_over)}." if self.passed_over else ""
        return f"{self.entry.name} ({self.entry.profile}).{why}"


@dataclass(frozen=True, slots=True)
class Machine:
    """What matters of this machine for the choice: whether models run on a GPU, and the bytes they may share."""

    has_gpu: bool
    bytes: int


class Catalog:
    """The catalog of this machine and these settings."""

    def __init__(self, settings: Settings, machine: Machine, path: Path = CATALOG) -> None:
        """Read `path`; raises `PluginError` when a row is wrong."""
        self._settings = settings
        self._machine = machine
        self._path = path
        self._choices: dict[str, Choice] = {}
        self._obstacles: dict[str, tuple[str | None, float]] = {}

    @cached_property
    def roles(self) -> Mapping[str, Mapping[str, Entry]]:
        """Return role -> profile -> entry."""
        table = tomllib.loads(self._path.read_text())
        optional = {field.name for field in fields(Entry) if field.default is not MISSING}
        needed = {field.name for field in fields(Entry)} - optional - {"role", "profile"}
        roles: dict[str, dict[str, Entry]] = {}
        for role, profiles in table.items():
            for profile, row in profiles.items():
                if profile not in PROFILES or not needed <= set(row) <= needed | optional:
                    raise PluginError(
                        f"{self._path}: [{role}.{profile}] must be for one of {', '.join(PROFILES)}, have "
                        f"{', '.join(sorted(needed))} and may have only {', '.join(sorted(optional))} besides."
                    )
                entry = Entry(
                    role=role, profile=profile, **row | {"source": parse_source(row["source"], row.get("skip", ()))}
                )
                roles.setdefault(role, {})[profile] = entry
        return roles

    def choose(self, role: str) -> Choice:
        """Choose the weights for `role` once; `ModelUnavailable` lists what stands in the way of each."""
        if role not in self._choices:
            self._choices[role] = self._choose(role)
        return self._choices[role]

    def fetch(self, role: str, progress: Progress) -> Path:
        """Bring the chosen weights of `role` to this machine and return where they lie."""
        entry = self.choose(role).entry
        return fetch(entry.source, self._settings.data / "weights", progress)

    @property
    def compiled(self) -> Path | None:
        """Where compiled passes of language models are kept, or None where none are to be made."""
        return self._settings.data / "compiled" if self._settings.compile else None

    def obstacle(self, role: str) -> str | None:
        """Say why no weights can serve `role`, or return None; an answer holds for a minute."""
        known, until = self._obstacles.get(role, (None, 0.0))
        if time.monotonic() >= until:
            try:
                self.choose(role)
                known = None
            except ModelUnavailable as error:
                known = str(error)
            self._obstacles[role] = (known, time.monotonic() + OBSTACLE_SECONDS)
        return known

    def _choose(self, role: str) -> Choice:
        rows = self.roles.get(role, {})
        wanted = self._settings.profile
        first = 0 if wanted == "auto" else PROFILES.index(wanted)
        passed_over: list[str] = []
        for entry in [rows[profile] for profile in PROFILES[first:] if profile in rows]:
            why_not = self._obstacle(entry)
            if why_not is None:
                return Choice(entry, tuple(passed_over))
            if wanted != "auto":
                raise ModelUnavailable(f"{entry.name} (profile {entry.profile}) cannot be used: {why_not}.")
            passed_over.append(why_not)
        reasons = "; ".join(passed_over) or "the catalog has no entry for it"
        raise ModelUnavailable(f"No model for {role!r} can be used here: {reasons}.")

    def _obstacle(self, entry: Entry) -> str | None:
        if entry.profile == "gpu" and not self._machine.has_gpu:
            return f"{entry.name} needs a GPU and there is none"
        if entry.bytes > self._machine.bytes:
            need, room = entry.bytes / GIGABYTE, self._machine.bytes / GIGABYTE
            return f"{entry.name} needs {need:.1f} GB and models may take {room:.1f} GB here"
        return obstacle(entry.source, self._settings.data / "weights")
