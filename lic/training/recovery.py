"""What happens when a loss or a weight is no number any more."""

from __future__ import annotations

import tensorflow as tf

from lic.errors import DataError
from lic.training import reports
from lic.training.checkpoints import Checkpoints
from lic.training.folder import Folder

_SLOWDOWN = 0.1


class NotFinite(Exception):
    """Names the figure that is infinite or no number."""


class Recovery:
    """Back to the last good checkpoint, and on with a tenth of the learning rate; once in a run, however often resumed.

    Args:
      folder: the run's, which remembers it.
      checkpoints: of the run.
      slowdown: the variable by which the schedule is multiplied.
    """

    def __init__(self, folder: Folder, checkpoints: Checkpoints, slowdown: tf.Variable):
        self._folder, self._checkpoints, self._slowdown = folder, checkpoints, slowdown
        if folder.slowed:
            slowdown.assign(_SLOWDOWN)

    def go_back(self, broken: NotFinite, step: int) -> None:
        """Restores the last checkpoint.

        Raises:
          DataError: there is none, or it was of no avail before.
        """
        what, last = f"{broken} is not a finite number at step {step}", self._checkpoints.latest
        if last is None or self._folder.slowed:
            again = ", again at a tenth of the learning rate" if self._folder.slowed else ""
            raise DataError(f"{what}{again}: try a lower --learning_rate or --clip_norm "
                            f"({'the last good checkpoint is ' + last if last else 'no checkpoint yet'})")
        self._checkpoints.restore()
        self._folder.slowed = True
        self._folder.claim()
        self._slowdown.assign(_SLOWDOWN)
        reports.say(f"{what}: back to '{last}', and on with a tenth of the learning rate")
