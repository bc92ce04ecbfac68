"""How layers multiply: as TensorFlow does, or within a scope by something else that gives the same on every machine.

Outside of the scope each layer computes in the type of its input. Inside (`multiplying`), what products, sums, maxima
and the like of float32 make is float32, and the same everywhere: the product given there sees to that for sums of many
terms, and IEEE 754 rounds single operations alike. What is computed otherwise (an error function, a softmax, a mean) is
nearly the same only, and therefore float64, `wide`, until the next product has rounded it.

Where a graph is traced of weights that do not change any more, some may be constants of it (`constants`).
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator, Sequence
from typing import Callable, Union

import numpy as np
import tensorflow as tf

# (multiply, x, kernel, summed, times) -> about multiply(x, kernel) * times, float32; summed are axes of the kernel
Product = Callable[[Callable, tf.Tensor, tf.Tensor, Sequence[int], Union[float, np.ndarray]], tf.Tensor]
_scope = threading.local()


@contextlib.contextmanager
def multiplying(product: Product | None) -> Iterator[None]:
    """Layers that are called in here multiply by this product; with None as ever, though within another scope.

    Like a `tf.GradientTape` it is of one thread.
    """
    before, _scope.product = _given(), product
    try:
        yield
    finally:
        _scope.product = before


class Constants:
    """Weights that do not change any more, as constants of one graph.

    Attributes:
      variables: by the names of the nodes that are their values.
    """

    def __init__(self):
        self.variables: dict[str, tf.Variable] = {}

    def __call__(self, variable: tf.Variable, dtype: tf.DType) -> tf.Tensor:
        """The value that a variable has now, in a type."""
        with tf.init_scope():
            value = variable.numpy()
        constant = tf.constant(value, dtype)
        self.variables[constant.op.name] = variable
        return constant


@contextlib.contextmanager
def constants(of: Constants) -> Iterator[None]:
    """Layers that are called in here, in a trace, may take their weights as constants, where that is quicker."""
    before, _scope.constants = given_constants(), of
    try:
        yield
    finally:
        _scope.constants = before


def given_constants() -> Constants | None:
    """What makes constants of weights here; None where weights may still change."""
    return getattr(_scope, "constants", None)


def multiplied(multiply: Callable, x: tf.Tensor, kernel: tf.Tensor, summed: Sequence[int],
               times: float | np.ndarray = 1.0) -> tf.Tensor:
    """multiply(x, kernel) * times, in the type of x; float32 in a scope.

    Args:
      kernel: what is stored, as it is.
      summed: the axes of the kernel that are summed over.
      times: a number, or one for each of the kernel's last axis; it costs no pass.
    """
    product = _given()
    if product:
        return product(multiply, x, kernel, summed, times)
    return multiply(x, scaled(kernel, times, x.dtype))


def scaled(weight: tf.Tensor, times: float | np.ndarray, dtype: tf.DType) -> tf.Tensor:
    """A weight times a number or several, in a type; computed in float32, or float64 for that."""
    if isinstance(times, float) and times == 1:
        return tf.cast(weight, dtype)
    wide = tf.float64 if dtype == tf.float64 else tf.float32
    return tf.cast(tf.cast(weight, wide) * tf.constant(times, wide), dtype)


def wide(x: tf.Tensor) -> tf.Tensor:
    """x, in a scope as float64: for what no standard rounds to the last digit."""
    return tf.cast(x, tf.float64) if _given() else x


def _given() -> Product | None:
    return getattr(_scope, "product", None)
