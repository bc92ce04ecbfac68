"""The noise of a training step as a function of the seed and the step."""

from __future__ import annotations

import contextlib
import itertools
import threading
from collections.abc import Callable

import tensorflow as tf


@contextlib.contextmanager
def noise_from(seed: int | tf.Tensor, step: tf.Tensor):
    """While a training step is traced in here, its noise is a function of the seed and the step.

    TFC draws it from `tf.random.uniform`, whose state stands in no checkpoint, and offers no other way. XLA makes other
    numbers of the same seed and step. A replica of several gets its rows of what one alone would get for all of them.
    """
    draws, original = _Draws(), tf.random.uniform

    def uniform(shape, minval=0, maxval=None, dtype=tf.float32, **_):
        key = tf.stack([tf.convert_to_tensor(seed, tf.int64) * 7919 + next(draws.numbers), step])
        return _rows_of_replica(lambda whole: tf.random.stateless_uniform(whole, key, minval, maxval, dtype), shape)

    tf.random.uniform = uniform
    try:
        yield
    finally:
        tf.random.uniform = original


class _Draws(threading.local):
    """Counts in each thread by itself: tf.distribute traces every replica in one of its own."""

    def __init__(self):
        self.numbers = itertools.count()


def _rows_of_replica(draw: Callable, shape) -> tf.Tensor:
    """This replica's part, of that shape, of what is drawn for the rows (the first axis) of all replicas."""
    replicas = tf.distribute.get_strategy().num_replicas_in_sync
    if replicas == 1:
        return draw(shape)
    shape = tf.convert_to_tensor(shape)
    whole = draw(tf.concat([shape[:1] * replicas, shape[1:]], 0))
    replica = tf.distribute.get_replica_context().replica_id_in_sync_group
    return tf.reshape(whole, tf.concat([[replicas], shape], 0))[replica]
