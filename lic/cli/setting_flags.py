"""Settings as flags: one for each field of a dataclass of `config`, and the dataclass again out of what was parsed."""

from __future__ import annotations

import argparse
import dataclasses
from collections.abc import Mapping

import config


def add(parser, settings, names: Mapping[str, str] | None = None, suppress: bool = False) -> None:
    """A flag for each field of a settings dataclass.

    Args:
      parser: or a group of its flags.
      names: of the flags that are called otherwise than their fields.
      suppress: whether a flag that is not given leaves no default.
    """
    for field in dataclasses.fields(settings):
        name = (names or {}).get(field.name, field.name)
        default = argparse.SUPPRESS if suppress else field.default
        parser.add_argument(f"--{name}", dest=field.name, default=default, **_kind(field, name))


def _kind(field: dataclasses.Field, name: str) -> dict:
    """What argparse has to know of a field, besides its names and default."""
    text = field.metadata["help"]
    if isinstance(field.default, bool):
        return {"action": "store_true", "help": text}
    default_note = "" if field.default in ("", None) else f" (default: {field.default})"
    return {"type": type(field.default), "choices": config.CHOICES.get(field.name), "help": text + default_note,
            "metavar": None if field.name in config.CHOICES else name.upper()}


def read(settings, arguments: argparse.Namespace):
    """A settings dataclass out of the parsed arguments."""
    return settings(**{f.name: getattr(arguments, f.name) for f in dataclasses.fields(settings)})
