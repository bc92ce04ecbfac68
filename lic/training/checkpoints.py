"""Everything that a run's future hangs on, in files; and a model out of them."""

from __future__ import annotations

import os

import tensorflow as tf

from lic import registry, step_state
from lic.errors import DataError
from lic.op_errors import reason_of
from lic.training import folder as folders
from lic.training.averaging import Average

FOLDER = "checkpoints"


def stands_in(folder: str) -> bool:
    """Whether a run stands in a folder to go on from: a checkpoint, or what JAX left."""
    latest = tf.train.latest_checkpoint(os.path.join(folder, FOLDER))
    return latest is not None or step_state.further(folder, None) is not None


class Checkpoints:
    """The last two checkpoints of a run: model, optimizer, average and the number of steps.

    Args:
      folder: where they lie.
      model: compiled, with all variables of its optimizer.
      average: of its weights.
      steps: the number of steps done, an int64 variable.
    """

    def __init__(self, folder: str, model, average: Average, steps: tf.Variable):
        self.folder = folder
        self._state = step_state.variables(model, average, steps)
        self._checkpoint = tf.train.Checkpoint(model=model, optimizer=model.optimizer, steps=steps,
                                               average=average.variables)
        self._manager = tf.train.CheckpointManager(self._checkpoint, folder, max_to_keep=2)

    @property
    def latest(self) -> str | None:
        """The last one, without the endings of its files."""
        return self._manager.latest_checkpoint

    def restore(self) -> bool:
        """Takes everything from the last one, or from where JAX went on; returns whether there is one.

        Raises:
          DataError: it belongs to other settings, or is damaged.
        """
        further = step_state.further(os.path.dirname(self.folder), self.latest)
        if further:
            step_state.restore(further, self._state)
            return True
        if self.latest is None:
            return False
        try:
            self._checkpoint.restore(self.latest).assert_existing_objects_matched()
        except (AssertionError, ValueError, tf.errors.OpError):
            raise DataError(f"checkpoint '{self.latest}' does not fit this run (another preset, another --ema, or "
                            "damaged): give another --train_path") from None
        return True

    def save(self) -> None:
        """Writes one; those before it stay until it is whole.

        Raises:
          DataError: it can't be written.
        """
        try:
            self._manager.save()
        except tf.errors.OpError as error:
            raise DataError(f"a checkpoint can't be written to '{self.folder}': {reason_of(error)}") from None


def restore_model(folder: str, **kwargs):
    """(script, frozen model) of a run's last checkpoint, also of one that was interrupted.

    Raises:
      DataError: there is no run or no checkpoint.
    """
    run = folders.read(folder)
    if run is None:
        raise DataError(f"no model in '{folder}': it has neither model.json nor run.json")
    latest = tf.train.latest_checkpoint(os.path.join(folder, FOLDER))
    further = step_state.further(folder, latest)
    if latest is None and further is None:
        raise DataError(f"the run in '{folder}' has no checkpoint yet")
    model = registry.build(run["script"], registry.preset(run["script"], run["preset"]), **kwargs)
    if further:
        step_state.restore_model(further, model)
    else:
        _restore_weights(model, latest)
    model.freeze()
    return run["script"], model


def _restore_weights(model, checkpoint: str) -> None:
    """A model's weights out of a checkpoint; the averages, where it has them."""
    try:
        averaged = any(name.startswith("average/") for name, _ in tf.train.list_variables(checkpoint))
        averages = [tf.Variable(v) for v in model.trainable_variables] if averaged else []
        status = tf.train.Checkpoint(model=model, average=averages).restore(checkpoint).expect_partial()
        status.assert_existing_objects_matched()
    except (AssertionError, ValueError, tf.errors.OpError):
        raise DataError(f"checkpoint '{checkpoint}' is damaged, or of another version") from None
    for mean, v in zip(averages, model.trainable_variables):
        v.assign(mean)
