"""Parts of pictures side by side: the original and each codec at about the rate of the first one's middle rate."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np

from lic import overlap
from lic.evaluation.measuring import Row, Sample

MOST = 8   # pictures; more would make a heavy report


class View(NamedTuple):
    """A part of a picture under its caption."""

    caption: tuple[str, str]
    pixels: np.ndarray


def evenly(paths: Sequence[str]) -> list[str]:
    """At most MOST of the paths, spread evenly."""
    return overlap.sample(paths, MOST)


def views(sample: Sample) -> list[View]:
    """The original, then a view of each codec."""
    return [View(("original", sample.picture), sample.original), *_of_codecs(sample.views)]


def _of_codecs(found: list[tuple[Row, np.ndarray]]) -> Iterator[View]:
    rates = sorted(row.bpp for row, _ in found if row.codec == found[0][0].codec)
    target = rates[(len(rates) - 1) // 2]
    for codec in dict.fromkeys(row.codec for row, _ in found):
        row, pixels = min((view for view in found if view[0].codec == codec),
                          key=lambda view: abs(math.log(view[0].bpp / target)))
        yield View((codec, f"{row.bpp:.3f} bpp, {row.psnr:.2f} dB"), pixels)
