"""Trains, or evaluates what is shipped: `python -m training NAME [--evaluate] [--minutes 55] [--work FOLDER]`."""

from __future__ import annotations

import argparse
import importlib
import logging
import sys
from pathlib import Path

import training
from assistant.residents import install
from assistant.settings import read_settings


def main() -> int:
    """Run one training for some minutes; the same command again goes on where it stopped."""
    names = sorted(path.parent.name for path in Path(__file__).parent.glob("*/train.py"))
    parser = argparse.ArgumentParser(prog="python -m training", description=training.__doc__)
    parser.add_argument("name", choices=names)
    parser.add_argument("--evaluate", action="store_true", help="print the figures of what is shipped, as JSON lines")
    parser.add_argument("--minutes", type=float, default=55, help="stop after so long and keep a checkpoint")
    parser.add_argument("--work", type=Path, help="where checkpoints are kept; default: training in the data folder")
    options = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    settings = read_settings()
    install(settings)
    module = importlib.import_module(f"training.{options.name}.train")
    if options.evaluate:
        return int(module.evaluate())
    return int(module.train(options.work or settings.data / "training" / options.name, options.minutes))


if __name__ == "__main__":
    sys.exit(main())
