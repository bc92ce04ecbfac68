"""Products of integers that float32 holds exactly: their sums are the same on every machine.

Each picture's map is rounded to multiples of a power of two, 2^10 of them up to its largest value, and beforehand the
weights of each output to multiples of another (`lic.kernels`), so coarse that the sum of their sizes stays within 2^14.
Then no partial sum leaves 2^24, whatever their order, and float32 rounds none. So nothing can differ between machines,
and nothing need be multiplied in float64, which takes three to five times as long. It costs less than 0.1 % of the
bits. Where an output has many weights they get a bit more, and the maps one less.

A map in float32 is itself the same everywhere, so its rounding is, too. One in float64 came out of an error function, a
softmax or the like (`swin_transformers_tf.products`), whose last digits are not: there ties are watched, as they are
where locations are rounded (`lic.arithmetic`).

Gotchas:
* Sums are exact only where products are summed as they are. GPUs may transform them first (Winograd's algorithm) or
  shorten them (TF32): there the same integers are multiplied in float64, and the sums are rounded.
* Nothing here divides: TensorFlow's optimiser makes a reciprocal of 1 / x, which is a digit off on some processors even
  where x is a power of two; and weights in half precision are full of ties.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence

import numpy as np
import tensorflow as tf

from lic import kernels
from lic.arithmetic import CLOSER
from lic.kernels import LEAST
from swin_transformers_tf import products

# Of a float: the integer of its size, where in that its exponent begins, and the bits of 1.
_LAYOUT = {tf.float32: (tf.int32, 23, 0x7F << 23), tf.float64: (tf.int64, 52, 0x3FF << 52)}
# Of a step: what each phase moves the ties by. No weight or bias is a multiple of it, so no value is at one by design.
_SHIFT = 0.0137421968


class Integers:
    """What multiplies in the entropy path of one trace (`swin_transformers_tf.products.multiplying`).

    Args:
      phase: (b,) int32, which of its grids each picture is rounded to; None for the first.
    """

    def __init__(self, phase: tf.Tensor | None = None):
        phase = tf.zeros((1,), tf.int32) if phase is None else phase
        self._shift = tf.cast(phase + 1, tf.float64)[:, None, None, None] * _SHIFT
        self._largest: list[tf.Tensor] = []   # of each map that is watched, (b, 1, 1, 1) each
        self._off: list[tf.Tensor] = []       # by how much rounding moves a value of it at most, in steps

    def __call__(self, multiply: Callable, x: tf.Tensor, kernel: tf.Tensor, summed: Sequence[int],
                 times: float | np.ndarray) -> tf.Tensor:
        """multiply(x, kernel) * times, a sum of products of what x is rounded to; float32.

        Args:
          x: (b, h, w, c), float32 or float64.
          kernel: (k, k, in, out), (k, k, out, in) or (in, out), float32, rounded by `lic.kernels`.
          summed: the axes of the kernel that are summed over; 2^13 taps at most.
        """
        bits = kernels.bits_of_maps(kernel.shape, summed)
        numbers, unit = (self._watched if x.dtype == tf.float64 else _exact)(x, bits)
        if tf.config.list_physical_devices("GPU"):
            multiply = functools.partial(_in_float64, multiply, summed)
        # The sums are rounded here for the first time, unless that is a power of two.
        return multiply(numbers, kernel) * products.scaled(unit, times, tf.float32)

    def _watched(self, x: tf.Tensor, bits: int) -> tuple[tf.Tensor, tf.Tensor]:
        """What `_exact` gives of a map in float64."""
        largest = _largest(x) * (1 + self._shift)
        unit, inverse = _unit(largest, bits)
        self._largest.append(largest)
        return tf.cast(self._rounded(x * inverse + self._shift), tf.float32), tf.cast(unit, tf.float32)

    def _rounded(self, steps: tf.Tensor) -> tf.Tensor:
        numbers = tf.round(steps)
        self._off.append(_largest(steps - numbers))
        return numbers

    def slack(self) -> list[tf.Tensor]:
        """How close to a tie the closest value in float64 was so far, in steps times 16, (b,); none without such."""
        if not self._off:
            return []
        largest, off = (tf.concat(each, 1)[..., 0, 0] for each in (self._largest, self._off))   # (b, n)
        share = largest * _inverse(_power_below(largest))   # 1 to 2: at either end the unit would be another
        closest = tf.minimum(0.5 - off, tf.minimum(share - 1, 2 - share))
        # A map of zeros is one everywhere.
        closest = tf.where(largest < LEAST, tf.constant(0.5, closest.dtype), closest)
        return [CLOSER * tf.reduce_min(closest, 1)]


def _exact(x: tf.Tensor, bits: int) -> tuple[tf.Tensor, tf.Tensor]:
    """Whole numbers (b, h, w, c), and of what they are multiples, (b, 1, 1, 1): a power of two, 2^bits at most."""
    unit, inverse = _unit(_largest(x), bits)
    return tf.round(x * inverse), unit


def _in_float64(multiply: Callable, summed: Sequence[int], numbers: tf.Tensor, kernel: tf.Tensor) -> tf.Tensor:
    """multiply(numbers, kernel), exact where its parts are not."""
    largest = tf.reshape(tf.reduce_max(tf.abs(kernel), summed), [-1])
    # Weights are multiples of this: none is above 2^15 of them.
    unit, inverse = (tf.cast(power, tf.float64) for power in _unit(largest, 16))
    sums = multiply(tf.cast(numbers, tf.float64), tf.cast(kernel, tf.float64))
    return tf.cast(tf.round(sums * inverse) * unit, tf.float32)


def _largest(x: tf.Tensor) -> tf.Tensor:
    """The largest size of a value of each picture, (b, 1, 1, 1)."""
    return tf.reduce_max(tf.abs(x), (1, 2, 3), keepdims=True)


def _unit(largest: tf.Tensor, bits: int) -> tuple[tf.Tensor, tf.Tensor]:
    """The power of two of which a number is between 2^(bits - 1) and 2^bits, and one over it.

    By the bits that hold their exponents: logarithms differ between machines.
    """
    integer, point, one = _LAYOUT[largest.dtype]
    exponent = tf.constant(2 * one + (1 << point), integer)
    power = tf.bitwise.bitwise_and(tf.bitcast(tf.maximum(largest, LEAST), integer), exponent)
    unit = power - tf.constant((bits - 1) << point, integer)
    return tf.bitcast(unit, largest.dtype), tf.bitcast(tf.constant(2 * one, integer) - unit, largest.dtype)


def _power_below(x: tf.Tensor) -> tf.Tensor:
    """The largest power of two up to a number."""
    return _unit(x, 1)[0]


def _inverse(power: tf.Tensor) -> tf.Tensor:
    """1 over a power of two."""
    return _unit(power, 1)[1]
