"""Whether training learns as much in mixed_bfloat16 as in float32: losses of runs on the same patches.

How far two runs of float32 with other noise come to lie apart is what a third one may.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import tensorflow as tf

import config
from lic import registry
from lic.training.compiling import compiled
from lic.training.noise import noise_from
from lic.training.schedules import Schedule

STEPS, WINDOW = 500, 50
REFERENCE = "float32"
RUNS = {REFERENCE: ("float32", 1), "float32, other noise": ("float32", 2), "mixed_bfloat16": ("mixed_bfloat16", 1)}


def measure(script: str, preset: str, pixels: np.ndarray, side: int = 128, batch: int = 8, steps: int = STEPS
            ) -> list[dict]:
    """A row for each run: its losses, means of windows of steps, and how far they lie from the reference's.

    Args:
      pixels: uint8 (h, w, 3), out of which patches of side x side are cut at random.
    """
    curves = {name: _curve(script, preset, _patches(pixels, side, batch), steps, *run) for name, run in RUNS.items()}
    return [{"work": f"{script} {preset} {steps} steps of {batch} x {side}x{side}, {name}", "losses": curve.tolist(),
             "apart": float(np.mean(np.abs(curve / curves[REFERENCE] - 1))), "last": float(curve[-1])}
            for name, curve in curves.items()]


def _patches(pixels: np.ndarray, side: int, batch: int) -> Iterator[np.ndarray]:
    draw = np.random.default_rng(1)
    rows, columns = (size - side + 1 for size in pixels.shape[:2])
    while True:
        corners = zip(draw.integers(rows, size=batch), draw.integers(columns, size=batch))
        yield np.stack([pixels[top:top + side, left:left + side] for top, left in corners])


def _curve(script: str, preset: str, patches: Iterator[np.ndarray], steps: int, policy: str, seed: int) -> np.ndarray:
    tf.keras.utils.set_random_seed(1)   # the same weights to begin with
    settings = config.Training(train_glob="none", precision_policy=policy)
    model = compiled(script, registry.preset(script, preset), settings, Schedule(settings))

    @tf.function(autograph=False)
    def step(x: tf.Tensor, number: tf.Tensor) -> tf.Tensor:
        with noise_from(seed, number):
            return model.learn(x)[0]

    losses = [float(step(next(patches), tf.constant(number, tf.int64))) for number in range(steps)]
    return np.reshape(losses, (-1, min(WINDOW, steps))).mean(1)
