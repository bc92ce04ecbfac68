"""Each stage of a model by itself: its rate of products beside what the machine can do."""

from __future__ import annotations

import functools
import statistics
from collections.abc import Mapping

import numpy as np
import tensorflow as tf

from lic import complexity
from lic.arithmetic import FLOAT32
from lic.coders import Estimator, GaussianModel
from lic.model import pad
from swin_transformers_tf import products
from tools import random_model
from tools.bench.timing import in_turns

PRECISIONS = ("float32", "bfloat16")


def measure(script: str, preset: str, pixels: np.ndarray, rounds: int, ceiling: Mapping[str, float]) -> list[dict]:
    """A row for each transform and type, and one for the entropy path in float32.

    Args:
      preset: its weights are random.
      pixels: uint8 (h, w, 3).
      ceiling: GFLOP/s of each type (`tools.bench.ceiling`).
    """
    models = {precision: random_model.build(script, preset, precision=precision) for precision in PRECISIONS}
    kmacs = complexity.kmacs_per_pixel(models["float32"])
    x = pad(tf.cast(pixels[None], tf.float32))
    work = {"entropy float32": (_entropy(models["float32"], x), kmacs["hyper_synthesis"] + kmacs["context"])}
    for precision, model in models.items():
        work[f"analysis {precision}"] = _traced(model.analyse, x), kmacs["analysis"]
        work[f"synthesis {precision}"] = _traced(model.synthesise, model.analyse(x)), kmacs["synthesis"]
    seconds = in_turns({name: function for name, (function, _) in work.items()}, rounds)
    rows = []
    for name, (_, kmac) in work.items():
        best = statistics.median(seconds[name])
        rate = 2e-6 * kmac * x.shape[1] * x.shape[2] / best
        rows.append({"work": f"{script} {preset} {name}", "seconds": best, "gflops": rate,
                     "of_ceiling": rate / ceiling[name.split()[1]]})
    return rows


def _traced(function, x):
    """As in a codec, whose graphs take pictures of any size, and weights as constants."""
    def final(x):
        with products.constants(products.Constants()):
            return function(x)

    traced = tf.function(final, autograph=False,
                         input_signature=[tf.TensorSpec((1, None, None, x.shape[-1]), x.dtype)])
    return lambda: traced(x)


def _entropy(model, x):
    """Hyper synthesis and context, with an estimate of the bits instead of range coding."""
    y = model.analyse(x)
    z = tf.round(model.h_a(y))

    @functools.partial(tf.function, autograph=False,
                       input_signature=[tf.TensorSpec((1, None, None, t.shape[-1]), t.dtype) for t in (y, z)])
    def run(y, z):
        coder = Estimator(GaussianModel(), model.context.parts(y), FLOAT32)
        return model.predict(z, coder), coder.bits   # or no scale would be computed

    return lambda: run(y, z)
