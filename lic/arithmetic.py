"""In what type symbols are decided, and on what grid: the arithmetics that `--arithmetic` names."""

from __future__ import annotations

from dataclasses import dataclass

import tensorflow as tf


@dataclass(frozen=True)
class Arithmetic:
    """In what type the symbols' distributions are computed, and how they are settled before coding.

    Attributes:
      name: as in `--arithmetic`.
      dtype: type of hyper synthesis and context networks.
      grid: locations and refined parts are rounded to multiples of it; None leaves them.
      round_index: whether the scale index is rounded to an integer.
      margin: how close to a tie, in steps, a value may lie that is rounded; an encoder shifts the grid where one is
        closer.
      exact_hyper, exact_context: what is computed in integers (`lic.integers`). Nothing can differ there, so a tie is
        as good as any other value. A context that is exact alone is given the hyper synthesis' output on the grid.
    """

    name: str
    dtype: tf.DType
    grid: float | None
    round_index: bool
    margin: float = 0.0
    exact_hyper: bool = False
    exact_context: bool = False


# The margin is 1,260 times the largest difference that was measured of float64 sums: res/doc/portability.md.
PORTABLE = Arithmetic("portable", tf.float64, 2.0 ** -8, True, margin=2.0 ** -27)
FLOAT32 = Arithmetic("float32", tf.float32, None, True)
CONTINUOUS = Arithmetic("continuous", tf.float32, None, False)   # what training sees
ARITHMETICS = {a.name: a for a in (PORTABLE, FLOAT32)}
