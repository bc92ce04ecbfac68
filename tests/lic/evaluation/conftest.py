"""Stand-ins that cost nothing: codecs that keep the upper bits of a picture, as `lic.codec.Codec` has its doors."""

from __future__ import annotations

import zlib

import numpy as np
import pytest
from PIL import Image

from lic.evaluation.setting import Setting


class FakeCodec:
    """A codec of one rate that keeps the upper 4 bits; of variable rate, from 1 bit (quality 1) to 7 (quality 100)."""

    def __init__(self, script: str, preset: str, weights_id: str, variable: bool = False):
        self.about, self.weights_id, self.variable = {"script": script, "preset": preset}, weights_id, variable

    def compress_pixels(self, pixels, tile=None, verify=False, progress=iter, quality=None) -> bytes:
        assert quality is None or self.variable
        lost = 4 if quality is None else 7 - round(1 + 6 * (quality - 1) / 99)
        return bytes([lost, *(side >> shift & 255 for side in pixels.shape[:2] for shift in (8, 0))]) + zlib.compress(
            (pixels >> lost).tobytes())

    def decompress(self, data: bytes) -> np.ndarray:
        lost, height, width = data[0], data[1] * 256 + data[2], data[3] * 256 + data[4]
        kept = np.frombuffer(zlib.decompress(data[5:]), np.uint8).reshape(height, width, 3)
        return (kept << lost) + ((1 << lost) >> 1)


@pytest.fixture(scope="session")
def fake():
    """fake(script, preset, weights_id, variable): a codec."""
    return FakeCodec


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
