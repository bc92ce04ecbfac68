"""All that the future of a training run hangs on, as arrays by name: what TensorFlow and JAX hand each other.

`state.npz` in the folder of a run holds it: "weights/...", Adam's moments "adam_m/..." and "adam_v/...", the moving
averages "average/...", and the counts "adam_steps" and "steps". `train --export_step` writes it, `lic.pjrt_train` goes
on from it and writes it again, and a run in the same folder begins with it where it is further than its checkpoints.
"""

from __future__ import annotations

import os

import numpy as np
import tensorflow as tf

from lic import weights
from lic.errors import DataError
from lic.pjrt.folder import STATE, write_state


def variables(model, average, steps: tf.Variable) -> dict[str, tf.Variable]:
    """The variables of a compiled model, of its average (`lic.training.Average`) and the count of steps, by name."""
    named = weights.named_variables(model)
    names = {v.ref(): name for name, v in named.items()}
    trained = [names[v.ref()] for v in model.trainable_variables]
    optimizer = model.optimizer
    moments = {f"adam_{slot}/{name}": optimizer.get_slot(named[name], slot) for slot in "mv" for name in trained}
    averages = {f"average/{names[v.ref()]}": mean for mean, v in average.pairs}
    scalars = {"adam_beta_1": optimizer.beta_1, "adam_beta_2": optimizer.beta_2, "adam_steps": optimizer.iterations,
               "steps": steps}
    return {**{f"weights/{name}": v for name, v in named.items()}, **moments, **averages, **scalars}


def write(folder: str, state: dict[str, tf.Variable]) -> None:
    """Writes the variables' values to its state.npz; no pickle."""
    write_state(folder, {name: v.numpy() for name, v in state.items()}, np.savez_compressed)


def further(folder: str, checkpoint: str | None) -> str | None:
    """The folder's state.npz where it is further than the last checkpoint of TensorFlow, else None."""
    path = os.path.join(folder, STATE)
    if not os.path.isfile(path):
        return None
    return path if checkpoint is None or steps_of(path) > steps_of_checkpoint(checkpoint) else None


def steps_of(path: str) -> int:
    """How far a state.npz is."""
    return int(_arrays(path, ["steps"])["steps"])


def steps_of_checkpoint(checkpoint: str) -> int:
    """How far a checkpoint of TensorFlow is.

    Raises:
      DataError: it is damaged.
    """
    try:
        return int(tf.train.load_checkpoint(checkpoint).get_tensor("steps/.ATTRIBUTES/VARIABLE_VALUE"))
    except (ValueError, IndexError, tf.errors.OpError):
        raise DataError(f"checkpoint '{checkpoint}' is damaged, or of another version") from None


def restore(path: str, state: dict[str, tf.Variable]) -> None:
    """Puts what a state.npz holds into variables.

    Raises:
      DataError: it is broken, or lacks one of them, or has one of another shape.
    """
    arrays = _arrays(path, list(state))
    odd = [name for name, v in state.items() if arrays[name].shape != tuple(v.shape)]
    if odd:
        raise DataError(f"'{path}' does not fit: {len(odd)} arrays differ in shape, e.g. {odd[0]}")
    for name, v in state.items():
        v.assign(arrays[name].astype(v.dtype.as_numpy_dtype))


def _arrays(path: str, names: list[str]) -> dict[str, np.ndarray]:
    try:
        with np.load(path, allow_pickle=False) as stored:
            lacking = sorted(set(names) - set(stored.files))
            if not lacking:
                return {name: stored[name] for name in names}
    except Exception:  # numpy, zipfile and zlib each have their own
        raise DataError(f"'{path}' can't be read as the state of a run") from None
    raise DataError(f"'{path}' does not fit this run (other --preset or --ema): it lacks {len(lacking)} arrays, e.g. "
                    f"{lacking[0]}")


def restore_model(path: str, model) -> None:
    """The same for a model alone: its averaged weights, if there are any."""
    named = weights.named_variables(model)
    restore(path, {f"weights/{name}": v for name, v in named.items()})
    with np.load(path, allow_pickle=False) as stored:
        averaged = {f"average/{name}": v for name, v in named.items() if f"average/{name}" in stored.files}
    restore(path, averaged)
