"""Models with random weights, which take as long as trained ones."""

from __future__ import annotations

import numpy as np

from lic import registry


def build(script: str, preset: str, **options):
    """The model of a preset, as `lic.registry.build` makes it.

    Its biases begin at zero, which TensorFlow leaves out where they are constants, and what follows is another
    operation: here they are small.
    """
    model, random = registry.build(script, registry.preset(script, preset), **options), np.random.default_rng(0)
    for variable in model.variables:
        if variable.name.endswith("/bias:0"):
            variable.assign(1e-3 * random.normal(size=variable.shape))
    return model
