"""From numbered patches to batches, in an order that the seed gives, past pictures that can't be decoded."""

from __future__ import annotations

import os
import sys
from typing import Callable, NamedTuple

import numpy as np
import tensorflow as tf
from tqdm import tqdm

from lic import files
from lic.data import crops
from lic.finding import ATTEMPTS


class Share(NamedTuple):
    """One of so many equal parts of each batch; `number` counts from 0."""

    number: int
    parts: int


WHOLE = Share(0, 1)


class Source(NamedTuple):
    """Training data: the number of pictures, and a function from a step to the batches from there on.

    A second argument of the function, a `Share`, has it read no more than this part of each batch.
    """

    size: int
    batches: Callable[..., tf.data.Dataset]


def seed_of(settings, n: tf.Tensor, purpose: int) -> tf.Tensor:
    """The seed of one random choice about the n-th patch."""
    return tf.stack([tf.constant(settings.seed * 7919 + purpose, tf.int64), n])


def pick(settings, n: tf.Tensor, count: int) -> tf.Tensor:
    """Which of so many pictures the n-th patch comes from: a new order of all of them in each round."""
    seed = tf.stack([tf.constant(settings.seed, tf.int64), n // count])
    return tf.random.experimental.index_shuffle(tf.cast(n % count, tf.int32), seed, count - 1)


def source(settings, size: int, contents_of, name_of) -> Source:
    """The training data of so many pictures.

    Args:
      contents_of: a function from the number of a patch to the bytes of its picture.
      name_of: a function from that number to what the picture is called.
    """
    def patch_of(n):
        place = contents_of(n), settings.patchsize, seed_of(settings, n, 1)
        return crops.shrink_and_cut(*place, seed_of(settings, n, 3)) if settings.resize else crops.cut(*place)

    sound = _Sound(patch_of, name_of)   # one for all batches: a run reads some again at its end and tells of none twice
    return Source(size, lambda start_step, share=WHOLE: _batches(settings, start_step, share, sound))


def _batches(settings, start_step: int, share: Share, sound: _Sound) -> tf.data.Dataset:
    """Batches (b, p, p, 3) uint8, or a share of each, from the given step on, without end."""
    def patch(n):
        p = settings.patchsize
        return tf.ensure_shape(crops.flip(sound.patch_of(n), seed_of(settings, n, 2)), (p, p, 3))

    rows = settings.batchsize // share.parts
    data = tf.data.Dataset.range(start_step * settings.batchsize, 2 ** 62)
    if share.parts > 1:
        data = data.filter(lambda n: n % settings.batchsize // rows == share.number)
    data = data.map(patch, num_parallel_calls=settings.preprocess_threads)
    return data.batch(rows, drop_remainder=True).prefetch(4)


class _Sound:
    """Patches of which those that can't be decoded are replaced, each by the next that can.

    A picture may have its beginning and its end and yet be broken between, or vanish while a run goes on. That must
    not end a day's training, and must not shift the patches after it.

    Args:
      patch_of: a function from a number to a patch.
      name_of: a function from a number to what that patch's picture is called.
    """

    def __init__(self, patch_of, name_of):
        self._patch_of, self._name_of = patch_of, name_of
        self._told: set[bytes] = set()

    def patch_of(self, n: tf.Tensor) -> tf.Tensor:
        attempts = tf.data.Dataset.range(n, n + ATTEMPTS).map(lambda m: self._attempt(m, m > n))
        return attempts.ignore_errors().take(1).get_single_element()

    def _attempt(self, m, is_replacement):
        def tell():
            return tf.numpy_function(self._tell, [self._name_of(m - 1)], tf.bool)

        with tf.control_dependencies([tf.cond(is_replacement, tell, lambda: False)]):
            return self._patch_of(tf.identity(m))

    def _tell(self, name: bytes):
        if name not in self._told:
            self._told.add(name)
            shown = files.shown(os.fsdecode(name))
            tqdm.write(f"'{shown}' can't be decoded: other pictures take its place", file=sys.stderr)
        return np.bool_(True)
