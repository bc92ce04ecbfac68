"""Pre-norm transformer blocks on windows, and stages of them (Liu et al., Swin Transformer, ICCV 2021, section 3)."""

from __future__ import annotations

import numpy as np
import tensorflow as tf

from swin_transformers_tf import products, windows
from swin_transformers_tf.attention import WindowAttention
from swin_transformers_tf.layers import Dense, Layer, LayerNorm, Sequential, truncated_normal

_ROOT = float(np.float32(2) ** np.float32(0.5))   # as `tf.nn.gelu` has it, in any type
_SMALL = 0.02   # of weights that shall begin as nearly nothing; at zero no gradient would reach those before them


def gelu(x: tf.Tensor) -> tf.Tensor:
    """x * Phi(x), with the exact error function (TensorFlow's and PyTorch's default differ in name, not here)."""
    return tf.nn.gelu(products.wide(x), approximate=False)


class MLP(Layer):
    """Two dense layers with a GELU between them: (..., c) -> (..., c), hidden width ratio * c."""

    def __init__(self, ratio: int = 4, **kwargs):
        super().__init__(**kwargs)
        self.ratio = ratio

    def build(self, shape):
        self.fc1 = Dense(self.ratio * shape[-1], initializer=truncated_normal())
        self.fc2 = Dense(shape[-1], initializer=truncated_normal())

    def call(self, x):
        # For v = u sqrt(2), gelu(v) = (u + u erf(u)) sqrt(2) / 2: three passes instead of five.
        u = products.wide(self.fc1(x, after=1 / _ROOT))
        wide = tf.cast(u, tf.float32) if u.dtype == tf.bfloat16 else u   # quicker there than in bfloat16, and exact
        return self.fc2(tf.cast(wide + wide * tf.math.erf(wide), u.dtype), before=_ROOT / 2)

    def of_rows(self, x: tf.Tensor, constants: products.Constants) -> tf.Tensor:
        """The same of (n, c), with constants, so that oneDNN does the GELU within a product (`Dense.of_rows`)."""
        return self.fc2.of_rows(gelu(self.fc1.of_rows(x, constants)), constants)


class SwinBlock(Layer):
    """x + attention(norm(x)), then x + MLP(norm(x)): (b, h, w, c) -> the same."""

    def __init__(self, heads: int, window: int, shift: int, scale_dim: int | None = None, **kwargs):
        super().__init__(**kwargs)
        self.norm1, self.norm2 = LayerNorm(), LayerNorm()
        self.attn = WindowAttention(heads, window, shift, scale_dim)
        self.mlp = MLP()

    def soften(self) -> None:
        """Makes what is added small, so that the block begins as nearly nothing."""
        for layer in (self.attn.proj, self.mlp.fc2):
            layer.kernel.assign(_SMALL * layer.kernel)

    def call(self, x):
        size, constants = tf.shape(x), products.given_constants()
        x = windows.pad_to_windows(x, self.attn.window)
        if constants:
            return self._of_constants(x, size, constants)
        x = (x + tf.cast(self.attn(self.norm1(x), size), x.dtype))[:, :size[1], :size[2]]
        return x + tf.cast(self.mlp(self.norm2(x)), x.dtype)

    def _of_constants(self, x, size, constants):
        """The same of a padded map, on its rows: oneDNN sums within a product where both are seen to have as many."""
        padded, rows = tf.shape(x), _rows(x)
        rows += self.attn.of_rows(self.norm1(rows), padded, size, constants)
        rows = _rows(tf.reshape(rows, padded)[:, :size[1], :size[2]])
        return tf.reshape(rows + self.mlp.of_rows(self.norm2(rows), constants), size)


def _rows(x):
    """(b, h, w, c) -> (b * h * w, c)."""
    return tf.reshape(x, (-1, x.shape[-1]))


class BasicLayer(Layer):
    """A stage: blocks whose windows are in turn unshifted and shifted by half, then an optional resampling."""

    def __init__(self, depth: int, heads: int, window: int, scale_dim: int | None = None, resample: Layer | None = None,
                 **kwargs):
        super().__init__(**kwargs)
        self.blocks = Sequential(SwinBlock(heads, window, window // 2 * (i % 2), scale_dim) for i in range(depth))
        self.resample = resample

    def soften(self) -> None:
        """Makes what its blocks add small."""
        for block in self.blocks.layers:
            assert isinstance(block, SwinBlock)
            block.soften()

    def call(self, x):
        x = self.blocks(x)
        return self.resample(x) if self.resample else x
