"""What the PyTorch implementations gave, and how the same is got from our models.

`tests/expected/<model>.npz` holds outputs of a PyTorch model under weights and an input that come from a closed form,
so that neither is stored: `recipes.json.gz` has a few numbers for each array. Of big outputs there is a sample that
steps through all channels, rows and columns (`sample`) and a summary of the whole (`summary`); symbols are complete.
`tests/expected/make.py` wrote these files.
"""

from __future__ import annotations

import gzip
import json
import zlib
from pathlib import Path
from typing import NamedTuple
from unittest import mock

import numpy as np
import tensorflow as tf
import tensorflow_compression as tfc

from lic import arithmetic, checkerboard, coders, registry, torch_names

# Every kind of layer, in small; and the full sizes, with the presets that have them.
REDUCED = ("tcm_small", "swint_charm_small", "swint_hyperprior_small", "conv_charm_small", "conv_hyperprior_small",
           "elic2022_official_small", "elic2022_chandelier_small")
FULL = {"tcm_n64": "small", "swint_charm": "swint-charm-tbtc", "swint_hyperprior": "swint-hyperprior",
        "conv_charm": "conv-charm", "conv_hyperprior": "conv-hyperprior", "elic2022_official": "elic-official",
        "elic2022_chandelier": "elic-chandelier"}
EXPECTED = Path(__file__).parent / "expected"
SAMPLE = 2000
FLOOR = 1e-9  # CompressAI's least likelihood of a symbol, in bits 29.9


# Weights and input ------------------------------------------------------------------------------------------------


def recipes() -> dict:
    """How the weights and the input of each model are made, by its name."""
    return json.loads(gzip.decompress((EXPECTED / "recipes.json.gz").read_bytes()))


def state_dict(recipe: dict) -> dict[str, np.ndarray]:
    """The weights that a recipe describes: uniform noise around a base, seeded by each array's name."""
    return {name: _weight(name, recipe.get("f16", False), *rule) for name, *rule in recipe["weights"]}


def script_of(name: str) -> str:
    """The script that a model belongs to."""
    return {"tcm": "lsk2023", "swint": "zyc2022", "conv": "zyc2022", "elic2022": "hypmqw2022"}[name.split("_")[0]]


def weights_of(name: str) -> dict[str, np.ndarray]:
    """The weights of a model."""
    return state_dict(recipes()[name])


def _weight(name: str, half: bool, shape, base: dict, low: float, high: float, stored_as: str | None) -> np.ndarray:
    noise = np.random.RandomState(zlib.crc32(name.encode())).random_sample(tuple(shape))
    (kind, around), = base.items()  # a number or a vector for all rows, or a multiple of the identity
    centre = around * np.eye(*shape) if kind == "eye" else np.asarray(around, np.float64)
    value = centre + low + (high - low) * noise
    if stored_as == "gdn":  # as the square root of what it stands for
        value = np.sqrt(np.maximum(value, 0) + 2.0 ** -36)
    return (value.astype(np.float16) if half else value).astype(np.float32)


def picture(h: int, w: int, phase: float) -> np.ndarray:
    """(1, h, w, 3) float32 in 0..1: three waves a channel."""
    row, column, c = np.ogrid[:h, :w, :3]
    slow = np.sin(0.11 * (c + 1) * row + 0.07 * column + phase)
    slanted = np.cos(0.05 * row - 0.13 * (c + 1) * column + 2 * phase)
    fast = np.sin(0.9 * row + 0.031 * column * (3 - c)) * np.cos(0.6 * column + c)
    return np.clip(0.5 + 0.22 * slow + 0.18 * slanted + 0.10 * fast, 0, 1).astype(np.float32)[None]


# Excerpts ---------------------------------------------------------------------------------------------------------


