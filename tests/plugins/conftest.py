"""What the tests of the painting plugins share; other tests here have an `assistant` and a `photo` of their own."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from PIL import Image as Pictures
from PIL.Image import Image

from assistant import Assistant


@pytest.fixture(params=["gpu", "cpu"])
def assistant(request: pytest.FixtureRequest, tiny: Callable[..., Assistant]) -> Assistant:
    return tiny(request.param, "paint", "preview")


@pytest.fixture
def photo() -> Image:
    pixels = np.random.default_rng(0).integers(0, 255, (20, 30, 3), dtype=np.uint8)
    return Pictures.fromarray(pixels).resize((300, 200))
