"""The layers under all others: they compute in the type of their input, whatever type the weights are stored in.

So one set of float32 weights serves float32 training, bfloat16 transforms and what is float64 of the entropy path, and
no global precision policy is needed.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Callable

import numpy as np
import tensorflow as tf

from swin_transformers_tf import norms, products


def truncated_normal():
    """The initial values of transformer weights, deviation 0.02; a new one each time, or all layers start alike."""
    return tf.keras.initializers.TruncatedNormal(stddev=0.02)


class Layer(tf.keras.layers.Layer):
    """A Keras layer that leaves the type of its input alone."""

    def __init__(self, **kwargs):
        super().__init__(autocast=False, **kwargs)

    def weight(self, name: str, shape: Iterable[int], initializer="zeros", trainable: bool = True) -> tf.Variable:
        """Adds a float32 weight; it is cast where it is used."""
        return self.add_weight(name=name, shape=tuple(shape), initializer=initializer, trainable=trainable,
                               dtype=tf.float32)


class Sequential(Layer):
    """Layers one after another (Keras' own would cast the input)."""

    def __init__(self, layers: Iterable[Callable], **kwargs):
        super().__init__(**kwargs)
        self.layers = list(layers)

    def call(self, x):
        for layer in self.layers:
            x = layer(x)
        return x


def dense(x: tf.Tensor, kernel: tf.Tensor, bias: tf.Tensor | None, before: float = 1.0,
          after: float | np.ndarray = 1.0) -> tf.Tensor:
    """(before * x @ kernel + bias) * after over the last axis, in the type of x."""
    x = products.multiplied(_across, x, kernel, Dense.SUMMED, before * after)
    return x if bias is None else tf.nn.bias_add(x, products.scaled(bias, after, x.dtype))


def _across(x: tf.Tensor, kernel: tf.Tensor) -> tf.Tensor:
    """x @ kernel over the last axis.

    Maps (b, h, w, c) are convolved: oneDNN adds the bias, and a map that is added next, within the product. It has no
    float64.
    """
    if x.shape.rank == 4 and x.dtype != tf.float64:
        return tf.nn.conv2d(x, kernel[None, None], 1, "VALID")
    return tf.tensordot(x, kernel, 1)


class Dense(Layer):
    """x @ kernel + bias over the last axis: (..., c) -> (..., units)."""

    SUMMED = (0,)   # axes of the kernel

    def __init__(self, units: int, use_bias: bool = True, initializer="glorot_uniform", **kwargs):
        super().__init__(**kwargs)
        self.units, self.use_bias, self.initializer = units, use_bias, initializer

    def build(self, shape):
        self.kernel = self.weight("kernel", (shape[-1], self.units), self.initializer)
        self.bias = self.weight("bias", (self.units,)) if self.use_bias else None

    def call(self, x, before=1.0, after=1.0):
        """The same of x times a number, then times a number, or one for each unit: factors that cost no pass."""
        return dense(x, self.kernel, self.bias, before, after)

    def of_rows(self, x: tf.Tensor, constants: products.Constants) -> tf.Tensor:
        """The same of (n, c), with constants, which oneDNN lays out once: its quickest product takes no others.

        TensorFlow recognises what follows a product of matrices, a GELU or a sum, and oneDNN does it within; not where
        the bias is a variable, nor in maps, of whose sizes it loses track.
        """
        return tf.nn.bias_add(tf.matmul(x, constants(self.kernel, x.dtype)), constants(self.bias, x.dtype))


class LayerNorm(Layer):
    """Layer normalisation over the channels, epsilon 1e-5 as in PyTorch (Keras' default is 1e-3)."""

    def build(self, shape):
        self.gamma = self.weight("gamma", (shape[-1],), "ones")
        self.beta = self.weight("beta", (shape[-1],))

    def call(self, x):
        return norms.layer_norm(products.wide(x), self.gamma, self.beta)
