"""Where the bundled models lie: in `res/` of a checkout, or inside the installed package."""

from __future__ import annotations

import json
import os

from lic.errors import DataError

_HERE = os.path.dirname(os.path.abspath(__file__))
_FOLDERS = (os.path.join(_HERE, "res", "weights"), os.path.join(os.path.dirname(_HERE), "res", "weights"))


def bundled(script: str) -> str:
    """The folder of a script's bundled model.

    Raises:
      DataError: it is not there.
    """
    for folder in _FOLDERS:
        path = os.path.join(folder, f"{script}-nano")
        if os.path.isfile(os.path.join(path, "model.json")):
            return path
    raise DataError(f"the bundled model of {script} is missing: install again, or give --model_path")


def find(weights_id: bytes) -> str | None:
    """The folder of the bundled model with this weights id, or None."""
    for root in filter(os.path.isdir, _FOLDERS):
        for name in sorted(os.listdir(root)):
            try:
                with open(os.path.join(root, name, "model.json"), encoding="utf-8") as file:
                    if json.load(file).get("weights_id") == weights_id.hex():
                        return os.path.join(root, name)
            except (OSError, ValueError):
                continue
    return None
