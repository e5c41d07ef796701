"""What models take is measured and remembered, and a broken memory file only means measuring again."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from assistant.footprints import Footprint, Footprints, measure_peak


def test_what_was_measured_is_known_after_a_restart(tmp_path: Path) -> None:
    file = tmp_path / "data" / "footprints.json"
    Footprints(file).remember("a@1", 10, 5)
    Footprints(file).remember("a@1", 10, 3)
    again = Footprints(file)
    assert again.expect("a@1", 99) == Footprint(10, 5)
    assert again.expect("b@1", 99) == Footprint(99, 0)


@pytest.mark.parametrize("content", ["", "{", '{"a@1": 5}', '{"a@1": {"size": 5}}', "[]"])
def test_a_broken_file_means_measuring_again(tmp_path: Path, content: str) -> None:
    file = tmp_path / "footprints.json"
    file.write_text(content)
    seen = Footprints(file)
    assert seen.expect("a@1", 7) == Footprint(7)
    seen.remember("a@1", 8, 1)
    assert Footprints(file).expect("a@1", 7) == Footprint(8, 1)


@pytest.mark.skipif(sys.platform != "linux", reason="the kernel tells the peak of a run only on Linux")
def test_the_peak_of_a_run_is_measured_although_it_was_freed() -> None:
    with measure_peak("cpu") as peak:
        block = bytearray(200_000_000)
        block[::4096] = b"x" * len(block[::4096])
        del block
    assert 150_000_000 < peak.bytes < 400_000_000
    with measure_peak("cpu") as small:
        pass
    assert small.bytes < 50_000_000
