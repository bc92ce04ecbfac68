"""A PyTorch checkpoint becomes a model folder of ours: recognised, fitted, with range-coding tables, saved.

What is left of a checkpoint are its weights: CompressAI's own tables are not needed and not looked at.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping

import numpy as np

from config import Preset
from lic import drafts, files, graph_storing, registry, torch_names, weights
from lic.errors import DataError, UsageError
from lic.torch_names import Misfit

NEAR = 3   # fields in which a preset may differ from the sizes that one wrong array gave


def model_of(script: str, state_dict: Mapping[str, np.ndarray]):
    """The model of a script that has the weights of a state dict (names -> arrays), ready to code.

    Raises:
      UsageError: the weights belong to another script. DataError: they are of no known model.
      Misfit: some of them do not fit into the model that the others come closest to.
    """
    theirs = torch_names.script_of(state_dict)
    if theirs != script:
        raise UsageError(f"these look like weights of {theirs}: use python {theirs}.py convert")
    found = None
    try:
        found = torch_names.preset_of(state_dict)[1]
        model = _filled(script, found, state_dict)
    except DataError as error:
        raise _reason(error, script, found, state_dict) from None
    model.freeze()
    return model


def _filled(script: str, preset: Preset, state_dict):
    model = registry.build(script, preset)
    torch_names.load(model, state_dict)
    return model


def _reason(error: DataError, script: str, found: Preset | None, state_dict) -> DataError:
    """The error of the sizes that were found, or that of a named preset which more of the weights fit."""
    errors = [error]
    for preset in _neighbours(script, found):
        try:
            _filled(script, preset, state_dict)
        except Misfit as misfit:
            errors.append(misfit)
    best = min(errors, key=_count)
    if _count(best) <= len(state_dict) / 2:
        return best
    return DataError(torch_names.UNKNOWN) if isinstance(error, Misfit) else error


def _neighbours(script: str, found: Preset | None) -> list[Preset]:
    """The named presets that a few arrays of wrong sizes, or without one, keep from being found."""
    presets = torch_names.pytorch_presets(script)
    if found is None:
        return presets
    if registry.is_named(script, found):
        return []
    fields = [f.name for f in dataclasses.fields(found) if f.compare and f.name not in ("name", "code")]
    return [p for p in presets if sum(getattr(p, name) != getattr(found, name) for name in fields) <= NEAR]


def _count(error: DataError) -> float:
    return len(error.findings) if isinstance(error, Misfit) else math.inf


def save(model, script: str, folder: str, converted_from: dict) -> bytes:
    """Writes the model folder, which appears only when it is whole, and returns the weights id.

    Args:
      converted_from: what model.json says of the checkpoint.
    Raises:
      DataError: it can't be written, or something stands there already.
    """
    try:
        with drafts.folder(folder) as draft:
            identity = weights.save(model, script, draft, converted_from=converted_from)
            graph_storing.save(draft)
            return identity
    except OSError as error:
        raise DataError(f"'{files.shown(folder)}' can't be written: {error.strerror}") from None
