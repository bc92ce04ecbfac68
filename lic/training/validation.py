"""Whole pictures, measured as their files would be."""

from __future__ import annotations

import os
from typing import NamedTuple

import numpy as np
import tensorflow as tf

from lic import finding, images, metrics
from lic.training.reports import to_pixels

_SHOWN, _SIDE = 2, 256   # of so many pictures the middle is shown, so large


class Validated(NamedTuple):
    """Means over the pictures by their names, and the middles of two, (1, h, 2 w, 3), beside their reconstructions."""

    figures: dict[str, float]
    pictures: dict[str, np.ndarray]


def pictures(pattern: str) -> list[str]:
    """The files that a glob stands for, or the pictures anywhere in a folder; none where it is empty.

    Raises:
      UsageError: nothing matches. DataError: one can't be read.
    """
    if not pattern:
        return []
    endings = finding.ENDINGS if os.path.isdir(pattern) else ("",)   # beside pictures a folder may hold notes
    paths = list(filter(os.path.isfile, finding.matching("validation_glob", pattern, endings, "file")))
    for path in paths:
        images.read(path)   # a broken one is told of now, not after the first epoch
    return paths


class Validation:
    """Whole pictures, measured with rounded symbols as a file has them.

    Args:
      paths: of the pictures.
      model: what is measured.
    """

    def __init__(self, paths: list[str], model):
        self.paths = paths

        def measure(pixels):
            estimate = model.estimate(tf.cast(pixels[None], tf.float32))
            return to_pixels(estimate.x_hat[0]), estimate.bits_y[0] + estimate.bits_z[0]

        self._measure = tf.function(measure, input_signature=[tf.TensorSpec((None, None, 3), tf.uint8)],
                                    autograph=False)

    def __call__(self) -> Validated:
        """Measures them all; MS-SSIM only where all are large enough for it."""
        rows, pictures = [], {}
        for n, path in enumerate(self.paths):
            pixels = images.read(path).pixels
            x_hat, bits = self._measure(tf.constant(pixels))
            rows.append(_figures(pixels, x_hat.numpy(), float(bits)))
            if n < _SHOWN:
                pictures[f"validation {n + 1}: original | reconstruction"] = _middles(pixels, x_hat.numpy())
        shared = set.intersection(*map(set, rows)) if rows else set()
        return Validated({f"validation/{name}": float(np.mean([row[name] for row in rows])) for name in sorted(shared)},
                         pictures)


def _figures(pixels: np.ndarray, x_hat: np.ndarray, bits: float) -> dict[str, float]:
    figures = {"bpp": bits / (pixels.shape[0] * pixels.shape[1]), "psnr": metrics.psnr(pixels, x_hat)}
    similarity = metrics.ms_ssim(pixels, x_hat)
    return figures if similarity is None else {**figures, "ms_ssim": similarity}


def _middles(*pictures: np.ndarray) -> np.ndarray:
    """The same square, or less where they are smaller, out of the middle of each."""
    height, width, _ = pictures[0].shape
    top, left = max(0, height - _SIDE) // 2, max(0, width - _SIDE) // 2
    return np.concatenate([p[top:top + _SIDE, left:left + _SIDE] for p in pictures], 1)[None]
