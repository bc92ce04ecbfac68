"""The learning rate as a function of the step."""

from __future__ import annotations

import dataclasses
import math

import tensorflow as tf

import config


class Schedule(tf.keras.optimizers.schedules.LearningRateSchedule):
    """Linear warm-up, then constant, cosine to a hundredth, or a drop to a tenth over the last tenth of the steps."""

    def __init__(self, settings: config.Training):
        self.settings = settings

    def __call__(self, step):
        s = self.settings
        step, total = tf.cast(step, tf.float32), float(max(1, s.epochs * s.steps_per_epoch))
        if s.lr_schedule == "cosine":
            factor = 0.01 + 0.99 * 0.5 * (1 + tf.cos(math.pi * tf.minimum(step / total, 1.0)))
        elif s.lr_schedule == "drop":
            factor = tf.where(step < 0.9 * total, 1.0, 0.1)
        else:
            factor = tf.constant(1.0)
        return s.learning_rate * factor * tf.minimum((step + 1) / max(1, s.warmup_steps), 1.0)

    def get_config(self):
        return dataclasses.asdict(self.settings)
