"""Bits of each 16 x 16 pixels as a picture: dark where there are few, bright where there are many."""

from __future__ import annotations

import numpy as np
from scipy import ndimage

SIDE = 16           # pixels of the picture along a position of the latent
_COLOURS = "inferno"
_BRIGHTEST = 99     # percent of the positions that are not brighter than the brightest colour


def top_of(bits: np.ndarray) -> float:
    """The bits, of (h/16, w/16), that get the brightest colour; a few positions may have more."""
    return max(float(np.percentile(bits, _BRIGHTEST)), 1e-6)


def hottest(bits: np.ndarray, side: int) -> tuple[int, int]:
    """The middle, x and y in pixels, of the square of so many pixels a side that takes the most bits."""
    around = ndimage.uniform_filter(bits, max(1, side // SIDE), mode="constant")
    row, column = np.unravel_index(np.argmax(around), bits.shape)
    return int(column) * SIDE + SIDE // 2, int(row) * SIDE + SIDE // 2


def picture(bits: np.ndarray, height: int, width: int) -> np.ndarray:
    """Bits (h/16, w/16) -> uint8 (h, w, 3), each position a square."""
    import matplotlib
    colours = matplotlib.colormaps[_COLOURS](np.clip(bits / top_of(bits), 0, 1), bytes=True)[..., :3]
    return colours.repeat(SIDE, 0).repeat(SIDE, 1)[:height, :width]


def gradient(steps: int = 9) -> str:
    """The colours from few bits to many, as CSS."""
    import matplotlib
    colours = matplotlib.colormaps[_COLOURS](np.linspace(0, 1, steps), bytes=True)[:, :3]
    return f"linear-gradient(to right, {', '.join('rgb({}, {}, {})'.format(*colour) for colour in colours)})"
