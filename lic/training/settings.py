"""What of `config.Training` makes no sense, told before anything is built."""

from __future__ import annotations

import math

import config
from lic.errors import UsageError


def check(settings: config.Training) -> None:
    """Raises UsageError for the first value that can't be meant."""
    for name in ("epochs", "steps_per_epoch", "batchsize", "patchsize", "preprocess_threads"):
        if getattr(settings, name) < 1:
            raise UsageError(f"--{name} must be at least 1")
    for name, flag in (("lmbda", "lambda"), ("learning_rate", "learning_rate")):
        if not (getattr(settings, name) > 0 and math.isfinite(getattr(settings, name))):
            raise UsageError(f"--{flag} must be a positive number")
    for name in ("warmup_steps", "clip_norm"):
        if not (getattr(settings, name) >= 0 and math.isfinite(getattr(settings, name))):
            raise UsageError(f"--{name} must be 0 or a positive number")
    if not 0 <= settings.ema < 1:
        raise UsageError("--ema must be at least 0 and less than 1")
    if not 0 <= settings.seed < 2 ** 32:
        raise UsageError("--seed must be a number from 0 to 4294967295")
    _check_choice("lr_schedule", settings.lr_schedule, ("drop", "cosine", "constant"))
    _check_choice("precision_policy", settings.precision_policy, config.CHOICES["precision_policy"])


def _check_choice(name: str, value: str, allowed: tuple[str, ...]) -> None:
    if value not in allowed:
        raise UsageError(f"--{name} '{value}' is not one of {', '.join(allowed)}")
