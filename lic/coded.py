"""What coding a batch of tiles gives, whoever computes it."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

if TYPE_CHECKING:
    import tensorflow as tf


class Coded(NamedTuple):
    """What `encode` makes of a batch of b pictures with n strings each.

    strings (b, n); check bytes (b, n) int32 of their symbols; the escaped symbols (b, e) int32, and how many of them
    each picture has (b,) int32; CRC-32 (b,) int64 of all symbols; how close to a tie the closest rounding was (b,), in
    steps.
    """

    strings: tf.Tensor | np.ndarray
    checks: tf.Tensor | np.ndarray
    escapes: tf.Tensor | np.ndarray
    num_escapes: tf.Tensor | np.ndarray
    crc: tf.Tensor | np.ndarray
    slack: tf.Tensor | np.ndarray
