"""A picture through a model, and through classical codecs at the size of the model's file."""

from __future__ import annotations

import functools
import math
from typing import TYPE_CHECKING

import numpy as np

import config
from lic import rate_control
from lic.evaluation import measuring
from lic.evaluation.classical import Classical
from lic.evaluation.measuring import Passed
from lic.evaluation.setting import Setting

if TYPE_CHECKING:
    from lic.codec import Codec

_CLOSE = 0.01   # of the logarithm of the size: near enough to stop


def through_model(codec: Codec, name: str, pixels: np.ndarray, quality: float | None) -> Passed:
    """What a model makes of a picture of that name, uint8 (h, w, 3); the quality is None for models of one rate."""
    title = f"{codec.about['script']} {codec.about['preset']}"
    encode = functools.partial(codec.compress_pixels, quality=quality)
    return measuring.put_through(name, pixels, Setting(title, codec.weights_id, quality, encode, codec.decompress))


def through_classical(codec: Classical, name: str, pixels: np.ndarray, size: int) -> Passed:
    """What a classical codec makes of it in about so many bytes.

    Raises:
      DataError: the format can't hold it.
    """
    quality = quality_of_size(codec, pixels, size)
    encode = functools.partial(codec.encode, quality=quality)
    return measuring.put_through(name, pixels, Setting(codec.title, "", quality, encode, codec.decode))


def quality_of_size(codec: Classical, pixels: np.ndarray, size: int) -> int:
    """The codec's own quality, within its ladder, whose file of uint8 (h, w, 3) comes nearest to `size` bytes.

    Raises:
      DataError: the format can't hold it.
    """
    places = np.linspace(*config.QUALITIES, len(codec.qualities))

    def quality_at(place: float) -> int:
        return round(float(np.interp(place, places, codec.qualities)))

    @functools.cache
    def size_at(quality: int) -> float:
        return math.log(len(codec.encode(pixels, quality)))

    def miss(quality: int) -> float:
        return abs(size_at(quality) - math.log(size))

    place, _ = rate_control.nearest(lambda place: size_at(quality_at(place)), math.log(size),
                                    rate_control.BITS_SLOPE, _CLOSE)
    found, (least, most) = quality_at(place), sorted((codec.qualities[0], codec.qualities[-1]))
    if miss(found) <= _CLOSE:
        return found
    return min(range(max(found - 1, least), min(found + 1, most) + 1), key=miss)   # the search stops in halves of steps
