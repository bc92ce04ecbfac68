"""What runs under a configuration to look inside: predictions before they are rounded, and what each rounding costs.

The symbols are given, the same to every configuration, so that a difference of two predictions is made where it is seen
and isn't the echo of a symbol that was decoded otherwise.
"""

from __future__ import annotations

import os

import numpy as np
import tensorflow as tf

import config
from lic import loading, resources, weights
from lic.arithmetic import ARITHMETICS, CONTINUOUS
from lic.coders import NUM_SCALES, Coder
from lic.integers import Integers
from lic.portability.worker import BATCH, Case, each_case, pixels_of, step

RATES = ("portable", "float32", "float32, index truncated", "estimate, nothing rounded")


class Forced(Coder):
    """Takes the symbols as given, and keeps what is predicted for them.

    Attributes:
      locations: everything that meets the grid (means, refined parts), unrounded; indices: the fractional indices.
      products: what is rounded before it is multiplied, where other machines may have other last digits, in steps.
    """

    def __init__(self, entropy_model, symbols, arithmetic):
        super().__init__(entropy_model, arithmetic)
        self._symbols, self.locations, self.indices, self.products = iter(symbols), [], [], []
        self._integers = _Noting(self.products) if arithmetic.integers else None

    def snap(self, x):
        self.locations.append(x)
        return super().snap(x)

    def settle(self, loc, index):
        self.indices.append(index)
        return super().settle(loc, index)

    def __call__(self, loc, index):
        loc, _ = self.settle(loc, index)
        return tf.cast(next(self._symbols), tf.float32) + loc


class _Noting(Integers):
    """Keeps what it rounds."""

    def __init__(self, kept: list):
        super().__init__()
        self._kept = kept

    def _rounded(self, steps):
        self._kept.append(steps)
        return super()._rounded(steps)


def _model(case: Case):
    """The model itself, of a bundled script or a folder of weights, as `case.codec` would run it."""
    runtime = config.Runtime(**case.switches)
    loading.apply(runtime)
    model, _ = weights.load(resources.locate(case.name), **loading.options(runtime))
    model.round_kernels()
    return model


# Deviation -----------------------------------------------------------------------------------------------------------

def settle(job: dict) -> dict:
    """Stores the symbols of each picture; {model: {arithmetic: their number}}."""
    return each_case(job, _settle)


def _settle(case: Case, job: dict) -> int:
    model = _model(case)
    encode = tf.function(lambda x: model.encode(x).symbols, autograph=False)
    count = 0
    for key in job["pictures"]:
        symbols = encode(tf.constant(pixels_of(job, key)[None], tf.float32))
        np.savez(case.path("symbols", f"{key}.npz"), *[s.numpy() for s in symbols])
        count += sum(int(tf.size(s)) for s in symbols)
        step()
    return count


def probe(job: dict) -> dict:
    """Stores the predictions for each picture's symbols; {model: {arithmetic: its margin}}."""
    return each_case(job, _probe)


def _probe(case: Case, job: dict) -> float:
    model = _model(case)
    copies = BATCH if case.configuration.kind == "batch" else 1

    @tf.function(autograph=False)
    def predict(symbols):
        coder = Forced(model.em_y, symbols[1:], model.arithmetic)
        model.predict(tf.cast(symbols[0], tf.float32) + model.z_median, coder)
        return [_joined(kept) for kept in (coder.locations, coder.indices, coder.products)]

    for key in job["pictures"]:
        with np.load(case.path("symbols", f"{key}.npz")) as stored:
            symbols = [tf.repeat(tf.constant(stored[name]), copies, 0) for name in stored.files]
        locations, indices, products = predict(symbols)
        folder = os.path.join("predictions", case.configuration.name)
        np.save(case.path(folder, f"{key}-location.npy"), locations.numpy())
        np.save(case.path(folder, f"{key}-product.npy"), products.numpy())
        # The entropy model clips, so beyond these nothing can differ.
        np.save(case.path(folder, f"{key}-index.npy"), np.clip(indices.numpy(), 0, NUM_SCALES - 1))
        step()
    return model.arithmetic.margin


def _joined(maps: list[tf.Tensor]) -> tf.Tensor:
    """The values of all maps of the first picture, float64 (n,)."""
    return tf.concat([tf.zeros((0,), tf.float64), *(tf.cast(tf.reshape(x[0], [-1]), tf.float64) for x in maps)], 0)


# Rate ----------------------------------------------------------------------------------------------------------------

def rate(job: dict) -> dict:
    """{model: {a name of `RATES`: bytes of all pictures}}, of real files but for the last."""
    return {model: _rate(name, job) for model, name in job["models"].items()}


def _rate(name: str, job: dict) -> dict[str, float]:
    ways = ((ARITHMETICS["portable"], "portable"), (ARITHMETICS["float32"], "float32"), (CONTINUOUS, "float32"))
    sizes = [_bytes_of_files(name, job, arithmetic, flag) for arithmetic, flag in ways]
    return dict(zip(RATES, [*sizes, _estimate(name, job)]))


def _bytes_of_files(name: str, job: dict, arithmetic, flag: str) -> int:
    """An index that isn't rounded is truncated by TFC where it meets the tables."""
    folder = resources.locate(name)
    model, identity = weights.load(folder, arithmetic=arithmetic)
    coder = loading.from_model(model, weights.describe(folder)["script"], identity, config.Runtime(arithmetic=flag))
    total = 0
    for key in job["pictures"]:
        total += len(coder.compress_pixels(pixels_of(job, key), tile=0))
        step()
    return total


def _estimate(name: str, job: dict) -> float:
    model, _ = weights.load(resources.locate(name))

    @tf.function(autograph=False)
    def bits(x):
        estimate = model.estimate(x, arithmetic=CONTINUOUS)
        return estimate.bits_y[0] + estimate.bits_z[0]

    total = 0.0
    for key in job["pictures"]:
        total += float(bits(tf.constant(pixels_of(job, key)[None], tf.float32))) / 8
        step()
    return total
