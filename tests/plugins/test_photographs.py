"""Pictures as people have them, tiny, huge, long, of any mode, go through every tool that looks at one."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from PIL import Image as Pictures
from PIL.Image import Image

from assistant import Assistant

CALLS: dict[str, dict[str, Any]] = {
    "describe_image": {"max_words": 5},
    "answer_about_image": {"question": "what color is it ?"},
    "classify_image": {"labels": ["cat", "dog"]},
}
PHOTOGRAPHS: dict[str, Callable[[], Image]] = {
    "one pixel": lambda: Pictures.new("RGB", (1, 1), "red"),
    "three by three": lambda: Pictures.new("RGB", (3, 3), "red"),
    "one row of three": lambda: Pictures.new("RGB", (3, 1), "red"),
    "one column": lambda: Pictures.new("RGB", (1, 4000), "red"),
    "a long strip": lambda: Pictures.linear_gradient("L").resize((5000, 7)),
    "twelve megapixels": lambda: Pictures.linear_gradient("L").resize((4000, 3000)).convert("RGB"),
    "grey": lambda: Pictures.linear_gradient("L"),
    "black and white": lambda: Pictures.linear_gradient("L").convert("1"),
    "sixteen bits of grey": lambda: Pictures.new("I;16", (50, 40), 40000),
    "a palette": lambda: Pictures.linear_gradient("L").convert("RGB").quantize(16),
    "transparent": lambda: Pictures.new("RGBA", (50, 40), (255, 0, 0, 90)),
    "grey with alpha": lambda: Pictures.new("LA", (50, 40), (90, 90)),
    "for print": lambda: Pictures.linear_gradient("L").convert("RGB").convert("CMYK"),
}


@pytest.mark.parametrize("profile", ["cpu", "gpu"])
@pytest.mark.parametrize("photograph", PHOTOGRAPHS)
def test_a_photograph_goes_through_every_tool_that_looks(
    tiny: Callable[..., Assistant], tmp_path: Path, profile: str, photograph: str
) -> None:
    image = PHOTOGRAPHS[photograph]()
    path = tmp_path / ("photo.tif" if image.mode == "CMYK" else "photo.png")
    image.save(path)
    # only the captions have a row of their own for a GPU
    assistant, tools = (
        (tiny("cpu", "caption", "vqa", "features", "classify"), list(CALLS))
        if profile == "cpu"
        else (tiny("gpu", "caption"), ["describe_image"])
    )
    for tool in tools:
        result = assistant.call(tool, image=str(path), **CALLS[tool])
        assert not result.failed, result.text
    if profile == "cpu":
        assert not assistant.call("classify_image", image=str(path)).failed
