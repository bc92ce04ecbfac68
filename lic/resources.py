"""Where models lie: the bundled ones in `res/` of a checkout or inside the installed package, others where one says.

Nothing heavy is imported here: that there is no model is said before TensorFlow comes up.
"""

from __future__ import annotations

import json
import os

import config
from lic.errors import DataError
from lic.files import shown

MODEL, RUN, SAVED_MODEL = "model.json", "run.json", "saved_model.pb"   # each marks a kind of folder
SAVED_EXTRA = "assets.extra"   # the folder of a SavedModel that holds what is ours
SAVED_ABOUT = os.path.join(SAVED_EXTRA, MODEL)
_HERE = os.path.dirname(os.path.abspath(__file__))
_ROOTS = (os.path.join(_HERE, "res"), os.path.join(os.path.dirname(_HERE), "res"))
_FOLDERS = tuple(os.path.join(root, "weights") for root in _ROOTS)


def locate(name: str) -> str:
    """The folder that a script's name (its bundled model) or the path of a model stands for.

    Raises:
      DataError: it is not there, or holds no model.
    """
    if name in config.PRESETS:
        return bundled(name)
    if not os.path.isdir(name):
        raise DataError(f"no model in '{shown(name)}': there is no such folder")
    if not any(os.path.isfile(os.path.join(name, mark)) for mark in (MODEL, RUN, SAVED_MODEL)):
        raise DataError(f"no model in '{shown(name)}': it has no {MODEL}, {RUN} or {SAVED_MODEL}")
    return name


def from_anywhere(name: str) -> str:
    """The same name as another folder has to say it: a script's as it is, a path absolute."""
    return name if name in config.PRESETS else os.path.abspath(name)


def bundled(script: str) -> str:
    """The folder of a script's bundled model.

    Raises:
      DataError: it is not there.
    """
    for folder in _FOLDERS:
        path = os.path.join(folder, f"{script}-nano")
        if os.path.isfile(os.path.join(path, MODEL)):
            return path
    raise DataError(f"the bundled model of {script} is missing: install again, or give the folder of a model")


def path(*parts: str) -> str:
    """The path of a file under `res/`.

    Raises:
      DataError: it is not there.
    """
    for root in _ROOTS:
        if os.path.isfile(os.path.join(root, *parts)):
            return os.path.join(root, *parts)
    raise DataError(f"{'/'.join(parts)} is missing: install again")


def find(weights_id: bytes) -> str | None:
    """The folder of the bundled model with this weights id, or None."""
    for root in filter(os.path.isdir, _FOLDERS):
        for name in sorted(os.listdir(root)):
            try:
                with open(os.path.join(root, name, MODEL), encoding="utf-8") as file:
                    if json.load(file).get("weights_id") == weights_id.hex():
                        return os.path.join(root, name)
            except (OSError, ValueError, AttributeError):
                continue
    return None
