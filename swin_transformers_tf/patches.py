"""Resampling between stages: patch merging and splitting, and the two orders of pixel shuffle."""

from __future__ import annotations

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
    return tf.concat([x[:, dy::2, dx::2] for dx in (0, 1) for dy in (0, 1)], -1)


class PatchMerging(Layer):
    """Halves the map: four neighbours side by side, LayerNorm, a dense layer without bias.

    Args:
      units: channels of the output.
      order: of the four neighbours.
      gain: the initial kernel is Glorot's times this.
    """

    def __init__(self, units: int, order: str = "rows_first", gain: float = 1.0, **kwargs):
        super().__init__(**kwargs)
        start = tf.keras.initializers.VarianceScaling(gain ** 2, "fan_avg", "uniform")
        self.norm, self.reduction, self.order = LayerNorm(), Dense(units, use_bias=False, initializer=start), order

    def call(self, x):
        return self.reduction(self.norm(space_to_depth(x, self.order)))


class PatchSplitting(Layer):
    """Doubles the map: a dense layer to 4 * units channels, then pixel shuffle; LayerNorm before it or after it.

    Args:
      units: channels of the output.
      form: "norm_linear" (TBTC) or "linear_norm" (Zhu et al., section 3.1).
      shuffle: order of the pixel shuffle.
      last: whether it makes the transform's output; "linear_norm" then has a bias and no norm.
    """

    def __init__(self, units: int, form: str = "norm_linear", shuffle: str = "inner", last: bool = False, **kwargs):
        super().__init__(**kwargs)
        self.shuffle, self.norm_first = shuffle, form == "norm_linear"
        bare = last and not self.norm_first
        self.reduction = Dense(4 * units, use_bias=bare)
        self.norm = None if bare else LayerNorm()

    def call(self, x):
        x = self.norm(x) if self.norm and self.norm_first else x
        x = self.reduction(x)
        x = self.norm(x) if self.norm and not self.norm_first else x
        return pixel_shuffle(x, self.shuffle)
