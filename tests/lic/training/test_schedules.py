"""The learning rate over a training, by its steps or by the clock."""

from __future__ import annotations

import math

import pytest
import tensorflow as tf

from config import Training
from lic.training import Schedule


@pytest.mark.parametrize(("fields", "expected"), [
    ({"lr_schedule": "constant"}, {0: 1, 500: 1, 999: 1}),
    ({"lr_schedule": "drop"}, {0: 1, 899: 1, 900: 0.1, 999: 0.1}),
    ({"lr_schedule": "cosine"}, {0: 1, 500: 0.505, 250: 0.01 + 0.99 * (2 + math.sqrt(2)) / 4, 1000: 0.01, 1200: 0.01}),
    ({"lr_schedule": "multistep", "lr_steps": "0.5,0.8"}, {0: 1, 499: 1, 500: 0.1, 799: 0.1, 800: 0.01, 999: 0.01}),
    ({"lr_schedule": "constant", "warmup_steps": 10}, {0: 0.1, 4: 0.5, 9: 1, 10: 1, 600: 1}),
    ({"lr_schedule": "drop", "warmup_steps": 10}, {0: 0.1, 899: 1, 950: 0.1}),
])
def test_learning_rate_follows_its_schedule(fields, expected):
    schedule = Schedule(Training(epochs=10, steps_per_epoch=100, learning_rate=0.02, **fields))
    for step, factor in expected.items():
        assert float(schedule(tf.constant(step, tf.int64))) == pytest.approx(0.02 * factor, rel=1e-5), step


def test_training_is_as_far_as_its_steps_or_its_minutes_are_whichever_is_more():
    schedule = Schedule(Training(epochs=10, steps_per_epoch=100, learning_rate=1.0, lr_schedule="cosine"))
    by_steps = {step: float(schedule(tf.constant(step, tf.int64))) for step in (0, 300, 500, 900)}
    schedule.elapsed.assign(0.5)
    for step, expected in ((0, 500), (300, 500), (500, 500), (900, 900)):
        assert float(schedule(tf.constant(step, tf.int64))) == pytest.approx(by_steps[expected], rel=1e-5)
    schedule.elapsed.assign(1.2)
    assert float(schedule(tf.constant(0, tf.int64))) == pytest.approx(0.01)
    schedule.slowdown.assign(0.1)
    assert float(schedule(tf.constant(0, tf.int64))) == pytest.approx(0.001)
