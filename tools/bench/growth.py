"""Time against megapixels, with the line that fits it best."""

from __future__ import annotations

import functools
import statistics

import numpy as np

import lic
from tools.bench.timing import in_turns

SIDES = ((256, 384), (512, 768), (1024, 1536), (2048, 3072), (4000, 6000))


def measure(script: str, pixels: np.ndarray, rounds: int) -> tuple[list[dict], dict]:
    """A row for each size, and the fit: seconds, seconds a megapixel, and the share of the variance that it explains.

    Args:
      pixels: uint8 (h, w, 3), repeated to the sizes.
    """
    codec, rows = lic.load(script), []
    for height, width in SIDES:
        tiled = np.tile(pixels, (-(-height // len(pixels)), -(-width // pixels.shape[1]), 1))[:height, :width]
        taken = in_turns({"compress": functools.partial(codec.compress, tiled)}, rounds)["compress"]
        rows.append({"work": f"{script} compress {width} x {height}", "megapixels": height * width / 1e6,
                     "seconds": statistics.median(taken)})
    x, y = (np.array([row[key] for row in rows]) for key in ("megapixels", "seconds"))
    slope, start = np.polyfit(x, y, 1)
    rest = float(np.sum((y - start - slope * x) ** 2) / np.sum((y - y.mean()) ** 2))
    return rows, {"seconds": float(start), "seconds_a_megapixel": float(slope), "explained": 1 - rest}
