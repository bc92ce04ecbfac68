"""The range-coding tables of y as a model's own symbols want them.

Given its scale a symbol is no Gaussian: the networks are unsure of the scale, which shows as more zeros and longer
tails. So a trained model rounds some pictures, and its tables become what was seen at each scale. That takes 0.6 to
2.2 % off the files of the bundled models and costs nothing, for the tables stand beside the weights anyway.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Iterator

import numpy as np
import tensorflow as tf

import config
from lic import coders, tables
from lic.arithmetic import FLOAT32
from lic.coders import NUM_SCALES, Estimator, GaussianModel, bounded_symbols
from lic.model import LatentCodec, pad
from lic.tables import Tables

_LARGEST = 1 << 11                    # magnitude that is told from larger ones; no table holds as large a one
_GOLDEN = (math.sqrt(5) - 1) / 2      # its multiples lie evenly between whole numbers, however many there are


def tables_of(model: LatentCodec, batches: Iterable[np.ndarray]) -> Tables:
    """Tables of y after batches of pictures, uint8 (b, h, w, 3); of many rates, each has a quality of its own."""
    counts = np.zeros((NUM_SCALES, _LARGEST + 1), np.int64)
    qualities = _qualities()
    for pictures in batches:
        quality = tf.constant([next(qualities) for _ in pictures])
        y = model.analyse(pad(tf.cast(pictures, tf.float32)), quality if model.gains else None)
        z_hat = tf.round(model.h_a(y) - model.z_median) + model.z_median
        model.predict(z_hat, _Observer(model.context.parts(y), counts))
    return tables.observed(coders.scales(), counts)


def _qualities() -> Iterator[float]:
    least, best = config.QUALITIES
    return (least + (best - least) * (number * _GOLDEN % 1) for number in itertools.count(1))


class _Observer(Estimator):
    """Counts how often symbols of each magnitude occur at each scale.

    Args:
      counts: (scales, magnitudes), which grow.
    """

    def __init__(self, parts: Iterable[tf.Tensor], counts: np.ndarray):
        super().__init__(GaussianModel(), parts, FLOAT32)
        self._counts = counts

    def __call__(self, loc, index):
        loc, index = self.settle(loc, index)
        symbols = bounded_symbols(next(self._parts) - loc)
        scale, magnitude = np.minimum(index, NUM_SCALES - 1).astype(int), np.minimum(np.abs(symbols), _LARGEST)
        np.add.at(self._counts, (scale, magnitude), 1)
        return tf.cast(symbols, tf.float32) + loc
