"""What turns a gradient into a step."""

from __future__ import annotations

from collections.abc import Callable

import tensorflow as tf

import config
from lic.training.schedules import Schedule


def optimizer_of(settings: config.Training, schedule: Schedule | None = None,
                 mean_of: Callable | None = None) -> tf.keras.optimizers.legacy.Optimizer:
    """Adam. Keras' legacy form: one fused operation a weight, where the new form takes twenty-five.

    Args:
      mean_of: of several replicas (`lic.training.crew`): what makes one gradient of theirs, before it is clipped.
    """
    return tf.keras.optimizers.legacy.Adam(schedule or Schedule(settings), global_clipnorm=settings.clip_norm or None,
                                           gradient_aggregator=mean_of)
