"""Multi-head self-attention inside windows, with relative position bias (Liu et al., Swin Transformer, ICCV 2021)."""

from __future__ import annotations

import numpy as np
import tensorflow as tf

from swin_transformers_tf import products, windows
from swin_transformers_tf.layers import Dense, Layer, truncated_normal


class WindowAttention(Layer):
    """Attention in (optionally shifted) windows of a map of any size: (b, h, w, c) -> (b, h, w, c).

    The bias table has one row for each of the (2m - 1)^2 relative positions, row difference first, query minus key.
    Windows that the map does not fill are padded, and the padding is masked; the shift and its mask are applied also
    where there is just one window.

    Args:
      heads: number of heads.
      window: side m of a window.
      shift: 0, or how far the windows are shifted (m // 2).
      scale_dim: the scores are scaled by scale_dim ** -0.5; the width of a head where None.
    """

    def __init__(self, heads: int, window: int, shift: int = 0, scale_dim: int | None = None, **kwargs):
        super().__init__(**kwargs)
        self.heads, self.window, self.shift, self.scale_dim = heads, window, shift, scale_dim

    def build(self, shape):
        channels = shape[-1]
        if channels % self.heads:
            raise ValueError(f"{channels} channels do not divide into {self.heads} heads")
        self.head_dim = channels // self.heads
        self.qkv = Dense(3 * channels, initializer=truncated_normal())
        self.proj = Dense(channels, initializer=truncated_normal())
        self.bias_table = self.weight("bias_table", ((2 * self.window - 1) ** 2, self.heads), truncated_normal())
        self.position = windows.relative_position_index(self.window)

    def call(self, x, size=None):
        """Where a size is given, x is padded already, from a map of that shape, and so is what comes back."""
        if size is None:
            size = tf.shape(x)
            return self.call(windows.pad_to_windows(x, self.window), size)[:, :size[1], :size[2]]
        mask, padded = self._mask(x, size), tf.shape(x)
        qkv = self.qkv(_rolled(x, -self.shift), after=self._scales())
        q, k, v = map(products.wide, self._split(qkv, padded))
        x = self._join(tf.matmul(self._attend(q, k, mask), v), padded)
        return self.proj(_rolled(x, self.shift))

    def of_rows(self, rows: tf.Tensor, padded: tf.Tensor, size: tf.Tensor, constants: products.Constants) -> tf.Tensor:
        """The same of the rows of a padded map, (b * h * w, c), with constants, as `Dense.of_rows`.

        Args:
          padded: the shape of the map.
          size: its shape without the padding.
        """
        x = _rolled(tf.reshape(rows, padded), -self.shift)
        q, k, v = self._split(self.qkv.of_rows(tf.reshape(x, tf.shape(rows)), constants), padded)
        x = self._join(tf.matmul(self._attend_fused(q, k, padded, size), v), padded)
        return self.proj.of_rows(tf.reshape(_rolled(x, self.shift), tf.shape(rows)), constants)

    def _mask(self, x, size):
        if not windows.needs_mask(size, self.window, self.shift):
            return None
        return windows.attention_mask(size[1], size[2], self.window, self.shift, _score_type(x.dtype))

    def _scales(self):
        """What queries, keys and values are multiplied by: the scores' scale stands in the queries."""
        scales = np.ones((3, self.heads * self.head_dim))
        scales[0] = (self.scale_dim or self.head_dim) ** -0.5
        return scales.ravel()

    def _split(self, qkv, size):
        """(b, h, w, 3c) -> three of (heads, b * n, t, head_dim)."""
        b, h, w, m = size[0], size[1] // self.window, size[2] // self.window, self.window
        qkv = tf.reshape(qkv, (b * h, m, w, m, 3, self.heads, self.head_dim))
        qkv = tf.transpose(qkv, (4, 5, 0, 2, 1, 3, 6))
        return tf.unstack(tf.reshape(qkv, (3, self.heads, b * h * w, m * m, self.head_dim)))

    def _join(self, x, size):
        """(heads, b * n, t, head_dim) -> (b, h, w, c)."""
        b, h, w, m = size[0], size[1] // self.window, size[2] // self.window, self.window
        x = tf.reshape(x, (self.heads, b * h, w, m, m, self.head_dim))
        x = tf.transpose(x, (1, 3, 2, 4, 0, 5))
        return tf.reshape(x, (b, size[1], size[2], self.heads * self.head_dim))

    def _bias(self, dtype):
        """(heads, 1, t, t) in a type."""
        return tf.cast(tf.transpose(tf.gather(self.bias_table, self.position), (2, 0, 1))[:, None], dtype)

    def _attend_fused(self, q, k, padded, size):
        """As `_attend`, of queries that are not scaled: oneDNN takes scale and bias into the product."""
        scale = tf.constant((self.scale_dim or self.head_dim) ** -0.5, q.dtype)
        scores = tf.matmul(q, k, transpose_b=True) * scale + self._bias(q.dtype)

        def masked():
            rows, columns = windows.attention_mask(size[1], size[2], self.window, self.shift, q.dtype)
            return tf.reshape(_of_grid(scores, rows, columns) + (rows[:, None] + columns), tf.shape(scores))

        # Where nothing is masked, adding zeros would take as long as the product.
        empty = tf.reduce_all(padded == size)
        return tf.nn.softmax(masked() if self.shift else tf.cond(empty, lambda: scores, masked))

    def _attend(self, q, k, mask):
        """Softmax of the scaled, biased and masked scores: (heads, b * n, t, t)."""
        scores, wide = tf.matmul(q, k, transpose_b=True), _score_type(q.dtype)
        bias = self._bias(wide)
        scores = tf.cast(scores, wide) + bias if mask is None else _masked(scores, bias, *mask)
        return tf.cast(tf.nn.softmax(scores), q.dtype)


def _rolled(x, shift):
    return tf.roll(x, (shift, shift), (1, 2)) if shift else x


def _masked(scores, bias, rows, columns):
    """(heads, b * n, t, t) scores plus bias (heads, 1, t, t) and the masks of each row and each column of windows."""
    shape = tf.shape(scores)
    scores = tf.cast(_of_grid(scores, rows, columns), bias.dtype) + (rows + bias)[:, None, :, None] + columns
    return tf.reshape(scores, shape)


def _of_grid(scores, rows, columns):
    """(heads, b * n, t, t) -> (heads, b, rows of windows, columns of windows, t, t)."""
    shape = tf.shape(scores)
    return tf.reshape(scores, tf.concat([shape[:1], [-1], tf.shape(rows)[:1], tf.shape(columns)[:1], shape[2:]], 0))


def _score_type(dtype):
    """bfloat16 is too coarse for a softmax."""
    return tf.float32 if dtype == tf.bfloat16 else dtype
