"""The folder of an exported step: reads its program and description, reads and writes the state, keeps the log."""

from __future__ import annotations

import csv
import hashlib
import io
import json
import lzma
import os
from collections.abc import Callable

import numpy as np

from lic import files
from lic.errors import DataError

ABOUT, HLO, STATE, LOG = "step.json", "step.hlo.xz", "state.npz", "log.csv"
FORMAT = 1   # of step.json


def read_about(folder: str) -> dict:
    """What step.json says.

    Raises:
      DataError: the folder holds no exported step, or one of another version.
    """
    path = os.path.join(folder, ABOUT)
    try:
        with open(path, encoding="utf-8") as file:
            about = json.load(file)
        version = about["format"]
    except FileNotFoundError:
        raise DataError(f"no exported step in '{folder}': it has no {ABOUT}; `train --export_step` makes one") from None
    except (OSError, ValueError, KeyError, TypeError):
        raise DataError(f"'{path}' can't be read as the description of an exported step") from None
    if version != FORMAT:
        raise DataError(f"'{path}' is of version {version}, not {FORMAT}: export the step again")
    return about


def read_hlo(folder: str, about: dict) -> bytes:
    """The lowered step, a serialised HLO proto.

    Raises:
      DataError: it is missing, broken, or of another export.
    """
    path = os.path.join(folder, HLO)
    try:
        with lzma.open(path) as file:
            hlo = file.read()
    except (OSError, EOFError, lzma.LZMAError):
        raise DataError(f"'{path}' is missing or broken: export the step again") from None
    if hashlib.sha256(hlo).hexdigest() != about["hlo_sha256"]:
        raise DataError(f"'{path}' does not belong to {ABOUT}: export the step again")
    return hlo


def read_state(folder: str, about: dict) -> dict[str, np.ndarray]:
    """The arrays of state.npz that the step has.

    Raises:
      DataError: it is missing or broken, or lacks one of them, or has one of another shape or type.
    """
    path = os.path.join(folder, STATE)
    try:
        with np.load(path, allow_pickle=False) as stored:
            state = {name: stored[name] for name in about["inputs"] if name in stored.files}
    except Exception:  # numpy, zipfile and zlib each have their own
        raise DataError(f"'{path}' is missing or broken: export the step again") from None
    odd = [name for name in about["inputs"] if name not in state or not _is(state[name], about["outputs"][name])]
    if odd:
        raise DataError(f"'{path}' does not fit {ABOUT}: {len(odd)} arrays are missing or of another shape, e.g. "
                        f"{odd[0]}")
    return state


def _is(array: np.ndarray, kind: dict) -> bool:
    return list(array.shape) == kind["shape"] and array.dtype == kind["dtype"]


def write_state(folder: str, state: dict[str, np.ndarray], savez: Callable = np.savez) -> None:
    """Writes state.npz anew, whole or not at all.

    Args:
      savez: of numpy. One that compresses takes as long as many steps, and gains only while the moments are zeros.
    """
    buffer = io.BytesIO()
    savez(buffer, **state)
    files.write_atomically(os.path.join(folder, STATE), buffer.getbuffer())


class Log:
    """`log.csv`, a row for each step.

    Args:
      folder: where it stands.
      columns: their names; the first is the step.
      step: where the state stands. Rows beyond it are of a run that was killed: they go.
    """

    def __init__(self, folder: str, columns: list[str], step: int):
        self._path = os.path.join(folder, LOG)
        kept = [row for row in self._rows() if int(row[0]) <= step]
        files.write_atomically(self._path, _csv([columns, *kept]).encode())

    def _rows(self) -> list[list[str]]:
        if not os.path.exists(self._path):
            return []
        rows = csv.reader(io.StringIO(files.read_bytes(self._path).decode("utf-8", "replace")))
        return [row for row in rows if row and row[0].isdecimal()]

    def add(self, rows: list[list]) -> None:
        """Appends rows.

        Raises:
          DataError: the disk is full, or the file can't be written.
        """
        try:
            with open(self._path, "a", encoding="utf-8") as file:
                file.write(_csv(rows))
        except OSError as error:
            raise DataError(f"'{self._path}' can't be written: {error.strerror}") from None


def _csv(rows) -> str:
    return "".join(",".join(map(str, row)) + "\n" for row in rows)
