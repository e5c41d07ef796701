"""Runs one benchmark: `python -m bench NAME [--json] [--device cuda]`, where NAME is a module of this package."""

from __future__ import annotations

import argparse
import importlib
import json
import os
import pkgutil
import sys

import bench


def main() -> int:
    """Print one line per figure, with the load of the machine, which tells how far to trust it, and the threads."""
    names = sorted(info.name for info in pkgutil.iter_modules(bench.__path__) if not info.name.startswith("_"))
    parser = argparse.ArgumentParser(prog="python -m bench", description=bench.__doc__)
    parser.add_argument("name", choices=names)
    parser.add_argument("--json", action="store_true", help="print JSON lines")
    parser.add_argument("--device", choices=["cpu", "cuda"], default="cpu", help="cuda: what is measured on a GPU only")
    named = [argument for argument in sys.argv[1:] if argument in names]  # a benchmark may take more arguments
    module = importlib.import_module(f"bench.{named[0]}") if named else bench
    takes = getattr(module, "add_arguments", None)
    if takes:
        takes(parser)
    options = parser.parse_args()
    if options.device == "cuda" and not hasattr(module, "run_on_gpu"):
        parser.error(f"{options.name} has no figures for a GPU")
    figures = module.run_on_gpu if options.device == "cuda" else module.run
    for figure in figures(options) if takes else figures():
        import torch  # only now: a benchmark may set what torch reads when it is imported

        figure |= {"load": round(os.getloadavg()[0], 2), "threads": torch.get_num_threads()}
        if options.json:
            sys.stdout.write(json.dumps(figure) + "\n")
        else:
            sys.stdout.write("  ".join(f"{key}={value}" for key, value in figure.items()) + "\n")
        sys.stdout.flush()
    return 0


if __name__ == "__main__":
    sys.exit(main())
