"""Bjøntegaard's delta rate: how many more bits a codec needs than an anchor for the same quality, in percent.

log10 of the rate is interpolated as a function of the quality with PCHIP, and the distance of two such curves is
averaged over the qualities that both reach. Bjøntegaard, *Calculation of average PSNR differences between RD-curves*,
VCEG-M33, 2001, had a cubic polynomial there; the field has since taken PCHIP, which does not swing between points.

Gotcha: nothing is extrapolated. Where two curves share too little, there is no figure.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from scipy.interpolate import PchipInterpolator

from lic.errors import DataError

MIN_POINTS = 4       # as in VCEG-M33; fewer say nothing about the shape of a curve
MIN_OVERLAP = 0.5    # of the narrower curve's range of quality

Points = Iterable[tuple[float, float]]


def bd_rate(anchor: Points, test: Points) -> float:
    """The average difference in rate of `test` against `anchor` at equal quality, in percent; below 0 is better.

    Args:
      anchor, test: (bits per pixel, quality in dB) of each point, in any order.
    Raises:
      DataError: a curve has too few points or does not rise, or the two share too little of their qualities.
    """
    curves = [_rising(points) for points in (anchor, test)]
    low, high = _shared(*(quality for _, quality in curves))
    of_anchor, of_test = (PchipInterpolator(quality, np.log10(rate)).integrate(low, high) for rate, quality in curves)
    return float(100 * (10 ** ((of_test - of_anchor) / (high - low)) - 1))


def _rising(points: Points) -> tuple[np.ndarray, np.ndarray]:
    """Rates and qualities of a curve, both in rising order."""
    rate, quality = np.array(sorted(points), np.float64).reshape(-1, 2).T
    if len(rate) < MIN_POINTS:
        raise DataError(f"it takes {MIN_POINTS} rates of each codec, one has {len(rate)}")
    if not (np.isfinite(quality).all() and np.isfinite(rate).all() and rate[0] > 0):
        raise DataError("a curve has a point without a finite rate or quality")
    if not (np.diff(rate) > 0).all() or not (np.diff(quality) > 0).all():
        raise DataError("a curve does not rise: more bits give no better quality somewhere")
    return rate, quality


def _shared(a: np.ndarray, b: np.ndarray) -> tuple[float, float]:
    """The range of quality that two curves have in common."""
    low, high = max(a[0], b[0]), min(a[-1], b[-1])
    if high - low < MIN_OVERLAP * min(np.ptp(a), np.ptp(b)):
        raise DataError(f"the curves share too little: {a[0]:.2f} to {a[-1]:.2f} dB and {b[0]:.2f} to {b[-1]:.2f} dB")
    return float(low), float(high)
