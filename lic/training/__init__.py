"""Training from pictures: checkpoints, resuming, schedules, TensorBoard.

A run lives in `train_path`: checkpoints, logs, and `run.json` with what it trains. Started again, it goes on from its
last checkpoint with the same step, optimizer state, schedule, patches and noise: every random choice after the first
weights is a function of the seed and the step.
"""

from __future__ import annotations

from lic.interrupts import Interrupted
from lic.training.averaging import Average
from lic.training.checkpoints import restore_model, saved_model
from lic.training.noise import noise_from
from lic.training.optimizer import optimizer_of
from lic.training.run import Run
from lic.training.schedules import Schedule
from lic.training.validation import Validation

__all__ = ["Average", "Interrupted", "Run", "Schedule", "Validation", "noise_from", "optimizer_of", "restore_model",
           "saved_model"]
