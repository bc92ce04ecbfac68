"""A corpus whose handler is no model, for what has nothing to do with one; and pictures for those that are."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image


@pytest.fixture
def photos(tmp_path, picture):
    """photos(count, height, width): a folder of PNGs, some of them in folders of their own."""

    def make(count: int, height: int = 50, width: int = 70):
        folder = tmp_path / "photos"
        for number, pixels in enumerate(picture(height, width, count)):
            path = folder / ("deep/er" if number % 3 else "") / f"{number:03}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(pixels.astype(np.uint8)).save(path)
        return folder

    return make
