"""Decoders that do what a decoder may never do, each at the file that names it; in processes of a fuzzer under test."""

from __future__ import annotations

import ctypes
import os
import time

import numpy as np

from lic.errors import DataError

RIGHT = np.zeros((2, 3, 3), np.uint8)


def opener(name: str):
    """Every name gets the same decoder."""
    return decode


def decode(data: bytes) -> np.ndarray:
    """Does what the file says."""
    if data == b"refuse":
        raise DataError("the file is damaged")
    if data == b"two lines":
        raise DataError("the file\nis damaged")
    if data == b"raise":
        raise KeyError("width")
    if data == b"segfault":
        ctypes.string_at(0)
    if data == b"exit":
        os._exit(0)
    if data == b"hang":
        time.sleep(600)
    if data == b"hog":
        np.ones(150 << 20, np.uint8)
    if data == b"hog and hang":
        kept = np.ones(150 << 20, np.uint8)
        time.sleep(600 + kept[0])
    return RIGHT + 1 if data == b"wrong" else RIGHT
