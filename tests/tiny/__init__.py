"""Tiny random checkpoints of the true classes, served by a local hub under the ids and commits of the real catalog.

A module here is named after a role and has `CHECKPOINTS`: profile -> a function that saves a checkpoint to a folder.
"""

from __future__ import annotations

import importlib
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from assistant import Assistant, residents
from assistant.catalog import Catalog, Machine
from assistant.settings import Settings
from tests.hub import serve

FETCH = """
import sys
import tempfile
from pathlib import Path
from assistant.catalog import Catalog, Machine
from assistant.settings import Settings

settings = Settings(data=Path(sys.argv[1]), profile=sys.argv[2])
for role in sys.argv[3:]:
    print(Catalog(settings, Machine(True, 10**12)).fetch(role, lambda fraction, note: None))
"""


def assistant_with(house: Settings, folder: Path, profile: str, *roles: str) -> Assistant:
    """Return an assistant whose `roles` have tiny checkpoints, downloaded from a local hub into the hub's own cache.

    Everything that loads, prepares, runs and reads the models is the program's own; only the weights are small.
    """
    if not os.environ.get("HF_HOME", "").startswith(tempfile.gettempdir()):
        raise RuntimeError("set HF_HOME to a temporary folder first: tiny weights must not enter the real hub cache")
    settings = house.model_copy(update={"profile": profile, "memory_gb": None})
    catalog = Catalog(settings, Machine(True, 10**12))
    with serve() as hub:
        for role in roles:
            source = catalog.roles[role][profile].source
            target = folder / role / profile
            if not target.exists():
                build = importlib.import_module(f"tests.tiny.{role}").CHECKPOINTS[profile]
                target.mkdir(parents=True)
                build(target)
            hub.add(source.name, target, source.version, {})
        there = {"HF_ENDPOINT": hub.url, "HF_HUB_OFFLINE": "0", "NO_PROXY": "127.0.0.1"}
        command = [sys.executable, "-c", FETCH, str(settings.data), profile, *roles]
        done = subprocess.run(command, env=os.environ | there, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
    return at_home(Assistant(settings, owner=os.urandom(8).hex()))


def at_home(assistant: Assistant) -> Assistant:
    """Make the residents of this process those of `assistant`, on a machine that may choose rows for a GPU."""
    house = residents.install(assistant.settings)
    house.catalog = Catalog(assistant.settings, Machine(True, 10**12))
    return assistant
