"""From the name of a script to its model, so that nothing under `lic` has to import a paper."""

from __future__ import annotations

import importlib

import config
from lic.bitstream import Header
from lic.errors import UsageError


def preset(script: str, name: str | None = None) -> config.Preset:
    """A script's preset; its paper's default where no name is given. NAME-variable is NAME with many rates.

    Raises:
      UsageError: there is no such script, or it has no such preset.
    """
    if script not in config.PRESETS:
        raise UsageError(f"there is no model '{script}': choose from {', '.join(config.PRESETS)}")
    if name is None:
        return config.default_preset(script)
    try:
        plain = config.PRESETS[script][name.removesuffix(config.VARIABLE)]
    except KeyError:
        raise UsageError(f"{script} has no preset '{name}': choose from {', '.join(config.PRESETS[script])}, each also "
                         f"with {config.VARIABLE} at its end") from None
    return config.variable(plain) if name.endswith(config.VARIABLE) else plain


def maker_of(header: Header) -> tuple[str, str] | None:
    """The names of script and preset that a file's header stands for; None where this version does not know them."""
    known = config.by_code(header.model_code)
    return known and (known[0], config.variable(known[1]).name if header.quality else known[1].name)


def build(script: str, preset: config.Preset, **kwargs):
    """The model of a preset with fresh weights; keyword arguments as of `lic.model.LatentCodec`."""
    model = importlib.import_module(script).Model(preset, **kwargs)
    model.build_weights()
    return model
