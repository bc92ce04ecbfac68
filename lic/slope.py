"""What a latent costs, and how that changes with each of its values: what `lic.refining` goes down.

Nothing that is rounded has a slope. So each value goes up with a probability p, and what that costs is expected: bits
linear between the two neighbours, the picture of the mean, and for the variance p (1 - p) what it is worth where rate
and distortion are in balance.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Callable

import tensorflow as tf

from lic.arithmetic import CONTINUOUS
from lic.coders import NUM_SCALES, Estimator, GaussianModel, scale_of_index
from lic.model import LatentCodec

# Bits for a variance of one squared step. Where steps are fine and in balance with lambda it is 6 / ln 2 = 8.7; of 0,
# 3, 6 and 10 these did best at qualities 10, 50 and 95.
_VARIANCE = 6.0
_LEAST = 1e-9  # likelihood of a symbol
_EDGE = 1e-4   # a value this near to a whole number has no slope left


def traced(model: LatentCodec) -> Callable:
    """A function of pictures, uint8 (b, h, w, 3), their latents (b, h/16, w/16, M), qualities (b,) and a temperature.

    It returns the gradient of what the latents cost, and that, (b,): bits + lambda * MSE * pixels. The lower the
    temperature, the nearer are the probabilities of rounding up to 0 and 1.

    Args:
      model: of many rates.
    """
    def slope(pixels, y, quality, temperature):
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch(y)
            cost = _cost(model, tf.cast(pixels, tf.float32), y, quality, temperature)
        return tape.gradient(cost, y), cost

    signature = [tf.TensorSpec((None, None, None, 3), tf.uint8),
                 tf.TensorSpec((None, None, None, model.preset.latent_depth), tf.float32),
                 tf.TensorSpec((None,), tf.float32), tf.TensorSpec((), tf.float32)]
    return tf.function(slope, input_signature=signature, autograph=False)


def _cost(model: LatentCodec, x, y, quality, temperature) -> tf.Tensor:
    assert model.gains, "models of one rate know no lambda"
    coder = _Undecided(GaussianModel(floor=model.likelihood_floor), model.context.parts(y), temperature)
    estimate = model.estimate_latent(y, coder, tf.shape(x)[1:3], quality)
    shown = tf.clip_by_value(estimate.x_hat, 0, 255)
    error = tf.reduce_sum(tf.math.squared_difference(x, shown), (1, 2, 3)) / 3
    return estimate.bits_y + estimate.bits_z + model.gains.lambda_of(quality) * error


class _Undecided(Estimator):
    """Expects bits and values of parts that are rounded up or down with a probability."""

    def __init__(self, entropy_model: GaussianModel, parts: Iterable[tf.Tensor], temperature: tf.Tensor):
        super().__init__(entropy_model, parts, CONTINUOUS)
        self._temperature = temperature

    def __call__(self, loc, index):
        loc, index = self.settle(loc, index)
        x = next(self._parts) - loc
        below = tf.stop_gradient(tf.floor(x))
        up = self._probability(x - below)
        scale = scale_of_index(tf.clip_by_value(index, 0, NUM_SCALES - 1))
        bits = (1 - up) * _bits(below, scale) + up * _bits(below + 1, scale) + _VARIANCE * up * (1 - up)
        self.bits.append(tf.reduce_sum(bits, (1, 2, 3)))
        return below + up + loc

    def _probability(self, part: tf.Tensor) -> tf.Tensor:
        """Of rounding up a value that lies `part` of a step above a whole number."""
        part = tf.clip_by_value(part, _EDGE, 1 - _EDGE)
        return tf.sigmoid((tf.math.atanh(part) - tf.math.atanh(1 - part)) / self._temperature)


def _bits(symbol: tf.Tensor, scale: tf.Tensor) -> tf.Tensor:
    """What `GaussianModel` counts, in an eighth of its operations, which are what tracing takes its time for."""
    distance, unit = tf.abs(symbol), math.sqrt(0.5) / scale
    likelihood = (tf.math.erfc((distance - 0.5) * unit) - tf.math.erfc((distance + 0.5) * unit)) / 2
    return tf.math.log(tf.maximum(likelihood, _LEAST)) / -math.log(2)
