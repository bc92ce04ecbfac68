"""Products of integers that float32 holds exactly: their sums are the same on every machine.

Each picture's map is rounded to multiples of a power of two, 2^10 of them up to its largest value, and the weights of
each output to multiples of another, so coarse that the sum of their sizes stays within 2^14. Then no partial sum leaves
2^24, whatever their order, and float32 rounds none. So nothing can differ between machines, and nothing need be
multiplied in float64, which takes three to five times as long. It costs less than 0.1 % of the bits. Where an output
has many weights they get a bit more, and the maps one less.

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

import math
from collections.abc import Callable, Sequence

import tensorflow as tf

from lic.arithmetic import CLOSER

_SUM_BITS = 24
_FINE_BITS = 9                          # of the largest weight, in whose steps that sum is estimated first
_MANY_TAPS = 2 ** 11
_MOST_TAPS = 2 ** 13                    # with more, that estimate would not be exact either
_LEAST = 2.0 ** -80                     # what is smaller counts as zero
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

    def __call__(self, multiply: Callable, x: tf.Tensor, kernel: tf.Tensor, inputs: Sequence[int]) -> tf.Tensor:
        """multiply(x, kernel), a sum of products, of what both are rounded to; float32.

        Args:
          x: (b, h, w, c), float32 or float64.
          kernel: (k, k, in, out), (k, k, out, in) or (in, out).
          inputs: the axes of the kernel that are summed over; 2^13 taps at most.
        """
        kernel = tf.cast(kernel, tf.float32)
        taps = math.prod(kernel.shape[axis] for axis in inputs)
        bits = 10 if taps <= _MANY_TAPS else 9
        units = _units(kernel, inputs, taps, 2.0 ** (_SUM_BITS - bits))
        weights = tf.round(kernel * _inverse(units))
        numbers, unit = (self._watched if x.dtype == tf.float64 else _exact)(x, bits)
        if tf.config.list_physical_devices("GPU"):
            sums = tf.round(multiply(tf.cast(numbers, tf.float64), tf.cast(weights, tf.float64)))
            return tf.cast(sums, tf.float32) * (unit * tf.reshape(units, [-1]))
        return multiply(numbers, weights * units) * unit   # a power of two takes nothing from a float

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
        closest = tf.where(largest < _LEAST, tf.constant(0.5, closest.dtype), closest)
        return [CLOSER * tf.reduce_min(closest, 1)]


def _exact(x: tf.Tensor, bits: int) -> tuple[tf.Tensor, tf.Tensor]:
    """Whole numbers (b, h, w, c), and of what they are multiples, (b, 1, 1, 1): a power of two, 2^bits at most."""
    unit, inverse = _unit(_largest(x), bits)
    return tf.round(x * inverse), unit


def _largest(x: tf.Tensor) -> tf.Tensor:
    """The largest size of a value of each picture, (b, 1, 1, 1)."""
    return tf.reduce_max(tf.abs(x), (1, 2, 3), keepdims=True)


def _units(kernel: tf.Tensor, inputs: Sequence[int], taps: int, limit: float) -> tf.Tensor:
    """A power of two for each output, of which the sizes of its weights together are at most the limit."""
    assert taps <= _MOST_TAPS, f"{taps} taps are too many"
    sizes = tf.abs(kernel)
    fine = _power_below(tf.reduce_max(sizes, inputs, keepdims=True)) * 2.0 ** -_FINE_BITS
    # Rounding takes or adds half a step a weight at most, here and at last.
    most = tf.reduce_sum(tf.round(sizes * _inverse(fine)), inputs, keepdims=True) + taps / 2
    return fine * (2 * _power_below(most * ((1 + 2.0 ** -20) / (limit - taps / 2))))


def _unit(largest: tf.Tensor, bits: int) -> tuple[tf.Tensor, tf.Tensor]:
    """The power of two of which a number is between 2^(bits - 1) and 2^bits, and one over it.

    By the bits that hold their exponents: logarithms differ between machines.
    """
    integer, point, one = _LAYOUT[largest.dtype]
    exponent = tf.constant(2 * one + (1 << point), integer)
    power = tf.bitwise.bitwise_and(tf.bitcast(tf.maximum(largest, _LEAST), integer), exponent)
    unit = power - tf.constant((bits - 1) << point, integer)
    return tf.bitcast(unit, largest.dtype), tf.bitcast(tf.constant(2 * one, integer) - unit, largest.dtype)


def _power_below(x: tf.Tensor) -> tf.Tensor:
    """The largest power of two up to a number."""
    return _unit(x, 1)[0]


def _inverse(power: tf.Tensor) -> tf.Tensor:
    """1 over a power of two."""
    return _unit(power, 1)[1]
