"""One model for many rates: each channel of y is scaled before it is rounded, and scaled back before synthesis.

The gains are learned for a ladder of lambdas and interpolated in the logarithm between them (Cui et al., "Asymmetric
Gained Deep Image Compression With Continuous Rate Adaptation", CVPR 2021). Hyperprior and context see the scaled y, so
a decoder needs the quality only for its pixels, never for its symbols.
"""

from __future__ import annotations

import math

import numpy as np
import tensorflow as tf

import config
from swin_transformers_tf import Layer


class Gains(Layer):
    """Gains of y and their inverses, which are learned apart.

    Args:
      lambdas: the ladder, rising in equal ratios; its ends are those of the qualities.
      depth: channels of y.
    Attributes:
      middle: the lambda whose gains begin as 1.
    """

    def __init__(self, lambdas: tuple[float, ...], depth: int, **kwargs):
        super().__init__(**kwargs)
        self._lambdas, self.middle = lambdas, math.sqrt(lambdas[0] * lambdas[-1])
        # Noise of a step costs MSE in proportion to the square of the step.
        start = np.log(np.array(lambdas) / self.middle) / 2
        start = np.tile(start[:, None], (1, depth))
        self.log_gain = self.weight("log_gain", start.shape, tf.keras.initializers.Constant(start))
        self.log_inverse = self.weight("log_inverse", start.shape, tf.keras.initializers.Constant(-start))

    def scale(self, y: tf.Tensor, quality: tf.Tensor) -> tf.Tensor:
        """y (b, h, w, c) of g_a -> what is rounded; quality (b,), 1..100."""
        return y * self._between(self.log_gain, quality)

    def unscale(self, y_hat: tf.Tensor, quality: tf.Tensor) -> tf.Tensor:
        """What was rounded (b, h, w, c) -> y_hat of g_s, the same; quality (b,), 1..100."""
        return y_hat * self._between(self.log_inverse, quality)

    def lambda_of(self, quality: tf.Tensor) -> tf.Tensor:
        """The lambda that a quality stands for, (b,)."""
        first, last = self._lambdas[0], self._lambdas[-1]
        return first * tf.exp(_share(quality) * math.log(last / first))

    def weight_of(self, quality: tf.Tensor) -> tf.Tensor:
        """What a picture's loss counts in training, (b,): about one over its rate, so that all rates count alike."""
        return tf.sqrt(self.middle / self.lambda_of(quality))

    def _between(self, table, quality) -> tf.Tensor:
        place = _share(quality) * (len(self._lambdas) - 1)
        below = tf.clip_by_value(tf.cast(place, tf.int32), 0, len(self._lambdas) - 2)
        part = (place - tf.cast(below, tf.float32))[:, None]
        logarithm = (1 - part) * tf.gather(table, below) + part * tf.gather(table, below + 1)
        return tf.exp(logarithm)[:, None, None]


def _share(quality: tf.Tensor) -> tf.Tensor:
    """0 for the least quality, 1 for the best."""
    least, best = config.QUALITIES
    return (tf.cast(quality, tf.float32) - least) / (best - least)
