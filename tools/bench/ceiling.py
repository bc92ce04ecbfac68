"""What the machine can do at best: the rate of a large matrix product, for each type."""

from __future__ import annotations

import tensorflow as tf

from tools.bench.timing import in_turns

SIDE, ROUNDS = 2048, 7
TYPES = ("float32", "bfloat16", "float64")


def measure() -> dict[str, float]:
    """GFLOP/s of each type, the best of some rounds."""
    works = {dtype: _product(dtype) for dtype in TYPES}
    return {dtype: 2e-9 * SIDE ** 3 / min(taken) for dtype, taken in in_turns(works, ROUNDS).items()}


def _product(dtype: str):
    a, b = (tf.cast(tf.random.normal((SIDE, SIDE)), dtype) for _ in range(2))
    return tf.function(lambda: tf.matmul(a, b), autograph=False)
