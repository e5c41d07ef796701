"""Starts the command line: `python -m assistant`."""

import os
import sys

from assistant.cli import main

# the libraries warn of what cannot be helped here, such as processors that work without torchvision
os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
os.environ.setdefault("DIFFUSERS_VERBOSITY", "error")

if __name__ == "__main__":
    sys.exit(main())
