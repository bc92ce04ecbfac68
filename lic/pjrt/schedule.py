"""The learning rate of a step, on the host: what `lic.training.Schedule` gives, without TensorFlow."""

from __future__ import annotations

import math

SCHEDULES = ("drop", "multistep", "cosine", "constant")


def learning_rate(step: int, total: int, *, rate: float, schedule: str, warmup: int, drops: tuple[float, ...],
                  elapsed: float = 0.0) -> float:
    """Of a step, counted from 0, in a run of `total` steps.

    Args:
      schedule: one of SCHEDULES.
      drops: the fractions of the run at which it falls to a tenth.
      elapsed: the part of its time that is gone; the run is as far as its steps or its time is, whichever is more.
    """
    progress = max(step / max(1, total), elapsed)
    if schedule == "cosine":
        factor = 0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * min(progress, 1.0)))
    else:
        factor = 0.1 ** sum(progress >= fraction for fraction in drops)
    return rate * factor * min((step + 1) / max(1, warmup), 1.0)
