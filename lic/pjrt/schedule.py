"""The learning rate of a step, on the host: the same numbers as `lic.training.Schedule`, without TensorFlow."""

from __future__ import annotations

import math

SCHEDULES = ("drop", "cosine", "constant")


def learning_rate(step: int, total: int, *, rate: float, schedule: str, warmup: int) -> float:
    """Of a step, counted from 0, in a run of `total` steps, after one of SCHEDULES."""
    return rate * _factor(schedule, step, max(1, total)) * min((step + 1) / max(1, warmup), 1.0)


def _factor(schedule: str, step: int, total: int) -> float:
    if schedule == "cosine":
        return 0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * min(step / total, 1.0)))
    if schedule == "drop":
        return 1.0 if step < 0.9 * total else 0.1
    return 1.0
