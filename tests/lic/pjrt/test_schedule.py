"""The learning rate on the host, held against the schedule of `train`."""

from __future__ import annotations

import pytest
import tensorflow as tf

import config
from lic.drops import drops_of
from lic.pjrt.schedule import SCHEDULES, learning_rate
from lic.training import Schedule


def test_schedules_are_those_of_train():
    assert config.CHOICES["lr_schedule"] == SCHEDULES


@pytest.mark.parametrize("schedule", SCHEDULES)
@pytest.mark.parametrize("warmup", [0, 10])
def test_rate_is_that_of_train_at_every_step(schedule, warmup):
    settings = config.Training(lr_schedule=schedule, warmup_steps=warmup, epochs=4, steps_per_epoch=25,
                               learning_rate=3e-3, lr_steps="0.3,0.62,0.95")
    of_train, drops = Schedule(settings), drops_of(schedule, "0.3,0.62,0.95")
    for step in range(0, 120, 3):
        rate = learning_rate(step, 100, rate=3e-3, schedule=schedule, warmup=warmup, drops=drops)
        assert rate == pytest.approx(float(of_train(tf.constant(step, tf.int64))), rel=1e-5), step
