"""From the name of a script to its model, so that nothing under `lic` has to import a paper."""

from __future__ import annotations

import importlib

import config
from lic.errors import UsageError


def preset(script: str, name: str | None = None) -> config.Preset:
    """A script's preset; its paper's default where no name is given.

    Raises:
      UsageError: there is no such script, or it has no such preset.
    """
    if script not in config.PRESETS:
        raise UsageError(f"there is no model '{script}': choose from {', '.join(config.PRESETS)}")
    if name is None:
        return config.default_preset(script)
    try:
        return config.PRESETS[script][name]
    except KeyError:
        raise UsageError(f"{script} has no preset '{name}': choose from "
                         f"{', '.join(config.PRESETS[script])}") from None


def build(script: str, preset: config.Preset, **kwargs):
    """The model of a preset with fresh weights; keyword arguments as of `lic.model.LatentCodec`."""
    model = importlib.import_module(script).Model(preset, **kwargs)
    model.build_weights()
    return model
