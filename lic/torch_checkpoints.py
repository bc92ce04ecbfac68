"""Files that `torch.save` wrote -> names and arrays. PyTorch is an optional extra: pip install '.[convert]'.

No file runs anything: `weights_only=True` reads tensors, numbers, text and containers, and whatever else a file names
(settings of Lightning, numbers of NumPy, paths, ...) becomes a stand-in here, without that name being imported.

Gotchas:
* The arrays look into the file, which has to stay as it is while they are in use.
* `weights_only` had holes: versions before 2.6 run code, those before 2.10 let a file write over memory
  (CVE-2025-32434, CVE-2026-24747).
"""

from __future__ import annotations

import os
import warnings
from collections import OrderedDict
from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from lic import files
from lic.errors import DataError, UsageError

_ZIP = b"PK\3\4"
_BEFORE_1_6 = b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19."   # the magic number of the older format


class Checkpoint(NamedTuple):
    """What is kept of a file: the arrays of its state dict by name, its kind, and the epoch where it says one."""

    state_dict: dict[str, np.ndarray]
    format: str
    epoch: int | None

    def origin(self, path: str) -> dict:
        """What a model.json says of it; of its path the name of the file only."""
        epoch = {} if self.epoch is None else {"epoch": self.epoch}
        return {"file": os.path.basename(path), "format": self.format, **epoch}


class _StandIn:
    """Takes the place of any object: it takes everything that the object would, and keeps nothing."""

    def __init__(self, *_):
        pass

    def __setstate__(self, _):
        pass


class _StandInDict:
    """The same for classes of dictionaries, which PyTorch goes on to fill."""

    def __new__(cls, *_):
        return OrderedDict()


def read(path: str) -> Checkpoint:
    """The weights in a file of `torch.save`: a state dict, or a checkpoint that has one under some name.

    Numbers come as float32, whatever type they have; on which device they were saved does not matter.

    Raises:
      DataError: the file is missing, damaged, or none of these. UsageError: PyTorch is missing or too old.
    """
    files.require_file(path)
    torch = _torch()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return _read(torch, path)
    except MemoryError:
        raise
    except Exception as error:  # PyTorch, zip and pickle each have their own
        raise DataError(f"{files.shown(path)}: {_reason(error)}") from None


def _torch():
    try:
        import torch
    except ImportError:
        raise UsageError("checkpoints are read with PyTorch, which is missing: pip install '.[convert]'") from None
    if not hasattr(torch.serialization, "get_unsafe_globals_in_checkpoint"):
        raise UsageError(f"PyTorch {torch.__version__} reads no checkpoint safely: pip install -U '.[convert]'")
    return torch


def _read(torch, path: str) -> Checkpoint:
    contents = _contents(torch, path)
    state_dict = _state_dict(torch, contents)
    tensors = {str(name): t.detach() for name, t in state_dict.items() if isinstance(t, torch.Tensor)}
    if sum(t.numel() * t.element_size() for t in tensors.values()) > os.path.getsize(path):
        raise DataError("its tensors are said to be larger than the file")
    arrays = {name: t.to(torch.float32).numpy() for name, t in tensors.items()}
    return Checkpoint(arrays, *_kind(contents, state_dict))


def _contents(torch, path: str):
    """All that the file holds, with stand-ins for objects."""
    with open(path, "rb") as file:
        start = file.read(len(_BEFORE_1_6))
    if not start.startswith((_ZIP, _BEFORE_1_6)):
        raise DataError("this is no file of torch.save")
    is_zip = start.startswith(_ZIP)
    strangers = torch.serialization.get_unsafe_globals_in_checkpoint(path) if is_zip else []
    stand_ins = [(_StandInDict if name.lower().endswith("dict") else _StandIn, name) for name in strangers]
    with torch.serialization.safe_globals(stand_ins):
        return torch.load(path, map_location="cpu", weights_only=True, mmap=is_zip)


def _state_dict(torch, contents) -> Mapping:
    """The file itself or what it holds by a name, whichever has more tensors."""
    def count(d):
        return sum(isinstance(t, torch.Tensor) for t in d.values())

    inside = contents.values() if isinstance(contents, Mapping) else ()
    found = max((d for d in (contents, *inside) if isinstance(d, Mapping)), key=count, default={})
    if not count(found):
        raise DataError("it holds no state dict (of a whole module, save its state_dict())")
    return found


def _kind(contents: Mapping, state_dict: Mapping) -> tuple[str, int | None]:
    """The kind of file, and the epoch where it says one."""
    if state_dict is contents:
        return "state dict", None
    epoch = contents.get("epoch")
    lightning = any("lightning_version" in str(name) for name in contents)
    return "Lightning checkpoint" if lightning else "checkpoint", epoch if type(epoch) is int else None


def _reason(error: Exception) -> str:
    if isinstance(error, DataError):
        return str(error)
    if "torchscript" in str(error).lower():
        return "this is a TorchScript program: save its state_dict()"
    if type(error).__name__ in ("UnpicklingError", "TypeError", "AttributeError"):
        return "it holds objects that are not loaded, as they could run code: save the state dict alone"
    return "the file is damaged or truncated"
