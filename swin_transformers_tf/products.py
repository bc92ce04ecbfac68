"""How layers multiply: as TensorFlow does, or within a scope by something else that gives the same on every machine.

Outside of the scope each layer computes in the type of its input. Inside (`multiplying`), what products, sums, maxima
and the like of float32 make is float32, and the same everywhere: the product given there sees to that for sums of many
terms, and IEEE 754 rounds single operations alike. What is computed otherwise (an error function, a softmax, a mean) is
nearly the same only, and therefore float64, `wide`, until the next product has rounded it.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator, Sequence
from typing import Callable

import tensorflow as tf

# (multiply, x, kernel, inputs) -> about multiply(x, kernel), float32; inputs are the axes of the kernel that are summed
Product = Callable[[Callable, tf.Tensor, tf.Tensor, Sequence[int]], tf.Tensor]
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


def multiplied(multiply: Callable, x: tf.Tensor, kernel: tf.Tensor, inputs: Sequence[int]) -> tf.Tensor:
    """multiply(x, kernel), which sums over the axes `inputs` of the kernel, in the type of x; float32 in a scope."""
    product = _given()
    return product(multiply, x, kernel, inputs) if product else multiply(x, tf.cast(kernel, x.dtype))


def wide(x: tf.Tensor) -> tf.Tensor:
    """x, in a scope as float64: for what no standard rounds to the last digit."""
    return tf.cast(x, tf.float64) if _given() else x


def _given() -> Product | None:
    return getattr(_scope, "product", None)
