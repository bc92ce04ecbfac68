"""What training minimises beside the rate: distortions that have a gradient, a number for each picture.

MS-SSIM is that of `lic.metrics`, which measures files; here it is in TensorFlow, and so has a gradient.

Gotchas:
* The terms of a picture that is nothing like its original, as at the start of a training, may be negative; their powers
  have no finite gradient. They are bounded below, and the gradient passes the bound, so that it leads away from there.
* Squares of 0..255 are subtracted from one another: float32, never TF32 or bfloat16.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Callable

import tensorflow as tf

from lic import metrics
from lic.metrics import C1, C2, MS_SSIM_WEIGHTS, WINDOW

_LEAST = 1e-4   # of a scale's mean term; a picture that is at all like its original has more than 0.1

Distortion = Callable[[tf.Tensor, tf.Tensor], tf.Tensor]


def mse(x: tf.Tensor, x_hat: tf.Tensor) -> tf.Tensor:
    """Pictures (b, h, w, 3) in 0..255 -> the mean squared error of each, (b,)."""
    return tf.reduce_mean(tf.math.squared_difference(x, x_hat), (1, 2, 3))


def ms_ssim_loss(x: tf.Tensor, x_hat: tf.Tensor) -> tf.Tensor:
    """Pictures (b, h, w, 3) in 0..255, sides from 161 -> 1 - MS-SSIM of each, (b,); Wang et al. 2003."""
    product = tf.ones(())
    for scale, weight in enumerate(MS_SSIM_WEIGHTS):
        if scale:
            x, x_hat = (tf.nn.avg_pool2d(p, 2, 2, "SAME") for p in (x, x_hat))
        similarity, contrast = _similarity(x, x_hat)
        coarsest = scale == len(MS_SSIM_WEIGHTS) - 1   # luminance counts only there
        product *= _bounded(similarity if coarsest else contrast) ** weight
    return 1 - tf.reduce_mean(product, 1)


def _similarity(x: tf.Tensor, y: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """The means of SSIM and of its contrast-structure term, (b, 3) each."""
    mean_x, mean_y = _blur(x), _blur(y)
    means, squared_means = 2 * mean_x * mean_y, mean_x ** 2 + mean_y ** 2
    contrast = (2 * _blur(x * y) - means + C2) / (_blur(x * x + y * y) - squared_means + C2)
    similarity = contrast * (means + C1) / (squared_means + C1)
    return tf.reduce_mean(similarity, (1, 2)), tf.reduce_mean(contrast, (1, 2))


def _bounded(term: tf.Tensor) -> tf.Tensor:
    return term + tf.stop_gradient(tf.maximum(term, _LEAST) - term)


def _blur(x: tf.Tensor) -> tf.Tensor:
    """(b, h, w, c) -> (b, h - 10, w - 10, c): a Gaussian window, as products with two banded matrices."""
    down, across = (_bands(tf.shape(x)[axis]) for axis in (1, 2))
    return tf.einsum("kw,bhwc->bhkc", across, tf.einsum("kh,bhwc->bkwc", down, x))


def _bands(side: tf.Tensor) -> tf.Tensor:
    """(side - 10, side): in each row the window's weights, one column further on."""
    offsets = tf.range(side)[None] - tf.range(side - WINDOW + 1)[:, None]
    inside = (offsets >= 0) & (offsets < WINDOW)
    window = tf.constant(metrics.window(), tf.float32)
    return tf.where(inside, tf.gather(window, tf.clip_by_value(offsets, 0, WINDOW - 1)), 0.0)


DISTORTIONS: Mapping[str, Distortion] = MappingProxyType({"mse": mse, "ms-ssim": ms_ssim_loss})
