"""Settings of codecs that cost nothing, and pictures for them."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from lic.evaluation.setting import Setting


@pytest.fixture(scope="session")
def ladder(fake) -> list[Setting]:
    """A codec at five rates, and one at a single rate."""
    from lic.evaluation import learned
    return learned.settings([fake("lsk2023", "nano", "aa", variable=True), fake("zyc2022", "<b>", "bb")], None)


@pytest.fixture(scope="session")
def photos(tmp_path_factory, picture) -> list[str]:
    """The paths of three pictures of different sizes."""
    paths, folder = [], tmp_path_factory.mktemp("photos")
    for number, size in enumerate(((170, 200), (200, 170), (180, 300))):
        paths.append(str(folder / f"photo{number}.png"))
        Image.fromarray(picture(*size, seed=number)[0].astype(np.uint8)).save(paths[-1])
    return paths
