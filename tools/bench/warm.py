"""Calls of a model that is loaded, under each arithmetic and precision, beside the straightforward graph.

The straightforward graph is made of the same layers, computed as the published scripts compute them: in float32
everywhere, the encoder decodes each of its strings again, and TensorFlow may fuse nothing.
"""

from __future__ import annotations

import contextlib
import functools
import math
import statistics
from collections.abc import Iterator

import numpy as np
import tensorflow as tf

import config
from lic import model
from lic.coders import Encoder, Escapes
from lic.errors import DataError
from swin_transformers_tf import blocks, layers, norms, products
from tools import random_model
from tools.bench.timing import ratio, timed, told_in_turns

BASELINE = "straightforward"
TRIES = 5
SWITCHES = {BASELINE: config.Runtime(arithmetic="float32"),
            "float32": config.Runtime(arithmetic="float32"),
            "float32, bfloat16 transforms": config.Runtime(arithmetic="float32", precision="bfloat16"),
            "portable": config.Runtime(),
            "portable, bfloat16 transforms": config.Runtime(precision="bfloat16")}


class DecodingEncoder(Encoder):
    """Takes each part out of its own string, as the published scripts do."""

    def __call__(self, loc, index):
        loc, index = self.settle(loc, index)
        super().__call__(loc, index)
        read = self.entropy_model.decode(self.strings[-1], index)
        none = Escapes(tf.RaggedTensor.from_tensor(tf.zeros((tf.shape(loc)[0], 0), tf.int32)))
        return tf.cast(none.fill(read.symbols, tf.zeros_like(read.escaped)), tf.float32) + loc


def measure(script: str, preset: str, pixels: np.ndarray, rounds: int) -> list[dict]:
    """A row for each switch and command: median seconds, and how many times as fast as the straightforward graph.

    Args:
      preset: its weights may be random: they change no operation, only the time of range coding.
      pixels: uint8 (h, w, 3).
    """
    compress, decompress = {}, {}
    for name, runtime in SWITCHES.items():
        codec = random_model.codec(script, preset, runtime)
        within = straightforward if name == BASELINE else contextlib.nullcontext
        compress[name] = functools.partial(_within, within, codec.compress, pixels)
        decompress[name] = functools.partial(_within, within, codec.decompress, compress[name]())
    rows = []
    for command, works in (("compress", compress), ("decompress", decompress)):
        seconds = told_in_turns({name: functools.partial(_seconds, work) for name, work in works.items()}, rounds)
        rows += [{"work": f"{script} {preset} {command}, {name}", "seconds": statistics.median(taken),
                  "ratio": ratio(seconds[BASELINE], taken)} for name, taken in seconds.items()]
    return rows


def _seconds(work) -> float:
    """Of a work that comes to its end: files of the arithmetic float32 now and then do not decode, even here."""
    for _ in range(TRIES):
        with contextlib.suppress(DataError):
            return timed(work)
    return math.nan


def _within(context, function, argument):
    with context():
        return function(argument)


def _dense(x, kernel, bias, before=1.0, after=1.0):
    """`layers.dense` as a matrix product."""
    x = tf.tensordot(x, products.scaled(kernel, before * after, x.dtype), 1)
    return x if bias is None else tf.nn.bias_add(x, products.scaled(bias, after, x.dtype))


def _mlp(mlp, x):
    """`MLP.call` as it is written in papers."""
    return mlp.fc2(blocks.gelu(mlp.fc1(x)))


_PLAIN = ((model, "Encoder", DecodingEncoder), (norms, "layer_norm", norms.stepwise), (layers, "dense", _dense),
          (blocks.MLP, "call", _mlp))


@contextlib.contextmanager
def straightforward() -> Iterator[None]:
    """What is traced in here computes as the published scripts do, and what is run is not optimised."""
    before = [(where, name, getattr(where, name)) for where, name, _ in _PLAIN]
    _put(_PLAIN)
    tf.config.optimizer.set_experimental_options({"disable_meta_optimizer": True})
    try:
        yield
    finally:
        _put(before)
        tf.config.optimizer.set_experimental_options({"disable_meta_optimizer": False})


def _put(attributes) -> None:
    for where, name, value in attributes:
        setattr(where, name, value)
