"""Benchmarks: `python -m bench NAME --json`. Each prints ratios against a peer measured in the same run."""
