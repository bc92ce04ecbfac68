"""Layer normalisation, written so that TensorFlow runs it as one operation where oneDNN has one.

Step by step it is eight passes through memory, which in a Swin block take half as long as all products. TensorFlow's
graph optimiser recognises the form in which Keras writes it, a batch normalisation whose batch is the channels, on
matrices of unknown height (not inside loops, though). float64 has no such operation, and a gradient of that form would
be slower than the steps.
"""

from __future__ import annotations

import tensorflow as tf

EPSILON = 1e-5   # as in PyTorch; Keras' default is 1e-3


def layer_norm(x: tf.Tensor, gamma: tf.Tensor, beta: tf.Tensor) -> tf.Tensor:
    """(..., c) normalised over its channels, times gamma plus beta, both (c,); in the type of x."""
    if x.dtype == tf.float64:
        return stepwise(x, tf.cast(gamma, x.dtype), tf.cast(beta, x.dtype))
    if x.shape.rank == 2:
        return _fused(x, gamma, beta)
    rows = tf.reshape(x, (-1, x.shape[-1]))
    return tf.reshape(_fused(rows, gamma, beta), tf.shape(x))


def stepwise(x: tf.Tensor, gamma: tf.Tensor, beta: tf.Tensor) -> tf.Tensor:
    """The same, operation by operation, all of one type."""
    centred, scale = _moments(x)
    return centred * (gamma * scale) + beta


def _moments(x: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """(..., c) -> what is left of it without its mean, (..., c), and one over its deviation, (..., 1)."""
    centred = x - tf.reduce_mean(x, -1, keepdims=True)
    variance = tf.reduce_mean(tf.square(centred), -1, keepdims=True)
    return centred, tf.math.rsqrt(variance + tf.constant(EPSILON, x.dtype))


@tf.custom_gradient
def _fused(x: tf.Tensor, gamma: tf.Tensor, beta: tf.Tensor):
    """Of (n, c) float32 or bfloat16."""
    def grad(dy):
        wide, g = tf.cast(x, tf.float32), tf.cast(dy, tf.float32)   # moments need more than 8 bits
        centred, scale = _moments(wide)
        unit, d_unit = centred * scale, g * gamma
        along = tf.reduce_mean(d_unit * unit, -1, keepdims=True)
        dx = scale * (d_unit - tf.reduce_mean(d_unit, -1, keepdims=True) - unit * along)
        return tf.cast(dx, x.dtype), tf.reduce_sum(g * unit, 0), tf.reduce_sum(g, 0)

    height, none = tf.shape(x)[:1], tf.constant([])
    unit = tf.raw_ops.FusedBatchNormV3(
        x=tf.reshape(x, tf.concat([[1], height, [x.shape[1], 1]], 0)), scale=tf.fill(height, 1.0),
        offset=tf.fill(height, 0.0), mean=none, variance=none, epsilon=EPSILON,
        data_format="NCHW", is_training=True).y
    unit = tf.reshape(unit, tf.shape(x))
    return unit * tf.cast(gamma, x.dtype) + tf.cast(beta, x.dtype), grad
