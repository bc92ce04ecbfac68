"""Resampling between stages: patch merging and splitting, and the two orders of pixel shuffle."""

from __future__ import annotations

import numpy as np
import tensorflow as tf

from swin_transformers_tf.layers import Dense, Layer, LayerNorm


def pixel_shuffle(x: tf.Tensor, order: str) -> tf.Tensor:
    """(b, h, w, 4c) -> (b, 2h, 2w, c); channel c * 4 + dy * 2 + dx ("inner") or (dy * 2 + dx) * c ("outer")."""
    if order == "outer":
        return tf.nn.depth_to_space(x, 2)
    b, h, w = tf.unstack(tf.shape(x)[:3])
    c = x.shape[-1] // 4
    x = tf.reshape(x, (b, h, w, c, 2, 2))
    return tf.reshape(tf.transpose(x, (0, 1, 4, 2, 5, 3)), (b, 2 * h, 2 * w, c))


def space_to_depth(x: tf.Tensor, order: str) -> tf.Tensor:
    """(b, h, w, c) -> (b, h/2, w/2, 4c), the four pixels in the order of Swin's code ("rows_first") or of TF."""
    if order == "columns_first":
        return tf.nn.space_to_depth(x, 2)
    b, h, w = tf.unstack(tf.shape(x)[:3])
    x = tf.reshape(x, (b, h // 2, 2, w // 2, 2, x.shape[-1]))
    return tf.reshape(tf.transpose(x, (0, 1, 3, 4, 2, 5)), (b, h // 2, w // 2, 4 * x.shape[-1]))


def shuffled(matrix: np.ndarray, filters: int, order: str) -> np.ndarray:
    """(k, 4c), columns in the order row, column, channel -> (k, 4 * filters) for `pixel_shuffle`, zeros added."""
    wide = np.zeros((len(matrix), 4, filters), matrix.dtype)
    wide[..., :matrix.shape[1] // 4] = matrix.reshape(len(matrix), 4, -1)
    return (wide.transpose(0, 2, 1) if order == "inner" else wide).reshape(len(matrix), -1)


class PatchMerging(Layer):
    """Halves the map: four neighbours side by side, LayerNorm, a dense layer without bias.

    Args:
      filters: channels of the output.
      order: of the four neighbours.
      gain: the initial kernel is Glorot's times this.
      norm: whether there is the LayerNorm; without it the dense layer has a bias.
    """

    def __init__(self, filters: int, order: str = "rows_first", gain: float = 1.0, norm: bool = True, **kwargs):
        super().__init__(**kwargs)
        start = tf.keras.initializers.VarianceScaling(gain ** 2, "fan_avg", "uniform")
        self.filters, self.order, self.norm = filters, order, LayerNorm() if norm else None
        self.reduction = Dense(filters, use_bias=not norm, initializer=start)

    def hold(self, matrix: np.ndarray, bias: np.ndarray, least: np.ndarray) -> None:
        """Makes its first k outputs 2 x 2 blocks @ matrix + bias; only without norm (`arch_ops.Conv.hold`)."""
        assert self.norm is None and self.reduction.bias is not None
        c, k = matrix.shape[0] // 4, matrix.shape[1]
        kernel = self.reduction.kernel.numpy().reshape(4, -1, self.filters)
        kernel[..., :k] = 0
        of_order = [0, 2, 1, 3] if self.order == "rows_first" else [0, 1, 2, 3]
        kernel[:, :c, :k] = matrix.reshape(4, c, k)[of_order]
        self.reduction.kernel.assign(kernel.reshape(-1, self.filters))
        self.reduction.bias.assign(np.pad(bias, (0, self.filters - k)))

    def call(self, x):
        x = space_to_depth(x, self.order)
        return self.reduction(self.norm(x) if self.norm else x)


class PatchSplitting(Layer):
    """Doubles the map: a dense layer to 4 * units channels, then pixel shuffle; LayerNorm before it or after it.

    Args:
      filters: channels of the output.
      form: "norm_linear" (TBTC) or "linear_norm" (Zhu et al., section 3.1).
      shuffle: order of the pixel shuffle.
      last: whether it makes the transform's output; "linear_norm" then has a bias and no norm.
      norm: whether there is a LayerNorm at all; without it the dense layer has a bias.
    """

    def __init__(self, filters: int, form: str = "norm_linear", shuffle: str = "inner", last: bool = False,
                 norm: bool = True, **kwargs):
        super().__init__(**kwargs)
        self.filters, self.shuffle, self.norm_first = filters, shuffle, form == "norm_linear"
        bare = not norm or (last and not self.norm_first)
        self.reduction = Dense(4 * filters, use_bias=bare)
        self.norm = None if bare else LayerNorm()

    def hold(self, matrix: np.ndarray, bias: np.ndarray) -> None:
        """Makes its output's first c channels, as 2 x 2 blocks, x @ matrix + bias; only without norm."""
        assert self.norm is None and self.reduction.bias is not None
        kernel = self.reduction.kernel.numpy()
        kernel[:len(matrix)] = shuffled(matrix, self.filters, self.shuffle)
        self.reduction.kernel.assign(kernel)
        self.reduction.bias.assign(shuffled(np.tile(bias, 4)[None], self.filters, self.shuffle)[0])

    def call(self, x):
        x = self.norm(x) if self.norm and self.norm_first else x
        x = self.reduction(x)
        x = self.norm(x) if self.norm and not self.norm_first else x
        return pixel_shuffle(x, self.shuffle)
