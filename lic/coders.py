"""Three coders for one loop: count the bits of y, write them, read them.

A context (`lic.context`) asks its coder for one part of y after the other, handing it the location and the scale index
that it predicts; the coder returns the quantised part. The coder owns y, so a context can use nothing that the decoder
lacks.

Gotchas:
* A coder lives for one trace; it holds graph tensors and is never stored.
* TFC truncates a fractional scale index (`tf.cast` to int32), which costs up to 1.8 % of the bits at small scales; here
  it is rounded before TFC sees it, except in training.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple

import numpy as np
import tensorflow as tf
import tensorflow_compression as tfc

from lic import tables
from lic.arithmetic import Arithmetic
from lic.integers import Integers
from lic.tables import Tables
from swin_transformers_tf import products

NUM_SCALES, SCALE_MIN, SCALE_MAX = 64, 0.11, 256.0
ESCAPE_BITS = 8.0          # of the value of a symbol that no table holds, mostly
MAX_LOCATION = 2.0 ** 13   # up to here float32 holds quarters of the grid's steps exactly
_LOG_STEP = (math.log(SCALE_MAX) - math.log(SCALE_MIN)) / (NUM_SCALES - 1)


def scale_of_index(index: tf.Tensor) -> tf.Tensor:
    """Standard deviation of an index 0..63: exp(ln 0.11 + index * ln(256 / 0.11) / 63)."""
    return tf.exp(math.log(SCALE_MIN) + _LOG_STEP * index)


def index_of_scale(scale: tf.Tensor) -> tf.Tensor:
    """Inverse of `scale_of_index`; scales below 0.11 count as 0.11, with a gradient that can raise them."""
    bounded = tfc.lower_bound(scale, tf.cast(SCALE_MIN, scale.dtype))
    return (tf.math.log(bounded) - math.log(SCALE_MIN)) / _LOG_STEP


class Read(NamedTuple):
    """What a string decodes to: int32 symbols, which of them are escapes, and whether it ended where they do, (b,)."""

    symbols: tf.Tensor
    escaped: tf.Tensor
    sound: tf.Tensor


class _Escaping:
    """Coding of symbols that a table may not hold: its escape stands for them in the string.

    `_escape` and `_first` are the escape and the first symbol of each density, `_begin` is where its counts begin in
    the flat table. TFC's own `decompress` fails where a string is not sound, and can't say which.
    """

    def _hold(self, tables: Tables) -> None:
        self._first, self._escape, self._begin = tables.offset, tables.escape, tables.begin

    @staticmethod
    def _hidden(symbols: tf.Tensor, first: tf.Tensor, escape: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """int32 symbols with the escape for what the table does not hold, and where that is."""
        escaped = (symbols < first) | (symbols >= escape)
        return tf.where(escaped, escape, symbols), escaped


class GaussianModel(_Escaping, tfc.LocationScaleIndexedEntropyModel):
    """TFC's entropy model of y, discretised Gaussians of 64 scales; it codes with given tables instead of its own.

    Args:
      tables: for coding; without them it only estimates.
      floor: least likelihood of a symbol when bits are counted.
      axes: how many of the last axes bits are summed over: 3 for a number a picture, 1 for a map (b, h, w).
    """

    def __init__(self, tables: Tables | None = None, floor: float = 0.0, axes: int = 3):
        self._given, self._floor = tables, floor
        if tables:
            self._hold(tables)
        super().__init__(tfc.NoisyNormal, num_scales=NUM_SCALES, scale_fn=scale_of_index, coding_rank=axes,
                         compression=tables is not None, bottleneck_dtype=tf.float32)

    def _build_tables(self, *_):
        assert self._given is not None
        return self._given.cdf, self._given.offset

    def encode(self, symbols: tf.Tensor, index: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """int32 symbols (b, h, w, c) and their scale indices -> strings (b,), and which symbols were escaped."""
        hidden, escaped = self._hidden(symbols, *self._limits(index))
        return self.compress(tf.cast(hidden, tf.float32), index), escaped

    def decode(self, strings: tf.Tensor, index: tf.Tensor) -> Read:
        """The inverse of `encode`, but for the values of those escaped."""
        row, (first, escape) = _row(index), self._limits(index)
        handle, symbols = tfc.entropy_decode_index(
            tfc.create_range_decoder(strings, self.cdf), row, tf.shape(row)[1:], tf.int32)
        symbols += first
        return Read(symbols, symbols >= escape, tfc.entropy_decode_finalize(handle))

    def information(self, symbols: tf.Tensor, index: tf.Tensor) -> tf.Tensor:
        """Bits, float32, that the tables charge for each of int32 symbols at whole scale indices."""
        first, escape = self._limits(index)
        hidden, escaped = self._hidden(symbols, first, escape)
        counts = tf.cast(tf.maximum(self.cdf[1:] - self.cdf[:-1], 1), tf.float32)
        bits = tables.PRECISION - tf.math.log(counts) / math.log(2)
        place = tf.gather(self._begin, _row(index)) + hidden - first
        return tf.gather(bits, place) + ESCAPE_BITS * tf.cast(escaped, tf.float32)

    def _limits(self, index: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        return tf.gather(self._first, _row(index)), tf.gather(self._escape, _row(index))

    def _log_prob(self, prior, bottleneck_perturbed):
        return _floored(super()._log_prob(prior, bottleneck_perturbed), self._floor)


def _row(index: tf.Tensor) -> tf.Tensor:
    """The row of the tables that TFC takes for an index: truncated."""
    return tf.cast(tf.clip_by_value(index, 0, NUM_SCALES - 1), tf.int32)


def scales() -> np.ndarray:
    """The standard deviation of each scale index, (64,) float64."""
    return scale_of_index(tf.range(NUM_SCALES, dtype=tf.float64)).numpy()


def gaussian_tables() -> Tables:
    """The tables of a `GaussianModel` of whose symbols nothing was seen (`lic.observing`)."""
    return tables.gaussian(scales())


class FactorisedModel(_Escaping, tfc.ContinuousBatchedEntropyModel):
    """TFC's entropy model of z: one learned density a channel (Balle et al. 2018, appendix 6.1).

    Args:
      prior: the densities.
      tables, floor, axes: as of `GaussianModel`.
    """

    def __init__(self, prior, tables: Tables | None = None, floor: float = 0.0, axes: int = 3):
        self._floor = floor
        if tables:
            self._hold(tables)
        source = {"prior": prior} if tables is None else {
            "prior_shape": prior.batch_shape, "compression": True, "cdf": tables.cdf, "cdf_offset": tables.offset}
        super().__init__(coding_rank=axes, offset_heuristic=False, bottleneck_dtype=tf.float32, **source)

    def encode(self, symbols: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """int32 symbols (b, h, w, c) -> strings (b,), and which symbols were escaped."""
        hidden, escaped = self._hidden(symbols, self._first, self._escape)
        return self.compress(tf.cast(hidden, tf.float32)), escaped

    def decode(self, strings: tf.Tensor, shape: tuple) -> Read:
        """The inverse of `encode` for maps of (h, w), but for the values of those escaped."""
        handle, symbols = tfc.entropy_decode_channel(
            tfc.create_range_decoder(strings, self.cdf), tf.stack([*shape, len(self._first)]), tf.int32)
        symbols += self._first
        return Read(symbols, symbols >= self._escape, tfc.entropy_decode_finalize(handle))

    def _log_prob(self, prior, bottleneck_perturbed):
        return _floored(super()._log_prob(prior, bottleneck_perturbed), self._floor)


def _floored(log_prob: tf.Tensor, floor: float) -> tf.Tensor:
    """Not below the logarithm of the floor, with a gradient that can still raise it."""
    return tfc.lower_bound(log_prob, math.log(floor)) if floor else log_prob


class Escapes:
    """Hands out the values of escaped symbols, in the order in which the strings were coded.

    Args:
      values: int32, a row for each picture.
    """

    def __init__(self, values: tf.RaggedTensor):
        self._counts = tf.cast(values.row_lengths(), tf.int32)
        self._values = tf.pad(values.to_tensor(), [[0, 0], [0, 1]])
        self._used = tf.zeros_like(self._counts)

    def fill(self, symbols: tf.Tensor, escaped: tf.Tensor) -> tf.Tensor:
        """int32 symbols (b, h, w, c) with their values where they were escaped."""
        flat = tf.reshape(tf.cast(escaped, tf.int32), (tf.shape(symbols)[0], tf.reduce_prod(tf.shape(symbols)[1:])))
        place = tf.cumsum(flat, 1, exclusive=True) + self._used[:, None]
        values = tf.gather(self._values, tf.minimum(place, tf.shape(self._values)[1] - 1), batch_dims=1)
        self._used += tf.reduce_sum(flat, 1)
        return tf.where(escaped, tf.reshape(values, tf.shape(symbols)), symbols)

    def used_up(self) -> tf.Tensor:
        """Whether every value was handed out, and no more than there were."""
        return tf.reduce_all(self._used == self._counts)


class Coder:
    """What the three share: how predictions are settled.

    Args:
      entropy_model: of the parts.
      arithmetic: how location and index are settled.
      phase: (b,) int32, how many quarters of a step the grid is shifted for each picture; None for none.
    Attributes:
      slack: of each rounding so far (b,), how close to a tie the closest value was, in steps, 0..0.5; of those before
        products (`lic.integers`), whose margin is a sixteenth, times 16.
    """

    def __init__(self, entropy_model: GaussianModel, arithmetic: Arithmetic, phase: tf.Tensor | None = None):
        self.entropy_model, self.arithmetic = entropy_model, arithmetic
        self._phase, self._integers = phase, Integers(phase) if arithmetic.integers else None
        self.slack: list = []

    @contextlib.contextmanager
    def multiplying(self) -> Iterator[None]:
        """In here the networks that predict are called."""
        if not self._integers:
            yield
            return
        with products.multiplying(self._integers):
            yield
        self.slack += self._integers.slack()

    def snap(self, x: tf.Tensor) -> tf.Tensor:
        """x on the arithmetic's grid, as float32, in which such numbers are exact."""
        grid = self.arithmetic.grid
        if not grid:
            return tf.cast(x, tf.float32)
        shift = self._shift(x.dtype)
        return tf.cast((self._rounded(_bounded(x, MAX_LOCATION) / grid - shift) + shift) * grid, tf.float32)

    def settle(self, loc: tf.Tensor, index: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Location and scale index as they meet the entropy model, float32."""
        if self.arithmetic.round_index:
            # 3/16 at most: it costs no rate.
            index = self._rounded(_bounded(index, NUM_SCALES) - self._shift(index.dtype) / 4)
        return self.snap(loc), tf.cast(index, tf.float32)

    def _shift(self, dtype: tf.DType) -> tf.Tensor | float:
        """Of the grid, in its steps."""
        return 0.0 if self._phase is None else tf.cast(self._phase[:, None, None, None], dtype) / 4

    def _rounded(self, x: tf.Tensor) -> tf.Tensor:
        rounded = tf.round(x)
        if self.arithmetic.margin and x.dtype == tf.float64:   # in float32 it is the same everywhere
            self.slack.append(0.5 - tf.reduce_max(tf.abs(x - rounded), tf.range(1, tf.rank(x))))
        return rounded


def _bounded(x: tf.Tensor, bound: float) -> tf.Tensor:
    """Within +-bound, and 0 where it is no number: absurd symbols of a forged file may lead to both."""
    return tf.clip_by_value(tf.where(tf.math.is_nan(x), tf.zeros_like(x), x), -bound, bound)


class Estimator(Coder):
    """Counts bits and returns the quantised part with a straight-through gradient.

    Attributes:
      bits: a (b,) tensor a part, or a map where the entropy model keeps the axes. In training an upper bound under
        uniform noise, else the Shannon information.
    """

    def __init__(self, entropy_model: GaussianModel, parts: Iterable[tf.Tensor], arithmetic: Arithmetic,
                 training: bool = False):
        super().__init__(entropy_model, arithmetic)
        self._parts, self.training, self.bits = iter(parts), training, []

    @property
    def axes(self) -> int:
        """Over how many of the last axes bits are summed: 3 for a number a picture, 1 for a map."""
        return self.entropy_model.coding_rank

    def __call__(self, loc, index):
        part = next(self._parts)
        loc, index = self.settle(loc, index)
        _, bits = self.entropy_model(part, index, loc=loc, training=self.training)
        self.bits.append(bits)
        return self.entropy_model.quantize(part, loc)


class Teller(Estimator):
    """Counts the bits that range-coding tables charge, which may know more of the symbols than their densities do.

    Args:
      entropy_model: one that codes.
      arithmetic: one in which scale indices are whole numbers.
      axes: as of `GaussianModel`.
    """

    axes = 3

    def __init__(self, entropy_model: GaussianModel, parts: Iterable[tf.Tensor], arithmetic: Arithmetic, axes: int = 3):
        super().__init__(entropy_model, parts, arithmetic)
        self.axes = axes

    def __call__(self, loc, index):
        loc, index = self.settle(loc, index)
        symbols = bounded_symbols(next(self._parts) - loc)
        bits = self.entropy_model.information(symbols, index)
        self.bits.append(tf.reduce_sum(bits, tuple(range(-self.axes, 0))))
        return tf.cast(symbols, tf.float32) + loc


class Encoder(Coder):
    """Range-codes the parts.

    Attributes:
      strings: a (b,) string tensor a part.
      symbols: the int32 symbols of each part, for the file's checksums; escaped: which of them no table holds.
    """

    def __init__(self, entropy_model: GaussianModel, parts: Iterable[tf.Tensor], arithmetic: Arithmetic,
                 phase: tf.Tensor | None = None):
        super().__init__(entropy_model, arithmetic, phase)
        self._parts, self.strings, self.symbols, self.escaped = iter(parts), [], [], []

    def __call__(self, loc, index):
        loc, index = self.settle(loc, index)
        symbols = bounded_symbols(next(self._parts) - loc)
        string, escaped = self.entropy_model.encode(symbols, index)
        self.strings.append(string)
        self.symbols.append(symbols)
        self.escaped.append(escaped)
        return tf.cast(symbols, tf.float32) + loc


class Decoder(Coder):
    """Reads the parts back from their strings (a (b,) string tensor each).

    Args:
      escapes: the values of symbols that no table holds.
      approve: called with each part's number, its symbols and whether its string was sound, (b,); returns the symbols;
        where they are wrong it fails, before anything is made of them.
    Attributes:
      symbols: the int32 symbols of each part.
    """

    def __init__(self, entropy_model: GaussianModel, strings: Iterable[tf.Tensor], escapes: Escapes,
                 arithmetic: Arithmetic, phase: tf.Tensor | None = None,
                 approve: Callable = lambda k, symbols, sound: symbols):
        super().__init__(entropy_model, arithmetic, phase)
        self.strings, self.escapes, self.symbols, self._approve = iter(strings), escapes, [], approve

    def __call__(self, loc, index):
        loc, index = self.settle(loc, index)
        symbols, escaped, sound = self.entropy_model.decode(next(self.strings), index)
        self.symbols.append(self._approve(len(self.symbols), self.escapes.fill(symbols, escaped), sound))
        return tf.cast(self.symbols[-1], tf.float32) + loc


def bounded_symbols(x: tf.Tensor) -> tf.Tensor:
    """x rounded, as int32 within what float32 holds exactly; no picture comes near."""
    return tf.cast(_bounded(tf.round(x), 2.0 ** 24), tf.int32)
