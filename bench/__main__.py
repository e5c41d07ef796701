"""Runs one benchmark: `python -m bench NAME [--json]`, where NAME is a module of this package."""

from __future__ import annotations

import argparse
import importlib
import json
import os
import pkgutil
import sys

import bench


def main() -> int:
    """Print one line per figure, with the load of the machine, which tells how far to trust it."""
    names = sorted(info.name for info in pkgutil.iter_modules(bench.__path__) if not info.name.startswith("_"))
    parser = argparse.ArgumentParser(prog="python -m bench", description=bench.__doc__)
    parser.add_argument("name", choices=names)
    parser.add_argument("--json", action="store_true", help="print JSON lines")
    options = parser.parse_args()
    for figure in importlib.import_module(f"bench.{options.name}").run():
        figure["load"] = round(os.getloadavg()[0], 2)
        if options.json:
            sys.stdout.write(json.dumps(figure) + "\n")
        else:
            sys.stdout.write("  ".join(f"{key}={value}" for key, value in figure.items()) + "\n")
        sys.stdout.flush()
    return 0


if __name__ == "__main__":
    sys.exit(main())
