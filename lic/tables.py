"""Integer range-coding tables, built in a moment from the densities that the models have learned, and of y also from
what a model was seen to round (`lic.observing`).

TFC can build them itself, but finds each tail by gradient descent, a minute for both models. Tables are built once, on
the training machine, and stored with the weights: floats on another machine might give others.

A flat table holds for each density [precision, 0, cumulated counts ..., 2 ** precision]; the last symbol of each is the
escape: a symbol that the table does not hold, whose value stands elsewhere in the file.

Gotcha: a table that begins with -precision would have TFC read such a value as an Elias gamma code. Past its end a
string reads as zeros, in which that code has no end: on some forged strings TFC's decoder never returns.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import tensorflow as tf
import tensorflow_compression as tfc

PRECISION = 16         # bits; at TFC's default of 12 an almost sure symbol costs 0.0011 bits, 0.4 % of a small file
TAIL_MASS = 2.0 ** -14  # probability of z on both sides that its tables need not hold
_PRIOR = 20.0          # observations a symbol; of 0 to 100, all the same for the bundled models
_WIDEST = 1 << 13      # symbols on each side of zero that a factorised density may need


@dataclass(frozen=True)
class Tables:
    """A flat table of cumulated counts and the first symbol of each density, int32."""

    cdf: np.ndarray
    offset: np.ndarray

    @property
    def begin(self) -> np.ndarray:
        """Where the cumulated counts of each density begin in the flat table, int32."""
        ends = np.flatnonzero(self.cdf == 1 << PRECISION)
        return (np.append(-1, ends[:-1]) + 2).astype(np.int32)

    @property
    def escape(self) -> np.ndarray:
        """The escape symbol of each density, int32: one more than the last that its table holds."""
        ends = np.flatnonzero(self.cdf == 1 << PRECISION)
        lengths = np.diff(ends, prepend=-1)                     # [precision, n + 1 cumulated counts]
        return (self.offset + lengths - 3).astype(np.int32)


def _quantise(pmfs: list[np.ndarray], starts: list[int]) -> Tables:
    rows = []
    for pmf in pmfs:
        with_escape = np.append(pmf, max(0.0, 1.0 - pmf.sum())).astype(np.float32)
        rows += [[PRECISION], tfc.pmf_to_quantized_cdf(tf.constant(with_escape), precision=PRECISION).numpy()]
    return Tables(np.concatenate(rows).astype(np.int32), np.asarray(starts, np.int32))


def gaussian(scales: np.ndarray) -> Tables:
    """Zero-mean Gaussians of the given standard deviations, integrated over unit intervals."""
    return _symmetric([_of_gaussian(scale) for scale in scales])


def observed(scales: np.ndarray, counts: np.ndarray) -> Tables:
    """The same, of which each becomes what was seen of it, the more the more was seen.

    Args:
      counts: (scales, n), how often symbols of each magnitude occurred at each scale.
    """
    return _symmetric([_of_counts(_of_gaussian(scale), row) for scale, row in zip(scales, counts)])


def _of_gaussian(scale: float) -> np.ndarray:
    """Probabilities of symbols -n .. n."""
    # Wide enough that a photograph has about no escape, a byte each; wider, the tables waste what that saves.
    half = math.ceil(5 * scale) + 1
    upper = np.vectorize(lambda x: 0.5 * math.erfc(x / math.sqrt(2)), otypes=[float])
    edges = upper((np.arange(-half, half + 2) - 0.5) / scale)
    return edges[:-1] - edges[1:]


def _of_counts(pmf: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """The mean of what these magnitudes say of the symbols and of their probabilities, which count as _PRIOR each."""
    magnitudes = np.abs(np.arange(len(pmf)) - len(pmf) // 2)
    seen = np.append(counts, np.zeros(len(pmf)))[magnitudes] / np.where(magnitudes, 2, 1)   # either sign alike
    weight = _PRIOR * len(pmf)
    return (seen + weight * pmf) / (counts.sum() + weight)


def _symmetric(pmfs: list[np.ndarray]) -> Tables:
    return _quantise(pmfs, [-(len(pmf) // 2) for pmf in pmfs])


def factorised(prior) -> Tables:
    """The learned densities of z, (c,), each over the integers that all but TAIL_MASS of it falls on."""
    half = 64
    while True:
        symbols = np.arange(-half, half + 1)
        pmf = prior.prob(tf.constant(symbols[:, None], tf.float32)).numpy().T.astype(np.float64)     # (c, symbols)
        below = np.cumsum(pmf, 1)
        if half >= _WIDEST or np.all(pmf.sum(1) > 1 - TAIL_MASS):
            break
        half *= 2
    first = np.argmax(below > TAIL_MASS / 2, 1)
    last = np.argmax(below >= np.minimum(1 - TAIL_MASS / 2, below[:, -1:]), 1)
    first, last = np.maximum(first - 1, 0), np.minimum(last + 1, len(symbols) - 1)   # escapes cost a byte each
    rows = [p[a:b + 1] for p, a, b in zip(pmf, first, last)]
    return _quantise(rows, [int(symbols[a]) for a in first])