def sample(x: np.ndarray) -> np.ndarray:
    """About `SAMPLE` values of an array (c, h, w), all channels, rows and columns among them; a small one whole."""
    step = max(1, x.size // SAMPLE)
    while np.gcd(step, x.size) > 1:
        step += 1
    return x.reshape(-1)[::step]


def summary(x: np.ndarray) -> np.ndarray:
    """Sum, norm and greatest magnitude, in float64."""
    x = x.astype(np.float64)
    return np.array([x.sum(), np.sqrt(np.square(x).sum()), np.abs(x).max()])


# Our side ---------------------------------------------------------------------------------------------------------


class Seen(NamedTuple):
    """One part as it went through the coder: location, symbols and their information in bits."""

    mu: tf.Tensor
    symbols: tf.Tensor
    bits: tf.Tensor


class Probe(coders.Coder):
    """A coder that codes nothing and remembers everything.

    Args:
      parts: of y.
      forced: symbols of each part that the context goes on with instead of its own, or None.

    Attributes:
      seen: of each part.
    """

    def __init__(self, parts, forced=None):
        super().__init__(None, arithmetic.CONTINUOUS)
        self.parts, self.forced, self.seen = iter(parts), forced and iter(forced), []

    def __call__(self, loc, index):
        loc, index = self.settle(loc, index)
        symbols = tf.round(next(self.parts) - loc)
        density = tfc.NoisyNormal(loc=0.0, scale=coders.scale_of_index(index))
        self.seen.append(Seen(loc, symbols, bits(density, symbols)))
        return (next(self.forced) if self.forced else symbols) + loc


def bits(density, symbols: tf.Tensor) -> tf.Tensor:
    """Information of each symbol."""
    return -density.log_prob(symbols) / np.log(2)


def _whole(model, parts) -> np.ndarray:
    """The parts of a context put together again: (c, h, w)."""
    if model.context.num_parts > len(model.context.depths):  # two colours of a checkerboard, the even one first
        parts = [checkerboard.merge(even, odd) for even, odd in zip(parts[::2], parts[1::2])]
    return planes(tf.concat(list(parts), -1))


def planes(x: tf.Tensor) -> np.ndarray:
    """(1, h, w, c) -> (c, h, w), PyTorch's order."""
    return np.asarray(x)[0].transpose(2, 0, 1)


def likelihoods(information: np.ndarray) -> np.ndarray:
    """As CompressAI has them, not below `FLOOR`. Without it a symbol far out costs thousands of bits on paper, and
    weights from a formula put some there."""
    return np.maximum(2.0 ** -information.astype(np.float64), FLOOR)


def _coded(model, y: tf.Tensor, hyper, forced: np.ndarray | None):
    """(y_hat, what each part's prediction and symbols were) of a pass through the context."""
    if forced is not None:
        forced = model.context.parts(tf.constant(forced.transpose(1, 2, 0)[None], tf.float32))
    probe, index, sigmas = Probe(model.context.parts(y), forced), model.context.index, []

    def spy(sigma):
        sigmas.append(sigma)
        return index(sigma)

    with mock.patch.object(model.context, "index", spy):
        y_hat = model.context.code(hyper, probe)
    seen = {name: _whole(model, parts) for name, parts in zip(Seen._fields, zip(*probe.seen))}
    return y_hat, {**seen, "sigma": _whole(model, sigmas)}


def outputs(model, x: np.ndarray, forced: np.ndarray | None = None) -> dict[str, np.ndarray | float]:
    """Everything that the expected files hold, of our model; all maps are (c, h, w).

    Args:
      x: (1, h, w, 3) in 0..1.
      forced: symbols of y that the context goes on with instead of those that it finds.
    """
    y = model.analyse(tf.constant(x) * 255)
    z = model.h_a(y)
    z_symbols = tf.round(z - model.z_median)
    hyper = model.h_s(z_symbols + model.z_median)
    y_hat, seen = _coded(model, y, hyper, forced)
    lik_y, lik_z = likelihoods(seen["bits"]), likelihoods(planes(bits(model.prior, z_symbols)))
    return {
        "y": planes(y), "z": planes(z), "z_symbols": planes(z_symbols), "y_symbols": seen["symbols"],
        "hyper": planes(tf.concat(hyper, -1) if isinstance(hyper, tuple) else hyper),
        "mu": seen["mu"], "sigma": seen["sigma"], "y_hat": planes(y_hat),
        "x_hat": planes(model.synthesise(y_hat)) / 255,
        "lik_y": lik_y, "lik_z": lik_z, "bits_y": float(-np.log2(lik_y).sum()), "bits_z": float(-np.log2(lik_z).sum()),
    }


def load(weights: dict[str, np.ndarray]):
    """Our model with the weights of a PyTorch one, as anybody would load them."""
    model = registry.build(*torch_names.preset_of(weights))
    torch_names.load(model, weights)
    return model
