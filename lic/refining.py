"""A latent made better for its own picture: descent on bits + lambda * MSE, with the networks left as they are.

The analysis guesses a good latent for any picture at once; some gradient steps on the latent itself find a better one,
which decoders read as ever. The idea is that of Yang, Bamler and Mandt ("Improving Inference for Neural Image
Compression", NeurIPS 2020), who draw the roundings at random; here they are expected (`lic.slope`), and sharpen from
step to step.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Callable

import numpy as np
import tensorflow as tf

_STEPS = (0.03, 0.1)          # the learning rate, in steps of rounding: the first, or the second over sqrt(steps)
_TEMPERATURES = (0.3, 0.03)   # of the first and the last step
_DECIDED = 1e-4               # at which each value is on one side

Progress = Callable[[Iterable], Iterable]


def refined(slope: Callable, first: tf.Tensor, pictures: np.ndarray, quality: np.ndarray, steps: int,
            progress: Progress = iter) -> tf.Tensor:
    """y of pictures, uint8 (b, h, w, 3), of a quality each -> one that costs no more.

    Args:
      slope: of the model, as of `lic.slope`.
      progress: wraps the steps, as `tqdm` does.
    """
    y, most = tf.Variable(first), min(_STEPS[0], _STEPS[1] / math.sqrt(steps))
    adam = tf.keras.optimizers.Adam(beta_2=0.99)   # few steps: a short memory
    for step in progress(range(steps)):
        adam.learning_rate = most * (1 + math.cos(math.pi * step / steps)) / 2
        temperature = _TEMPERATURES[0] * (_TEMPERATURES[1] / _TEMPERATURES[0]) ** (step / steps)
        adam.apply_gradients([(slope(pictures, y.value(), quality, np.float32(temperature))[0], y)])
    # Another function, without a gradient, would take longer to trace than this one to run.
    costs = [slope(pictures, latent, quality, np.float32(_DECIDED))[1] for latent in (y.value(), first)]
    return tf.where((costs[0] < costs[1])[:, None, None, None], y, first)
