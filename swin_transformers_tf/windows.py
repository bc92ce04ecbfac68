"""Pure geometry of windows: padding to whole windows, the mask, and the relative positions inside one.

Letters of shapes: b batch, h w map, c channels, m window side, n = windows of the map, t = m * m tokens of a window.
"""

from __future__ import annotations

import numpy as np
import tensorflow as tf


def relative_position_index(window: int) -> np.ndarray:
    """(t, t) ints: where the bias of query i and key j stands in a table of (2m - 1)^2 relative positions."""
    row, column = np.divmod(np.arange(window * window), window)
    rows = row[:, None] - row[None, :] + window - 1
    columns = column[:, None] - column[None, :] + window - 1
    return rows * (2 * window - 1) + columns


def pad_to_windows(x: tf.Tensor, window: int) -> tf.Tensor:
    """(b, h, w, c) -> (b, h', w', c) with zeros below and to the right, up to multiples of the window."""
    size = tf.shape(x)
    bottom, right = -size[1] % window, -size[2] % window
    return tf.pad(x, [[0, 0], [0, bottom], [0, right], [0, 0]])


def _labels(length: tf.Tensor, window: int, shift: int) -> tf.Tensor:
    """(windows, m) ints along one axis of the rolled, padded map: equal labels may see one another.

    A shifted window that wraps around holds two ends of the map, and a window at the end may hold padding; neither
    may be mixed with the rest.
    """
    padded = length + -length % window
    position = (tf.range(padded) + shift) % padded
    wrapped = tf.cast(position < shift, tf.int32)
    padding = tf.cast(position >= length, tf.int32)
    return tf.reshape(2 * wrapped + 4 * padding, (-1, window))


def attention_mask(height: tf.Tensor, width: tf.Tensor, window: int, shift: int, dtype) -> tuple[tf.Tensor, tf.Tensor]:
    """Additive masks of a map of height x width: 0 where query and key may meet, else a huge negative.

    Returns (rows of windows, t, t) and (columns of windows, t, t), to be added for each window: a mask for every window
    would be as large as the scores of a head.
    """
    row, column = np.divmod(np.arange(window * window), window)
    return _apart(_labels(height, window, shift), row, dtype), _apart(_labels(width, window, shift), column, dtype)


def _apart(labels: tf.Tensor, position: np.ndarray, dtype) -> tf.Tensor:
    label = tf.gather(labels, position, axis=1)                              # (windows along the axis, t)
    apart = tf.not_equal(label[:, :, None], label[:, None, :])
    return tf.where(apart, tf.constant(-1e9, dtype), tf.constant(0, dtype))


def needs_mask(size: tf.Tensor, window: int, shift: int) -> bool:
    """False where a map's shape is known and every window is full and unshifted."""
    known = tf.get_static_value(size)
    return shift > 0 or known is None or any(n % window for n in known[1:3])
