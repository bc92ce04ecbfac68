"""The learning rate as a function of how far a training is."""

from __future__ import annotations

import dataclasses
import math

import tensorflow as tf

import config
from lic.errors import UsageError


def drops(settings: config.Training) -> tuple[float, ...]:
    """The fractions of the training at which the learning rate falls to a tenth.

    Raises:
      UsageError: `--lr_steps` are no such fractions.
    """
    if settings.lr_schedule != "multistep":
        return (0.9,) if settings.lr_schedule == "drop" else ()
    try:
        fractions = tuple(map(float, settings.lr_steps.split(",")))
    except ValueError:
        fractions = ()
    if not fractions or any(not 0 < f < 1 for f in fractions) or sorted(set(fractions)) != list(fractions):
        raise UsageError(f"--lr_steps '{settings.lr_steps}' are not rising fractions between 0 and 1, as 0.5,0.8,0.95")
    return fractions


class Schedule(tf.keras.optimizers.schedules.LearningRateSchedule):
    """Linear warm-up, then constant, cosine to a hundredth, or drops to a tenth.

    Attributes:
      elapsed: the part of `--minutes` that is gone, a variable; the training is as far as its steps or its minutes are,
        whichever is more.
      slowdown: a factor on it all, a variable.
    """

    def __init__(self, settings: config.Training):
        self.settings, self._drops = settings, drops(settings)
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
