"""Weights to begin with, instead of random ones: fine-tuning."""

from __future__ import annotations

import os

import numpy as np

from lic import resources, weights
from lic.errors import DataError, UsageError
from lic.training import checkpoints
from lic.training import folder as folders


def locate(name: str, script: str, preset: str) -> str:
    """The folder that `--init_from` names: a model's, a run's, or a script's name for its bundled model.

    Raises:
      DataError: there is none. UsageError: it is a model of another preset.
    """
    folder = resources.locate(name)
    about = weights.describe(folder) if _is_model(folder) else folders.read(folder)
    if about is None:
        raise DataError(f"--init_from '{name}' is neither a model that can be trained nor a run")
    if (about["script"], about["preset"]) != (script, preset):
        raise UsageError(f"--init_from '{name}' is a model of {about['script']} {about['preset']}, this run trains "
                         f"{script} {preset}: give one of the same preset")
    return folder


def take(model, folder: str) -> None:
    """Puts the weights of such a folder into a model.

    Raises:
      DataError: they do not fit exactly, or are broken.
    """
    weights.assign(model, weights.read_arrays(folder) if _is_model(folder) else _arrays_of_run(folder))


def _arrays_of_run(folder: str) -> dict[str, np.ndarray]:
    """By way of another model: one that a checkpoint was restored to gives its next optimizer the old one's moments."""
    _, model = checkpoints.restore_model(folder)
    return {name: v.numpy() for name, v in weights.named_variables(model).items()}


def _is_model(folder: str) -> bool:
    return os.path.isfile(os.path.join(folder, resources.MODEL))
