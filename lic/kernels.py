"""Kernels of the entropy path, rounded once to what float32 sums exactly; `lic.integers` says why.

The weights of each output become multiples of a power of two, the least of which their sizes add up to 2^14 (2^15 where
they are many). What is rounded already stays as it is.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence

import numpy as np

_SUM_BITS = 24                # of integers that float32 holds
_MANY_TAPS = 2 ** 11
_MOST_TAPS = 2 ** 13          # with more, too little would be left for each
LEAST = 2.0 ** -80            # what is smaller counts as zero


def bits_of_maps(shape: Sequence[int], summed: Sequence[int]) -> int:
    """How many bits a map has, whose product with a kernel of this shape is summed over these axes of it."""
    taps = math.prod(shape[axis] for axis in summed)
    assert taps <= _MOST_TAPS, f"{taps} taps are too many"
    return 10 if taps <= _MANY_TAPS else 9


def rounded(kernel: np.ndarray, summed: Sequence[int]) -> np.ndarray:
    """A kernel in multiples of a power of two for each output, float32; summed are the axes of one output's weights."""
    kernel = kernel.astype(np.float32)
    taps = math.prod(kernel.shape[axis] for axis in summed)
    limit = 2 ** (_SUM_BITS - bits_of_maps(kernel.shape, summed))
    # With a smaller unit the sum would be larger, however its terms are rounded.
    least = _sizes(kernel, summed) * np.float32((1 - 2.0 ** -10) / (limit + taps / 2))
    unit = np.exp2(np.frexp(np.maximum(least, np.float32(LEAST)))[1] - 1).astype(np.float32)
    while True:
        numbers = np.rint(kernel / unit)
        over = _sizes(numbers, summed) > limit
        if not over.any():
            return numbers * unit
        unit = np.where(over, 2 * unit, unit)


def _sizes(kernel: np.ndarray, summed: Sequence[int]) -> np.ndarray:
    """The sum of the sizes of each output's weights."""
    return np.abs(kernel).sum(summed, keepdims=True)


def of_entropy_path(model) -> Iterator[tuple]:
    """The kernels of a model that decide symbols: the variable of each, and the axes that are summed over."""
    for network in (model.h_s, *model.context.deciding):
        for layer in (network, *network.submodules):
            if hasattr(layer, "SUMMED"):
                yield layer.kernel, layer.SUMMED


def round_all(model) -> None:
    """Rounds the kernels of a model that decide symbols."""
    for kernel, summed in of_entropy_path(model):
        kernel.assign(rounded(kernel.numpy(), summed))


class Rounded(Mapping):
    """Arrays by name, of which some are kernels that are rounded when they are asked for.

    Args:
      arrays: weights and tables of a model.
      summed: of each of these kernels the axes that are summed over.
    """

    def __init__(self, arrays: Mapping[str, np.ndarray], summed: Mapping[str, Sequence[int]]):
        self._arrays, self._summed = arrays, {name: tuple(axes) for name, axes in summed.items()}

    def __getitem__(self, name: str) -> np.ndarray:
        array = self._arrays[name]
        return rounded(array, self._summed[name]) if name in self._summed else array

    def __iter__(self) -> Iterator[str]:
        return iter(self._arrays)

    def __len__(self) -> int:
        return len(self._arrays)
