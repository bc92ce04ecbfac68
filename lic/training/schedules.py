"""The learning rate as a function of how far a training is."""

from __future__ import annotations

import dataclasses
import math

import tensorflow as tf

import config
from lic.drops import drops_of


class Schedule(tf.keras.optimizers.schedules.LearningRateSchedule):
    """Linear warm-up, then constant, cosine to a hundredth, or drops to a tenth.

    Attributes:
      elapsed: the part of `--minutes` that is gone, a variable; the training is as far as its steps or its minutes are,
        whichever is more.
      slowdown: a factor on it all, a variable.
    """

    def __init__(self, settings: config.Training):
        self.settings, self._drops = settings, drops_of(settings.lr_schedule, settings.lr_steps)
        self.elapsed = tf.Variable(0.0, trainable=False)
        self.slowdown = tf.Variable(1.0, trainable=False)

    def __call__(self, step):
        s, step = self.settings, tf.cast(step, tf.float32)
        progress = tf.maximum(step / max(1, s.epochs * s.steps_per_epoch), self.elapsed)
        warm_up = tf.minimum((step + 1) / max(1, s.warmup_steps), 1.0)
        return s.learning_rate * self.slowdown * self._factor(progress) * warm_up

    def _factor(self, progress):
        if self.settings.lr_schedule == "cosine":
            return 0.01 + 0.99 * 0.5 * (1 + tf.cos(math.pi * tf.minimum(progress, 1.0)))
        return tf.reduce_prod([tf.where(progress < fraction, 1.0, 0.1) for fraction in self._drops])

    def get_config(self):
        return dataclasses.asdict(self.settings)
