"""The model of a run, with what its steps need."""

from __future__ import annotations

import config
from lic import registry
from lic.distortion import DISTORTIONS
from lic.training import initial
from lic.training.optimizer import optimizer_of
from lic.training.schedules import Schedule


def compiled(script: str, preset: config.Preset, settings: config.Training, schedule: Schedule,
             begins_with: str | None = None):
    """A model with optimizer, lambda and distortion.

    Args:
      begins_with: the folder of the weights to begin with (`lic.training.initial`); None for random ones.
    """
    precision = "bfloat16" if settings.precision_policy == "mixed_bfloat16" else "float32"
    model = registry.build(script, preset, precision=precision)
    if begins_with:
        initial.take(model, begins_with)
    model.compile(optimizer_of(settings, schedule), None if preset.lambdas else settings.lmbda,
                  DISTORTIONS[settings.distortion])
    # Made by the first step, the optimizer's variables would have it traced twice: a minute for large models.
    model.optimizer._create_all_weights(model.trainable_variables)
    return model
