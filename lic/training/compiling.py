"""The model of a run, with what its steps need."""

from __future__ import annotations

import config
from lic import registry
from lic.distortion import DISTORTIONS
from lic.training import initial
from lic.training.crew import Crew
from lic.training.optimizer import optimizer_of
from lic.training.schedules import Schedule


def compiled(script: str, preset: config.Preset, settings: config.Training, schedule: Schedule,
             begins_with: str | None = None, crew: Crew | None = None):
    """A model with optimizer, lambda and distortion.

    Args:
      begins_with: the folder of the weights to begin with (`lic.training.initial`); None for random ones.
      crew: who trains it; None for one device.
    """
    crew = crew or Crew()
    precision = "bfloat16" if settings.precision_policy == "mixed_bfloat16" else "float32"
    with crew.scope():
        model = registry.build(script, preset, precision=precision)
        optimizer = optimizer_of(settings, schedule, crew.mean_of)
        # Made by the first step, the optimizer's variables would have it traced twice: a minute for large models.
        optimizer._create_all_weights(model.trainable_variables)
    if begins_with:
        initial.take(model, begins_with)
    model.compile(optimizer, None if preset.lambdas else settings.lmbda, DISTORTIONS[settings.distortion])
    return model
