"""Products of integers that float32 holds exactly: convolutions whose result is the same on every machine.

Each picture's map is rounded to multiples of a power of two, 2^10 of them up to its largest value, and the weights of
each output to multiples of another, so coarse that the sum of their sizes stays within 2^14. Then no partial sum leaves
2^24, whatever their order, and float32 rounds none. So nothing can differ between machines, and nothing need be
computed in float64, which takes three times as long. With ELIC's nano it costs less than 0.1 % of the bits. Where an
output has many weights they get a bit more, and the maps one less.

Gotchas:
* Sums are exact only where products are summed as they are. GPUs may transform them first (Winograd's algorithm) or
  shorten them (TF32): there the same integers are multiplied in float64, and the sums are rounded.
* Nothing here divides: TensorFlow's optimiser makes a reciprocal of 1 / x, which is a digit off on some processors even
  where x is a power of two; and weights in half precision are full of ties.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Sequence

import tensorflow as tf

from arch_ops import Conv, Deconv
from lic.arithmetic import Arithmetic

_SUM_BITS = 24
_FINE_BITS = 9                          # of the largest weight, in whose steps that sum is estimated first
_MANY_TAPS = 2 ** 11
_MOST_TAPS = 2 ** 13                    # with more, that estimate would not be exact either
_EXPONENT = 0x7F800000                  # the bits of a float32 that hold it
_ONE_TWICE = 0x7F000000                 # twice the bits of 1
_LEAST = 2.0 ** -80                     # what is smaller counts as zero


def adopt(arithmetic: Arithmetic, context: tf.Module, hyper: tf.Module | None = None) -> Arithmetic:
    """Has the convolutions of networks multiply integers wherever their input is float64.

    Args:
      context, hyper: the context, and the hyper synthesis where it is exact, too; nothing else in them may sum, or be
        computed in more than one rounding.
    Returns:
      the arithmetic that counts them as exact; float32 stays as it is.
    """
    for network in (context, hyper) if hyper else (context,):
        for layer in (network, *network.submodules):
            if isinstance(layer, (Conv, Deconv)):
                layer.product = product
    if arithmetic.dtype != tf.float64:
        return arithmetic
    return dataclasses.replace(arithmetic, exact_context=True, exact_hyper=hyper is not None)


def product(multiply: Callable, x: tf.Tensor, kernel: tf.Tensor, inputs: Sequence[int]) -> tf.Tensor:
    """multiply(x, kernel), a sum of products, of what both are rounded to.

    Args:
      x: (b, h, w, c), exact in float32.
      kernel: (k, k, in, out) or (k, k, out, in).
      inputs: the axes of the kernel that are summed over; 2^13 taps at most.
    """
    x, kernel = tf.cast(x, tf.float32), tf.cast(kernel, tf.float32)
    taps = math.prod(kernel.shape[axis] for axis in inputs)
    bits = 10 if taps <= _MANY_TAPS else 9
    unit, units = _unit(x, bits), _units(kernel, inputs, taps, 2.0 ** (_SUM_BITS - bits))
    numbers, weights = tf.round(x * _inverse(unit)), tf.round(kernel * _inverse(units))
    if tf.config.list_physical_devices("GPU"):
        sums = tf.cast(tf.round(multiply(tf.cast(numbers, tf.float64), tf.cast(weights, tf.float64))), tf.float32)
    else:
        sums = multiply(numbers, weights)
    return tf.cast(sums * (unit * tf.reshape(units, [-1])), tf.float64)


def _unit(x: tf.Tensor, bits: int) -> tf.Tensor:
    """(b, 1, 1, 1), a power of two of which no value of a picture has more than 2^bits."""
    return _power_below(tf.reduce_max(tf.abs(x), (1, 2, 3), keepdims=True)) * 2.0 ** (1 - bits)


def _units(kernel: tf.Tensor, inputs: Sequence[int], taps: int, limit: float) -> tf.Tensor:
    """A power of two for each output, of which the sizes of its weights together are at most the limit."""
    assert taps <= _MOST_TAPS, f"{taps} taps are too many"
    sizes = tf.abs(kernel)
    fine = _power_below(tf.reduce_max(sizes, inputs, keepdims=True)) * 2.0 ** -_FINE_BITS
    # Rounding takes or adds half a step a weight at most, here and at last.
    most = tf.reduce_sum(tf.round(sizes * _inverse(fine)), inputs, keepdims=True) + taps / 2
    return fine * (2 * _power_below(most * ((1 + 2.0 ** -20) / (limit - taps / 2))))


def _power_below(x: tf.Tensor) -> tf.Tensor:
    """The largest power of two up to a float32, by its bits: logarithms differ between machines."""
    bits = tf.bitcast(tf.maximum(x, _LEAST), tf.int32)
    return tf.bitcast(tf.bitwise.bitwise_and(bits, _EXPONENT), tf.float32)


def _inverse(power: tf.Tensor) -> tf.Tensor:
    """1 over a power of two, by its bits."""
    return tf.bitcast(_ONE_TWICE - tf.bitcast(power, tf.int32), tf.float32)
