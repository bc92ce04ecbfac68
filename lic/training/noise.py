"""The noise of a training step as a function of the seed and the step."""

from __future__ import annotations

import contextlib
import itertools

import tensorflow as tf


@contextlib.contextmanager
def noise_from(seed: int | tf.Tensor, step: tf.Tensor):
    """While a training step is traced in here, its noise is a function of the seed and the step.

    TFC draws it from `tf.random.uniform`, whose state stands in no checkpoint, and offers no other way. XLA makes other
    numbers of the same seed and step.
    """
    draws, original = itertools.count(), tf.random.uniform

    def uniform(shape, minval=0, maxval=None, dtype=tf.float32, **_):
        key = tf.stack([tf.convert_to_tensor(seed, tf.int64) * 7919 + next(draws), step])
        return tf.random.stateless_uniform(shape, key, minval, maxval, dtype)

    tf.random.uniform = uniform
    try:
        yield
    finally:
        tf.random.uniform = original
