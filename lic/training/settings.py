"""What of `config.Training` makes no sense, told before anything is built."""

from __future__ import annotations

import math

import config
from lic import registry
from lic.drops import drops_of
from lic.errors import UsageError
from lic.metrics import MS_SSIM_MIN_SIDE
from lic.model import LatentCodec

_LARGEST = {"epochs": 2 ** 31 - 1, "steps_per_epoch": 2 ** 31 - 1, "batchsize": 2 ** 20, "patchsize": 2 ** 14,
            "preprocess_threads": 1024}   # what TensorFlow counts, or anybody can mean


def check(script: str, preset: config.Preset, settings: config.Training, runtime: config.Runtime) -> None:
    """Raises UsageError for the first value that can't be meant, or does not go with what is trained."""
    _check_values(settings, runtime)
    check_preset(registry.model_class(script), preset, settings)


def _check_values(settings: config.Training, runtime: config.Runtime) -> None:
    if not settings.train_path:
        raise UsageError("--train_path is empty: name the folder of the run")
    for name, most in _LARGEST.items():
        if not 1 <= getattr(settings, name) <= most:
            raise UsageError(f"--{name} must be at least 1 and at most {most}")
    for name, flag in (("lmbda", "lambda"), ("learning_rate", "learning_rate")):
        if not (getattr(settings, name) > 0 and math.isfinite(getattr(settings, name))):
            raise UsageError(f"--{flag} must be a positive number")
    if settings.warmup_steps > _LARGEST["steps_per_epoch"]:
        raise UsageError(f"--warmup_steps must be at most {_LARGEST['steps_per_epoch']}")
    for name in ("warmup_steps", "clip_norm", "minutes"):
        if not (getattr(settings, name) >= 0 and math.isfinite(getattr(settings, name))):
            raise UsageError(f"--{name} must be 0 or a positive number")
    if not 0 <= settings.ema < 1:
        raise UsageError("--ema must be at least 0 and less than 1")
    if not 0 <= settings.seed < 2 ** 32:
        raise UsageError("--seed must be a number from 0 to 4294967295")
    for name in ("distortion", "lr_schedule", "precision_policy"):
        if getattr(settings, name) not in config.CHOICES[name]:
            raise UsageError(f"--{name} '{getattr(settings, name)}' is not one of {', '.join(config.CHOICES[name])}")
    drops_of(settings.lr_schedule, settings.lr_steps)
    if settings.distortion == "ms-ssim":
        _check_ms_ssim(settings, runtime)


def check_preset(model_class: type[LatentCodec], preset: config.Preset, settings: config.Training) -> None:
    """Raises UsageError for a setting that does not go with what is trained."""
    if preset.lambdas and settings.lmbda != config.Training.lmbda:
        raise UsageError(f"'{preset.name}' learns lambdas from {preset.lambdas[0]:g} to {preset.lambdas[-1]:g}: "
                         "--lambda goes with presets of one rate")
    if preset.lambdas and settings.distortion != "mse":
        raise UsageError(f"'{preset.name}' learns lambdas of the MSE: --distortion {settings.distortion} goes with "
                         "presets of one rate")
    if settings.linear_start and not model_class.can_start_linear(preset):
        raise UsageError(f"--linear_start does not go with '{preset.name}', whose resampling normalises")
    if settings.linear_start and settings.init_from:
        raise UsageError("--linear_start and --init_from are two ways to begin: give one")


def _check_ms_ssim(settings: config.Training, runtime: config.Runtime) -> None:
    if settings.patchsize < MS_SSIM_MIN_SIDE:
        raise UsageError(f"--distortion ms-ssim needs a --patchsize of at least {MS_SSIM_MIN_SIDE}: its window of 11 "
                         "pixels has to fit into the fifth scale")
    if runtime.tf32:
        raise UsageError("--distortion ms-ssim takes differences of squares, for which --tf32 is too coarse")
