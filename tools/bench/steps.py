"""Steps of training: pictures a second under each precision, beside float32 without anything that helps."""

from __future__ import annotations

import statistics

import tensorflow as tf

import config
from lic import registry
from lic.training.compiling import compiled
from lic.training.schedules import Schedule
from tools.bench.timing import in_turns, ratio

BASELINE = "float32, operation by operation"
WAYS = {BASELINE: ("float32", False), "float32": ("float32", True), "mixed_bfloat16": ("mixed_bfloat16", True)}


def measure(script: str, preset: str, side: int, rounds: int, batch: int = 8) -> list[dict]:
    """A row for each way: median seconds of a step, pictures a second, and how many times as fast as the baseline.

    The baseline runs each operation by itself, as code that is not traced does.
    """
    x = tf.random.stateless_uniform((batch, side, side, 3), (1, 2), 0, 255)
    seconds = in_turns({name: _step(script, preset, x, *way) for name, way in WAYS.items()}, rounds)
    return [{"work": f"{script} {preset} step of {batch} x {side}x{side}, {name}", "seconds": statistics.median(taken),
             "pictures_a_second": batch / statistics.median(taken), "ratio": ratio(seconds[BASELINE], taken)}
            for name, taken in seconds.items()]


def _step(script: str, preset: str, x: tf.Tensor, policy: str, traced: bool):
    settings = config.Training(train_glob="none", batchsize=len(x), patchsize=x.shape[1], precision_policy=policy)
    model = compiled(script, registry.preset(script, preset), settings, Schedule(settings))
    step = tf.function(model.train_step, autograph=False) if traced else model.train_step
    return lambda: step(x)["loss"].numpy()
