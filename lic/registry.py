"""From the name of a script to its model, so that nothing under `lic` has to import a paper."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from typing import Any

import config
from lic.bitstream import Header
from lic.errors import DataError, UsageError


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


def maker_in_words(header: Header) -> str:
    """The same, as an error's line has it."""
    return " ".join(maker_of(header) or ("an unknown script",))


def describe(script: str, preset: config.Preset) -> dict:
    """What a model.json says of an architecture: its name, and all of it where that alone would not do."""
    named: dict[str, Any] = {"script": script, "preset": preset.name}
    return named if is_named(script, preset) else {**named, "architecture": config.as_dict(preset)}


def is_named(script: str, preset: config.Preset) -> bool:
    """Whether it is one of `config`, not one that a checkpoint's sizes gave."""
    plain = config.PRESETS[script].get(preset.name.removesuffix(config.VARIABLE))
    return plain is not None and preset in (plain, config.variable(plain))


def described(about: Mapping[str, Any]) -> config.Preset:
    """The preset that a model.json names, or describes.

    Raises:
      UsageError: there is no such script or preset. DataError: no model is like this.
    """
    script = about["script"]
    if "architecture" not in about or script not in config.PRESETS:
        return preset(script, about["preset"])
    try:
        return config.from_dict(script, about["architecture"])
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise DataError(f"model.json describes no model of {script}: {error}") from None


def model_class(script: str) -> type:
    """The class of a script's models."""
    return importlib.import_module(script).Model


def build(script: str, preset: config.Preset, **kwargs):
    """The model of a preset with fresh weights; keyword arguments as of `lic.model.LatentCodec`.

    Raises:
      DataError: a preset that is not of `config` has sizes that do not go together.
    """
    try:
        model = model_class(script)(preset, **kwargs)
        model.build_weights()
        return model
    except Exception as error:  # Python, Keras and TensorFlow each have their own
        if is_named(script, preset):
            raise
        raise DataError(f"no model of {script} has these sizes") from error
