"""Real photographs of known content and licence go through every tool that looks; they come with scikit-image.

The checkpoints are tiny and random, so only that nothing breaks can be said of most answers; the OCR is the real one.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import skimage.data
from PIL import Image as Pictures

from assistant import Assistant

PHOTOGRAPHS = Path(skimage.data.__file__).parent
NAMES = ("astronaut.png", "chelsea.png", "coffee.png", "coins.png", "rocket.jpg", "no_time_for_that_tiny.gif")
CALLS: dict[str, dict[str, Any]] = {
    "describe_image": {},
    "answer_about_image": {"question": "what is it ?"},
    "classify_image": {"labels": ["cat", "cup", "rocket"]},
    "find_objects": {"what": "cat, cup"},
    "cut_out": {"box": [2, 2, 14, 14]},
    "add_image": {},
    "find_similar_images": {},
    "read_text": {},
    "answer_about_document": {"question": "what does it say?"},
}
ROLES = ("caption", "vqa", "features", "classify", "detect", "segment", "docqa")


@pytest.mark.parametrize("name", NAMES)
def test_no_tool_breaks_on_a_photograph(tiny: Callable[..., Assistant], name: str) -> None:
    maru = tiny("cpu", *ROLES)
    for tool, arguments in CALLS.items():
        result = maru.call(tool, image=str(PHOTOGRAPHS / name), **arguments)
        assert " broke (" not in result.text, result.text
        assert result.text and (result.failed or result.receipt is not None)


def test_the_words_of_a_scanned_page_are_read(tiny: Callable[..., Assistant], tmp_path: Path) -> None:
    maru = tiny("cpu", *ROLES)
    scan = tmp_path / "page.webp"
    with Pictures.open(PHOTOGRAPHS / "page.png") as page:
        page.resize((page.width * 2, page.height * 2)).save(scan, quality=95)
    text = maru.call("read_text", image=str(scan)).text
    assert "Region-based segmentation" in text
    assert "markers" in text
