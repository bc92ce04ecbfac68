"""Weights to begin with, instead of random ones: those of another model, or a linear transform."""

from __future__ import annotations

import os

import numpy as np

import config
from lic import resources, weights
from lic.data import Source
from lic.errors import DataError, UsageError
from lic.model import LATENT_STRIDE
from lic.training import checkpoints
from lic.training import folder as folders

_PIXELS = 1 << 23   # so many give components that more would not change


def begins_with(settings: config.Training, script: str, preset: str) -> str | None:
    """The folder of the weights that a run begins with; None for random ones, and where one goes on with its own.

    Raises:
      DataError, UsageError: as of `locate`.
    """
    if not settings.init_from or checkpoints.stands_in(settings.train_path):
        return None
    return locate(settings.init_from, script, preset)


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


def make_linear(model, lmbda: float, source: Source) -> None:
    """Makes a model begin as the principal components of some of its training patches (`lic.principal`)."""
    batches = source.batches(0)
    patches: list[np.ndarray] = []
    for batch in batches:
        patches.extend(batch.numpy().astype(np.float32) / 255)
        if len(patches) * patches[0][..., 0].size >= _PIXELS:
            break
    side = patches[0].shape[0] // LATENT_STRIDE * LATENT_STRIDE
    if model.gains:
        lmbda = model.gains.middle
    model.start_linear(np.stack(patches)[:, :side, :side], lmbda)


def _arrays_of_run(folder: str) -> dict[str, np.ndarray]:
    """By way of another model: one that a checkpoint was restored to gives its next optimizer the old one's moments."""
    _, model = checkpoints.restore_model(folder)
    return {name: v.numpy() for name, v in weights.named_variables(model).items()}


def _is_model(folder: str) -> bool:
    return os.path.isfile(os.path.join(folder, resources.MODEL))
