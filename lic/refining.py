"""A latent made better for its own picture: descent on bits + lambda * MSE, with the networks left as they are.

The analysis guesses a good latent for any picture at once; some gradient steps on the latent itself find a better one,
which decoders read as ever. The idea is that of Yang, Bamler and Mandt ("Improving Inference for Neural Image
Compression", NeurIPS 2020), who draw the roundings at random. Here each value goes up with a probability p, and what
that costs is not drawn but expected: bits linear between the two neighbours, the picture of the mean, and for the
variance p (1 - p) what it is worth where rate and distortion are in balance. p sharpens from step to step.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Callable

import numpy as np
import tensorflow as tf

from lic.arithmetic import CONTINUOUS
from lic.coders import NUM_SCALES, Estimator, GaussianModel, scale_of_index
from lic.model import LatentCodec

_STEPS = (0.03, 0.1)          # the learning rate, in steps of rounding: the first, or the second over sqrt(steps)
_TEMPERATURES = (0.3, 0.03)   # of the first and the last step
_DECIDED = 1e-4               # at which each value is on one side
# Bits for a variance of one squared step. Where steps are fine and in balance with lambda it is 6 / ln 2 = 8.7; of 0,
# 3, 6 and 10 these did best at qualities 10, 50 and 95.
_VARIANCE = 6.0
_LEAST = 1e-9  # likelihood of a symbol
_EDGE = 1e-4   # a value this near to a whole number has no slope left

Progress = Callable[[Iterable], Iterable]


class Refiner:
    """Refines latents of a model of many rates.

    Args:
      model: a frozen model.
    """

    def __init__(self, model: LatentCodec):
        assert model.gains, "models of one rate know no lambda"
        self._model, self._lambda_of = model, model.gains.lambda_of
        # The first size is traced as such, which takes half the time; other sizes share one trace.
        self._slope = tf.function(self._slope_of, autograph=False, reduce_retracing=True)

    def refined(self, first: tf.Tensor, pictures: np.ndarray, quality: np.ndarray, steps: int, progress: Progress = iter
                ) -> tf.Tensor:
        """y of pictures, uint8 (b, h, w, 3), of a quality each -> one that costs no more.

        Args:
          progress: wraps the steps, as `tqdm` does.
        """
        x, quality = tf.cast(pictures, tf.float32), tf.constant(quality, tf.float32)
        y, most = tf.Variable(first), min(_STEPS[0], _STEPS[1] / math.sqrt(steps))
        adam = tf.keras.optimizers.Adam(beta_2=0.99)   # few steps: a short memory
        for step in progress(range(steps)):
            adam.learning_rate = most * (1 + math.cos(math.pi * step / steps)) / 2
            temperature = _TEMPERATURES[0] * (_TEMPERATURES[1] / _TEMPERATURES[0]) ** (step / steps)
            adam.apply_gradients([(self._slope(x, y.value(), quality, tf.constant(temperature))[0], y)])
        better = self._cost(x, y.value(), quality) < self._cost(x, first, quality)
        return tf.where(better[:, None, None, None], y, first)

    def _cost(self, x, y, quality) -> tf.Tensor:
        """What a latent costs, (b,), once its values are decided."""
        # Another function, without a gradient, would take longer to trace than this one to run.
        return self._slope(x, y, quality, tf.constant(_DECIDED))[1]

    def _slope_of(self, x, y, quality, temperature) -> tuple[tf.Tensor, tf.Tensor]:
        """The gradient of what a latent costs, and that, (b,)."""
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch(y)
            cost = self._cost_of(x, y, quality, temperature)
        return tape.gradient(cost, y), cost

    def _cost_of(self, x, y, quality, temperature) -> tf.Tensor:
        """Bits + lambda * MSE * pixels of each picture, (b,)."""
        model = self._model
        coder = _Undecided(GaussianModel(floor=model.likelihood_floor), model.context.parts(y), temperature)
        estimate = model.estimate_latent(y, coder, tf.shape(x)[1:3], quality)
        shown = tf.clip_by_value(estimate.x_hat, 0, 255)
        error = tf.reduce_sum(tf.math.squared_difference(x, shown), (1, 2, 3)) / 3
        return estimate.bits_y + estimate.bits_z + self._lambda_of(quality) * error


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
