"""The classical codecs, as Pillow and its plugins have them, each with a ladder of qualities from low to high rates.

Gotchas:
* every encoder runs on one thread: libavif cuts a picture into as many tiles as it has threads, and its bytes would
  hang on the machine;
* Pillow writes JPEG 2000 without its colour transform unless told, which costs about 2 dB;
* a plugin is known to Pillow only once it is imported.
"""

from __future__ import annotations

import functools
import importlib
import io
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Callable

import numpy as np
from PIL import Image

from lic.errors import DataError, UsageError
from lic.evaluation.setting import Setting


@dataclass(frozen=True)
class Classical:
    """A codec behind Pillow.

    Attributes:
      title: as tables and legends show it.
      format: Pillow's name of the format.
      qualities: the codec's own numbers, from low to high rates.
      options: a quality -> arguments of `Image.save`.
      about: these arguments in words.
      plugin: the module that brings it to Pillow, "" where Pillow has it.
      package: what `pip install` gets it from.
    """

    title: str
    format: str
    qualities: tuple[int, ...]
    options: Callable[[int], dict[str, Any]]
    about: str
    plugin: str
    package: str

    def encode(self, pixels: np.ndarray, quality: int) -> bytes:
        """uint8 (h, w, 3) -> the bytes of a file. Raises DataError where the format can't hold it."""
        buffer = io.BytesIO()
        try:
            Image.fromarray(pixels).save(buffer, self.format, **self.options(quality))
        except Exception as error:   # every plugin has its own
            raise DataError(f"{self.title} can't write it: {error or type(error).__name__}") from None
        return buffer.getvalue()

    def decode(self, data: bytes) -> np.ndarray:
        """The bytes of a file -> uint8 (h, w, 3). Raises DataError where it can't be read."""
        try:
            return np.asarray(Image.open(io.BytesIO(data), formats=[self.format]).convert("RGB"))
        except Exception as error:   # as above
            raise DataError(f"{self.title} can't read its file: {error or type(error).__name__}") from None


CODECS = MappingProxyType({
    "jpeg": Classical(
        "JPEG", "JPEG", (5, 8, 10, 13, 16, 20, 25, 30, 40, 50, 60, 70, 80, 90, 95),
        lambda q: {"quality": q, "subsampling": "4:2:0", "optimize": True, "progressive": True},
        "4:2:0, optimised, progressive", "", "Pillow"),
    "webp": Classical(
        "WebP", "WEBP", (0, 1, 5, 10, 20, 30, 40, 50, 60, 70, 80, 90, 95), lambda q: {"quality": q, "method": 6},
        "lossy, method 6", "", "Pillow"),
    "avif": Classical(
        "AVIF", "AVIF", (1, 10, 15, 20, 25, 30, 35, 40, 45, 50, 60, 70, 80, 90),
        lambda q: {"quality": q, "subsampling": "4:4:4", "speed": 6, "max_threads": 1},
        "4:4:4, speed 6", "pillow_avif", "'Pillow>=11.3'"),
    "jpeg2000": Classical(
        "JPEG 2000", "JPEG2000", (240, 160, 120, 96, 80, 60, 48, 40, 32, 24, 16, 12, 8),
        lambda q: {"quality_mode": "rates", "quality_layers": [q], "irreversible": True, "mct": 1},
        "9/7 wavelet, colour transform; its quality is the factor of compression", "", "Pillow"),
    "jxl": Classical(
        "JPEG XL", "JXL", (1, 10, 15, 20, 25, 30, 40, 50, 60, 70, 80, 90, 95),
        lambda q: {"quality": q, "effort": 7, "num_threads": 1},
        "effort 7", "pillow_jxl", "pillow-jxl-plugin"),
})


def chosen(names: Sequence[str]) -> list[Classical]:
    """The codecs of these names.

    Raises:
      UsageError: there is no such codec, or it is not installed.
    """
    unknown = [name for name in names if name not in CODECS]
    if unknown:
        raise UsageError(f"there is no codec '{unknown[0]}': choose from {', '.join(CODECS)}")
    codecs = [CODECS[name] for name in dict.fromkeys(names)]
    for codec in codecs:
        _demand(codec)
    return codecs


def settings(codecs: Sequence[Classical]) -> list[Setting]:
    """Each codec at each of its qualities."""
    return [Setting(codec.title, "", quality, functools.partial(codec.encode, quality=quality), codec.decode)
            for codec in codecs for quality in codec.qualities]


def _demand(codec: Classical) -> None:
    """Raises a UsageError where Pillow can't write and read a format; only trying tells whether it is built in."""
    Image.init()
    if codec.plugin and codec.format not in Image.SAVE:
        with suppress(ImportError):
            importlib.import_module(codec.plugin)
    try:
        codec.decode(codec.encode(np.zeros((64, 64, 3), np.uint8), codec.qualities[0]))
    except Exception:   # every plugin has its own
        raise UsageError(f"{codec.title} is not installed: pip install {codec.package}, or leave it out of "
                         "--against") from None
