"""From a wish (bits per pixel, or PSNR) to the quality that meets it, with few probes of the encoder's estimate."""

from __future__ import annotations

import math
from typing import Callable, NamedTuple

import numpy as np

import config
from lic import bitstream

PROBES = 7
# Of the logarithm of the bits, a quality: the ladder of `config` is meant to span about 12 times. Models and formats
# differ (the bundled ones span 19 to 20 times, res/eval/kodak), and a search corrects itself after its first probes.
BITS_SLOPE = math.log(12) / 99
_SLOPES = {"bpp": BITS_SLOPE, "psnr": 12 / 99}   # the latter in dB: about what the bundled models gain
_CLOSE = {"bpp": 0.003, "psnr": 0.01}            # near enough to stop, in the same units
_MISSED = {"bpp": 0.05, "psnr": 0.25}            # so far off that one is told


class Choice(NamedTuple):
    """A quality, what it gives (bits per pixel or dB, as estimated), and whether that is near the wish."""

    quality: float
    value: float
    met: bool


def choose(codec, pixels: np.ndarray, wish: str, target: float) -> Choice:
    """The quality at which a picture comes nearest to a target.

    Args:
      codec: a `lic.codec.Codec` with many rates.
      pixels: uint8 (h, w, 3).
      wish: "bpp" or "psnr".
      target: positive.
    """
    def measure(quality: float) -> float:
        bpp, psnr = codec.probe(pixels, quality)
        return math.log(max(bpp, 1e-9)) if wish == "bpp" else min(psnr, 100.0)

    goal = math.log(target) if wish == "bpp" else target
    quality, value = nearest(measure, goal, _SLOPES[wish], _CLOSE[wish])
    return Choice(quality, math.exp(value) if wish == "bpp" else value, abs(value - goal) <= _MISSED[wish])


def nearest(measure: Callable[[float], float], goal: float, slope: float, close: float) -> tuple[float, float]:
    """(quality, measured) of the probe that came nearest to a goal.

    Args:
      measure: rises with the quality; it is called at most `PROBES` times.
      slope: how fast it rises, about.
      close: a distance to the goal that is near enough.
    """
    found: dict[float, float] = {}
    quality: float | None = config.DEFAULT_QUALITY
    while quality is not None and len(found) < PROBES:
        found[quality] = measure(quality)
        if abs(found[quality] - goal) <= close:
            break
        quality = _next(found, goal, slope)
    best = min(found, key=lambda q: abs(found[q] - goal))
    return best, found[best]


def _next(found: dict[float, float], goal: float, slope: float) -> float | None:
    """Where to probe next; None where there is nothing between or beyond what was probed."""
    below = max((q for q in found if found[q] <= goal), default=None)
    above = min((q for q in found if found[q] > goal), default=None)
    if below is None or above is None:
        known, *others = sorted(found, key=lambda q: abs(found[q] - goal))
        if others and found[known] != found[others[0]]:
            slope = (found[known] - found[others[0]]) / (known - others[0])
        guess = known + 1.1 * (goal - found[known]) / slope   # a little far, so that the goal lies between
    else:
        left, right = goal - found[below], found[above] - goal
        before, last = (found[q] > goal for q in list(found)[-2:])
        if before == last:   # one end stays: give it less weight (the Illinois method), or a bent curve takes long
            left, right = (left / 2, right) if last else (left, right / 2)
        guess = below + (above - below) * left / (left + right)
    quality = bitstream.quality_of(bitstream.quality_byte(float(np.clip(guess, *config.QUALITIES))))
    if quality in found and below is not None and above is not None:
        quality += 0.5 if quality == below else -0.5          # the other side of the goal
    return None if quality in found else quality
