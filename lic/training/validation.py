"""Whole pictures, measured as their files would be."""

from __future__ import annotations

import glob
import os

import numpy as np
import tensorflow as tf

from lic import images, metrics
from lic.errors import UsageError


class Validation:
    """Whole pictures, measured with rounded symbols as a file has them.

    Args:
      pattern: their glob; none where it is empty.
      model: what is measured.
    Raises:
      UsageError: nothing matches. DataError: one can't be read.
    """

    def __init__(self, pattern: str, model):
        self.paths = sorted(filter(os.path.isfile, glob.glob(pattern, recursive=True)))
        if pattern and not self.paths:
            raise UsageError(f"--validation_glob '{pattern}' matches no file")
        for path in self.paths:
            images.read(path)   # a broken one is told of now, not after the first epoch

        def measure(pixels):
            estimate = model.estimate(tf.cast(pixels[None], tf.float32))
            x_hat = tf.cast(tf.round(tf.clip_by_value(estimate.x_hat[0], 0, 255)), tf.uint8)
            return x_hat, estimate.bits_y[0] + estimate.bits_z[0]

        self._measure = tf.function(measure, input_signature=[tf.TensorSpec((None, None, 3), tf.uint8)],
                                    autograph=False)

    def figures(self) -> dict[str, float]:
        """Means over the pictures."""
        rows = [self._figures_of(images.read(path).pixels) for path in self.paths]
        bpp, psnr = np.mean(rows, 0)
        return {"validation/bpp": float(bpp), "validation/psnr": float(psnr)}

    def _figures_of(self, pixels: np.ndarray) -> tuple[float, float]:
        x_hat, bits = self._measure(tf.constant(pixels))
        return float(bits) / (pixels.shape[0] * pixels.shape[1]), metrics.psnr(pixels, x_hat.numpy())
