"""The two colours of a checkerboard, each packed into a map of half the width.

Row r of a packed colour holds columns r % 2, r % 2 + 2, ... (the even colour: row + column even) or the others (odd).
Height and width must be even.
"""

from __future__ import annotations

import tensorflow as tf


def split(x: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """(b, h, w, c) -> the even and the odd colour, each (b, h, w/2, c)."""
    b, h, w = tf.unstack(tf.shape(x)[:3])
    x = tf.reshape(x, (b, h // 2, 2, w // 2, 2, x.shape[-1]))
    even = tf.stack([x[:, :, 0, :, 0], x[:, :, 1, :, 1]], 2)
    odd = tf.stack([x[:, :, 0, :, 1], x[:, :, 1, :, 0]], 2)
    shape = (b, h, w // 2, x.shape[-1])
    return tf.reshape(even, shape), tf.reshape(odd, shape)


def merge(even: tf.Tensor, odd: tf.Tensor) -> tf.Tensor:
    """The inverse of `split`."""
    b, h, w = tf.unstack(tf.shape(even)[:3])
    even, odd = (tf.reshape(x, (b, h // 2, 2, w, x.shape[-1])) for x in (even, odd))
    top = tf.stack([even[:, :, 0], odd[:, :, 0]], 3)
    bottom = tf.stack([odd[:, :, 1], even[:, :, 1]], 3)
    return tf.reshape(tf.stack([top, bottom], 2), (b, h, 2 * w, even.shape[-1]))
