"""Models with random weights, the same at every call, which take as long as trained ones.

Gotcha: TensorFlow comes up inside of the functions, after `lic.environment.prepare`.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

import config
from lic import registry
from lic.errors import UsageError


def scripts_with(preset: str, scripts: Sequence[str]) -> list[str]:
    """Those of the scripts that have a preset. Raises a UsageError where none has."""
    found = [script for script in scripts if preset.removesuffix(config.VARIABLE) in config.PRESETS[script]]
    if not found:
        raise UsageError(f"no preset '{preset}' in {', '.join(scripts)}")
    return found


def build(script: str, preset: str, **options):
    """The model of a preset, as `lic.registry.build` makes it.

    Its biases begin at zero, which TensorFlow leaves out where they are constants, and what follows is another
    operation: here they are small.

    Raises:
      UsageError: the script has no such preset.
    """
    import tensorflow as tf
    tf.keras.utils.set_random_seed(0)
    model, random = registry.build(script, registry.preset(script, preset), **options), np.random.default_rng(0)
    for variable in model.variables:
        if variable.name.endswith("/bias:0"):
            variable.assign(1e-3 * random.normal(size=variable.shape))
    return model


def codec(script: str, preset: str, runtime: config.Runtime):
    """A codec of such a model under these switches. Raises as `build` does."""
    from lic import loading
    return loading.from_model(_frozen(script, preset, **loading.options(runtime)), script, bytes(4), runtime)


def save(script: str, preset: str, folder: str) -> None:
    """Writes such a model to a folder, as `train` does. Raises as `build` does."""
    from lic import graph_storing, weights
    weights.save(_frozen(script, preset), script, folder)
    graph_storing.save(folder)


def _frozen(script: str, preset: str, **options):
    model = build(script, preset, **options)
    model.freeze()
    return model
