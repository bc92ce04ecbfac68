"""A PyTorch checkpoint becomes a model folder of ours: recognised, fitted, with range-coding tables, saved.

What is left of a checkpoint are its weights: CompressAI's own tables are not needed and not looked at.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping

import numpy as np

from config import Preset
from lic import drafts, files, registry, torch_names, weights
from lic.errors import DataError, UsageError
from lic.torch_names import Misfit

FEW = 0.05   # arrays that do not fit among all: the sizes are right, and no other preset is tried


def model_of(script: str, state_dict: Mapping[str, np.ndarray]):
    """The model of a script that has the weights of a state dict (names -> arrays), ready to code.

    Raises:
      UsageError: the weights belong to another script. DataError: they are of no known model.
      Misfit: some of them do not fit into the model that the others come closest to.
    """
    theirs = torch_names.script_of(state_dict)
    if theirs != script:
        raise UsageError(f"these look like weights of {theirs}: use python {theirs}.py convert")
    model = _fitted(script, state_dict)
    model.freeze()
    return model


def _fitted(script: str, state_dict):
    """The model that the state dict's sizes say; where something is wrong with them, one preset after another."""
    misfits: list[Misfit] = []
    for preset in _candidates(script, state_dict):
        try:
            model = registry.build(script, preset)
            torch_names.load(model, state_dict)
            return model
        except Misfit as error:
            misfits.append(error)
            if len(error.findings) <= FEW * len(state_dict):
                break
        except DataError:  # sizes that do not go together
            continue
    raise _closest(misfits, state_dict)


def _candidates(script: str, state_dict) -> Iterator[Preset]:
    with contextlib.suppress(DataError):
        yield torch_names.preset_of(state_dict)[1]
    yield from torch_names.pytorch_presets(script)


def _closest(misfits: list[Misfit], state_dict) -> DataError:
    best = min(misfits, key=lambda misfit: len(misfit.findings))
    return best if len(best.findings) <= len(state_dict) / 2 else DataError(torch_names.UNKNOWN)


def save(model, script: str, folder: str, converted_from: dict) -> bytes:
    """Writes the model folder, which appears only when it is whole, and returns the weights id.

    Args:
      converted_from: what model.json says of the checkpoint.
    Raises:
      UsageError: the folder exists and is not empty. DataError: it can't be written.
    """
    try:
        files.require_new_folder(folder)
        with drafts.folder(folder) as draft:
            return weights.save(model, script, draft, converted_from=converted_from)
    except OSError as error:
        raise DataError(f"'{files.shown(folder)}' can't be written: {error.strerror}") from None
