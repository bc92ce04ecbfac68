"""Everything that a run's future hangs on, in files; and a model out of them."""

from __future__ import annotations

import os
import re

import tensorflow as tf

from lic import registry, step_state, weights
from lic.errors import DataError
from lic.op_errors import reason_of
from lic.training import folder as folders
from lic.training import reports
from lic.training.averaging import Average

FOLDER = "checkpoints"
_INDEX = re.compile(r"(ckpt-(\d+))\.index")
_DAMAGED = (AssertionError, ValueError, IndexError, tf.errors.OpError)   # what TensorFlow says of damaged ones


def found(folder: str) -> list[str]:
    """The checkpoints in a folder, without the endings of their files, the last one first.

    By their names: TensorFlow's own list of them may be damaged with the last.
    """
    matches = filter(None, map(_INDEX.fullmatch, os.listdir(folder) if os.path.isdir(folder) else ()))
    return [os.path.join(folder, match[1]) for match in sorted(matches, key=lambda match: -int(match[2]))]


def stands_in(folder: str) -> bool:
    """Whether a run stands in a folder to go on from: a checkpoint, or what JAX left."""
    return bool(found(os.path.join(folder, FOLDER))) or step_state.further(folder, None) is not None


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
        self._manager = self._managed()

    def _managed(self) -> tf.train.CheckpointManager:
        try:
            return tf.train.CheckpointManager(self._checkpoint, self.folder, max_to_keep=2)
        except _DAMAGED:   # its list; made anew out of what is there
            os.unlink(os.path.join(self.folder, "checkpoint"))
            if there := found(self.folder):
                tf.compat.v1.train.update_checkpoint_state(self.folder, there[0], there[::-1])
            return tf.train.CheckpointManager(self._checkpoint, self.folder, max_to_keep=2)

    @property
    def latest(self) -> str | None:
        """The last one, without the endings of its files."""
        return self._manager.latest_checkpoint

    def restore(self) -> bool:
        """Takes everything from the last one, or from where JAX went on; returns whether there is one.

        Raises:
          DataError: it belongs to other settings, or is damaged.
        """
        there = found(self.folder)
        further = step_state.further(os.path.dirname(self.folder), there[0] if there else None)
        if further:
            step_state.restore(further, self._state)
            return True
        for checkpoint in there:
            if self._restored(checkpoint):
                if checkpoint != there[0]:
                    reports.say(f"checkpoint '{there[0]}' is damaged: '{checkpoint}' is taken")
                return True
        if there:
            raise DataError(f"checkpoint '{there[0]}' does not fit this run (another preset, another --ema, or "
                            "damaged): give another --train_path")
        return False

    def _restored(self, checkpoint: str) -> bool:
        """Whether everything could be taken from one."""
        try:
            self._checkpoint.restore(checkpoint).assert_existing_objects_matched()
        except _DAMAGED:
            return False
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


def saved_model(folder: str) -> str | None:
    """The folder of the model that a run saved, with tables of what it rounds; None where it saved none, or went on."""
    run = folders.read(folder)
    if run is None:
        return None
    place = folders.place_of_model(folder, str(run["settings"].get("model_path", "")))
    try:
        about = weights.describe(place)
        is_last = (about.get("run"), about.get("steps")) == (run.get("identity", ""), _steps(folder))
    except DataError:   # no model, or a damaged checkpoint
        return None
    return place if is_last else None


def _steps(folder: str) -> int | None:
    """How far the run in a folder is."""
    there = found(os.path.join(folder, FOLDER))
    further = step_state.further(folder, there[0] if there else None)
    if further:
        return step_state.steps_of(further)
    return step_state.steps_of_checkpoint(there[0]) if there else None


def restore_model(folder: str, **kwargs):
    """(script, frozen model) of a run's last checkpoint, also of one that was interrupted.

    Raises:
      DataError: there is no run or no checkpoint.
    """
    run = folders.read(folder)
    if run is None:
        raise DataError(f"no model in '{folder}': it has neither model.json nor run.json")
    there = found(os.path.join(folder, FOLDER))
    further = step_state.further(folder, there[0] if there else None)
    if not there and further is None:
        raise DataError(f"the run in '{folder}' has no checkpoint yet")
    model = registry.build(run["script"], registry.preset(run["script"], run["preset"]), **kwargs)
    if further:
        step_state.restore_model(further, model)
    else:
        _restore_weights(model, there)
    model.freeze()
    return run["script"], model


def _restore_weights(model, there: list[str]) -> None:
    """A model's weights out of the first checkpoint that is whole; the averages, where it has them."""
    for checkpoint in there:
        try:
            averages = _averages(model, checkpoint)
            status = tf.train.Checkpoint(model=model, average=averages).restore(checkpoint).expect_partial()
            status.assert_existing_objects_matched()
        except _DAMAGED:
            continue
        for mean, v in zip(averages, model.trainable_variables):
            v.assign(mean)
        return
    raise DataError(f"checkpoint '{there[0]}' is damaged, or of another version")


def _averages(model, checkpoint: str) -> list[tf.Variable]:
    """Variables for the averages that a checkpoint may have of the weights."""
    averaged = any(name.startswith("average/") for name, _ in tf.train.list_variables(checkpoint))
    return [tf.Variable(v) for v in model.trainable_variables] if averaged else []
