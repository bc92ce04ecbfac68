"""Puts pictures through codecs: real files, decoded again, and what came of each.

Gotcha: a picture that one codec can't do counts for none, since averages over different pictures can't be compared.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Sequence
from typing import Callable, NamedTuple

import numpy as np

from lic import images, metrics
from lic.errors import DataError, UserError
from lic.evaluation.setting import Setting
from lic.files import shown

CROP = 160   # side of the part of a picture that a sample shows, in pixels


class Row(NamedTuple):
    """What one codec made of one picture at one rate; the fields of the CSV.

    Attributes:
      ms_ssim, ms_ssim_db: None where a side is under 161 pixels.
      encode_seconds, decode_seconds: from pixels to the bytes of a file and back.
    """

    picture: str
    codec: str
    model: str
    quality: float | None
    bytes: int
    bpp: float
    psnr: float
    ms_ssim: float | None
    ms_ssim_db: float | None
    encode_seconds: float
    decode_seconds: float


class Passed(NamedTuple):
    """What came of a picture under a setting: figures, the bytes of the file, and its pixels, uint8 (h, w, 3)."""

    row: Row
    data: bytes
    restored: np.ndarray


class Sample(NamedTuple):
    """The most detailed part of a picture, uint8 (CROP, CROP, 3), and what is left of it under each setting."""

    picture: str
    original: np.ndarray
    views: list[tuple[Row, np.ndarray]]


class Measured(NamedTuple):
    """All rows, samples of some pictures, the size (h, w) of each picture that counts, and the names of the others."""

    rows: list[Row]
    samples: list[Sample]
    sizes: dict[str, tuple[int, int]]
    failed: list[str]


def measure(paths: Sequence[str], settings: Sequence[Setting], sampled: Sequence[str], bar,
            tell: Callable[[str, UserError], None]) -> Measured:
    """Every picture through every setting.

    Args:
      sampled: those of the paths that become samples.
      bar: moved by one for each setting of a picture, as tqdm's bars are.
      tell: is handed the path of a picture that failed, and why.
    Raises:
      DataError: no picture is left.
    """
    measured = Measured([], [], {}, [])
    for number, (path, name) in enumerate(zip(paths, names_of(paths)), 1):
        try:
            pixels = images.read(path).pixels
            part = detail(pixels)
            views = list(_views(name, pixels, settings, part, bar))
        except UserError as error:
            measured.failed.append(name)
            tell(path, error)
            bar.update(number * len(settings) - bar.n)
            continue
        measured.rows.extend(row for row, _ in views)
        measured.sizes[name] = (pixels.shape[0], pixels.shape[1])
        if path in sampled:
            measured.samples.append(Sample(name, pixels[part].copy(), views))
    if not measured.rows:
        raise DataError("no picture could be measured: there is no report")
    return measured


def names_of(paths: Sequence[str]) -> list[str]:
    """A name for each picture: that of its file without the ending, or the whole path where two would have the same."""
    stems = [shown(os.path.splitext(os.path.basename(path))[0]) for path in paths]
    return stems if len(set(stems)) == len(stems) else list(map(shown, paths))


def _views(picture: str, pixels: np.ndarray, settings: Sequence[Setting], part: tuple[slice, slice], bar
           ) -> Iterator[tuple[Row, np.ndarray]]:
    for setting in settings:
        passed = put_through(picture, pixels, setting)
        yield passed.row, passed.restored[part].copy()   # a view would keep the whole picture
        bar.update()


def put_through(picture: str, pixels: np.ndarray, setting: Setting) -> Passed:
    """A picture of that name, uint8 (h, w, 3), to a file and back."""
    start = time.perf_counter()
    data = setting.encode(pixels)
    encoded = time.perf_counter()
    restored = setting.decode(data)
    decoded = time.perf_counter()
    return Passed(_row(picture, pixels, setting, data, restored, encoded - start, decoded - encoded), data, restored)


def _row(picture: str, pixels: np.ndarray, setting: Setting, data: bytes, restored: np.ndarray, *seconds: float) -> Row:
    similarity = metrics.ms_ssim(pixels, restored)
    return Row(picture, setting.codec, setting.model, setting.quality, len(data),
               metrics.bits_per_pixel(len(data), *pixels.shape[:2]), metrics.psnr(pixels, restored), similarity,
               None if similarity is None else metrics.ms_ssim_db(similarity), *seconds)


def detail(pixels: np.ndarray) -> tuple[slice, slice]:
    """Rows and columns of the CROP x CROP part in which grey varies most, on a grid of half its side."""
    grey = pixels.mean(-1)
    tops, lefts = (range(0, max(side - CROP, 0) + 1, CROP // 2) for side in grey.shape)
    parts = [(slice(top, top + CROP), slice(left, left + CROP)) for top in tops for left in lefts]
    return max(parts, key=lambda part: grey[part].std())
