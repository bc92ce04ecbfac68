"""A codec at one rate: what a picture is put through, the same for classical codecs and models."""

from __future__ import annotations

from typing import Callable, NamedTuple

import numpy as np


class Setting(NamedTuple):
    """A codec at one rate.

    Attributes:
      codec: the name of the curve that the rate is a point of.
      model: the weights id of a model; "" for a classical codec.
      quality: the codec's own number for the rate; None for a model that has one rate.
      encode: uint8 (h, w, 3) -> the bytes of a file.
      decode: the bytes of a file -> uint8 (h, w, 3).
    """

    codec: str
    model: str
    quality: float | None
    encode: Callable[[np.ndarray], bytes]
    decode: Callable[[bytes], np.ndarray]
