"""The layers under all others: they compute in the type of their input, whatever type the weights are stored in.

So one set of float32 weights serves float32 training, bfloat16 transforms and the float64 entropy path, and no
global precision policy is needed.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Callable

import tensorflow as tf


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


class Dense(Layer):
    """x @ kernel + bias over the last axis: (..., c) -> (..., units)."""

    def __init__(self, units: int, activation: Callable | None = None, use_bias: bool = True,
                 initializer="glorot_uniform", **kwargs):
        super().__init__(**kwargs)
        self.units, self.activation, self.use_bias, self.initializer = units, activation, use_bias, initializer

    def build(self, shape):
        self.kernel = self.weight("kernel", (shape[-1], self.units), self.initializer)
        self.bias = self.weight("bias", (self.units,)) if self.use_bias else None

    def call(self, x):
        x = tf.tensordot(x, tf.cast(self.kernel, x.dtype), 1)
        if self.bias is not None:
            x = tf.nn.bias_add(x, tf.cast(self.bias, x.dtype))
        return self.activation(x) if self.activation else x


class LayerNorm(Layer):
    """Layer normalisation over the channels, epsilon 1e-5 as in PyTorch (Keras' default is 1e-3)."""

    def build(self, shape):
        self.gamma = self.weight("gamma", (shape[-1],), "ones")
        self.beta = self.weight("beta", (shape[-1],))

    def call(self, x):
        wide = tf.cast(x, tf.float32) if x.dtype == tf.bfloat16 else x  # moments need more than 8 bits
        mean, variance = tf.nn.moments(wide, -1, keepdims=True)
        scale = tf.cast(self.gamma, wide.dtype) * tf.math.rsqrt(variance + 1e-5)
        return tf.cast((wide - mean) * scale + tf.cast(self.beta, wide.dtype), x.dtype)
