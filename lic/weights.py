"""Weights and range-coding tables in a folder: `model.json` says what they are, `weights.npz` holds them.

No pickle is written or read. The weights id is the start of a SHA-256 over names, types, shapes and bytes of everything
in `weights.npz`; a file says with it which model made it.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import re
from collections.abc import Iterator, Mapping

import numpy as np
import tensorflow as tf

from lic import files, registry
from lic.errors import DataError
from lic.resources import MODEL

ID_BYTES = 4
FIRST_SAVED = {"weights.npz"}   # what lies in a new folder where `save` was broken off
_KEY = re.compile(r"weights/(.+)/\.ATTRIBUTES/VARIABLE_VALUE")   # of a `FileGraph` in a checkpoint
_TABLES = ("y/cdf", "y/offset", "z/cdf", "z/offset")


def named_variables(model) -> dict[str, tf.Variable]:
    """Every weight of a model under the path of attributes that leads to it, e.g. "g_a/layers/0/conv1/kernel"."""
    parts = {name: getattr(model, name) for name in ("g_a", "g_s", "h_a", "h_s", "context", "gains")}
    found = {path: v for name, part in parts.items() for path, v in _walk(part, name)}
    prior = {f"prior/{v.name.split(':')[0].split('/')[-1]}": v for v in model.prior.variables}
    return {**found, **prior, "prior/median": model.z_median}


def _walk(node, path: str) -> Iterator[tuple[str, tf.Variable]]:
    if isinstance(node, tf.Variable):
        yield path, node
    elif isinstance(node, (list, tuple)):
        for i, item in enumerate(node):
            yield from _walk(item, f"{path}/{i}")
    elif isinstance(node, tf.keras.layers.Layer):
        for name, value in vars(node).items():
            if not name.startswith("_"):
                yield from _walk(value, f"{path}/{name}")


def arrays_of(model, half: bool = False) -> dict[str, np.ndarray]:
    """Weights (float32, or float16 where `half`) and tables of a frozen model, by name."""
    dtype = np.float16 if half else np.float32
    arrays = {name: v.numpy().astype(dtype) for name, v in named_variables(model).items()}
    return {**arrays, **{name: np.asarray(v, np.int32) for name, v in _tables_of(model).items()}}


def frozen_variables(model) -> dict[str, tf.Variable]:
    """Weights and tables of a frozen model, by the names that `weights.npz` has for them."""
    return {**named_variables(model), **_tables_of(model)}


def _tables_of(model) -> dict[str, tf.Variable]:
    tables = (*model.em_y.variables, *model.em_z.variables)   # in the order of their names in TFC, cdf and cdf_offset
    return dict(zip(_TABLES, tables))


def weights_id(arrays: dict[str, np.ndarray]) -> bytes:
    """The first bytes of a SHA-256 over all arrays in the order of their names."""
    digest = hashlib.sha256()
    for name in sorted(arrays):
        a = np.ascontiguousarray(arrays[name])
        digest.update(f"{name}:{a.dtype.str}:{a.shape};".encode())
        digest.update(a.tobytes())
    return digest.digest()[:ID_BYTES]


def assign(model, arrays: Mapping[str, np.ndarray]) -> None:
    """Puts arrays into a model's weights.

    Raises:
      DataError: a weight is missing, superfluous, of another shape or no float.
    """
    variables = named_variables(model)
    odd = sorted(set(variables) ^ (set(arrays) - set(_TABLES)))
    odd += [n for n, v in variables.items() if n in arrays and arrays[n].shape != tuple(v.shape)]
    odd += [n for n in variables if n in arrays and arrays[n].dtype.kind != "f"]
    if odd:
        raise DataError(f"the weights do not fit preset '{model.preset.name}': {len(odd)} differ, e.g. {odd[0]}")
    for name, variable in variables.items():
        variable.assign(arrays[name].astype(np.float32))


def save(model, script: str, folder: str, half: bool = False, **about) -> bytes:
    """Writes a frozen model to a folder and returns its weights id.

    Args:
      script: the script that the model belongs to.
      half: store the weights as float16, and round the model's own to what is stored.
      about: further entries of model.json (training, figures), JSON-ready.
    """
    arrays = arrays_of(model, half)
    if half:
        assign(model, arrays)
    identity = weights_id(arrays)
    buffer = io.BytesIO()
    # Deflating float32 saves 9 %, and costs a second for each 180 MB that are read.
    (np.savez_compressed if half else np.savez)(buffer, **arrays)
    description = {**registry.describe(script, model.preset), "weights_id": identity.hex(), **about}
    os.makedirs(folder, exist_ok=True)
    files.write_atomically(os.path.join(folder, "weights.npz"), buffer.getvalue())
    files.write_atomically(os.path.join(folder, MODEL), (json.dumps(description, indent=2) + "\n").encode())
    return identity


def describe(folder: str) -> dict:
    """What model.json says.

    Raises:
      DataError: the folder holds no model.
    """
    path = os.path.join(folder, MODEL)
    try:
        with open(path, encoding="utf-8") as file:
            about = json.load(file)
        return {"script": str(about["script"]), "preset": str(about["preset"]), **about}
    except FileNotFoundError:
        raise DataError(f"no model in '{folder}': it has no model.json") from None
    except (OSError, ValueError, KeyError, TypeError):
        raise DataError(f"'{path}' can't be read as the description of a model") from None


def read_arrays(folder: str) -> dict[str, np.ndarray]:
    """All arrays of weights.npz.

    Raises:
      DataError: it is missing or broken.
    """
    path = os.path.join(folder, "weights.npz")
    try:
        with np.load(path, allow_pickle=False) as stored:
            return {name: stored[name] for name in stored.files}
    except FileNotFoundError:
        raise DataError(f"no model in '{folder}': it has no weights.npz") from None
    except Exception:  # numpy, zipfile and zlib each have their own
        raise DataError(f"'{path}' is broken: it can't be read as weights") from None


def read(folder: str) -> tuple[dict, dict[str, np.ndarray]]:
    """What model.json says, and all arrays, which are those that it speaks of.

    Raises:
      DataError: the folder holds no model, or one that is broken. UsageError: there is no such preset.
    """
    about = describe(folder)
    registry.described(about)   # a preset that is not known is told of first
    arrays = read_arrays(folder)
    identity = weights_id(arrays)
    if about.get("weights_id") != identity.hex():
        raise DataError(f"'{folder}' holds the weights of one model and the description of another: saving was "
                        "interrupted, or a file was replaced; save the model again (`train` goes on and does)")
    return about, arrays


def load(folder: str, **kwargs):
    """(model, weights id) of a folder that `save` wrote; keyword arguments as of `lic.model.LatentCodec`.

    Raises:
      DataError: the folder holds no model, or one that is broken.
    """
    about, arrays = read(folder)
    if not all(name in arrays for name in _TABLES):
        raise DataError(f"the model in '{folder}' has no range-coding tables")
    return build(about, arrays, **kwargs), bytes.fromhex(about["weights_id"])


def build(about: dict, arrays: Mapping[str, np.ndarray], **kwargs):
    """The frozen model of what model.json says and of these weights and tables."""
    from lic.tables import Tables  # and with it TensorFlow Compression
    model = registry.build(about["script"], registry.described(about), **kwargs)
    assign(model, arrays)
    y_cdf, y_offset, z_cdf, z_offset = (arrays[name] for name in _TABLES)
    model.freeze(Tables(y_cdf, y_offset), Tables(z_cdf, z_offset))
    return model


class Exported(Mapping):
    """The arrays of a SavedModel that `lic.export` made, by name, each read when it is asked for.

    Raises:
      tf.errors.OpError, ValueError: they can't be read.
    """

    def __init__(self, folder: str):
        self._variables = tf.train.load_checkpoint(os.path.join(folder, "variables", "variables"))
        matches = filter(None, map(_KEY.fullmatch, self._variables.get_variable_to_shape_map()))
        # Checkpoints escape the slashes and dots of names.
        self._keys = {match[1].replace(".S", "/").replace("..", "."): match[0] for match in matches}

    def __getitem__(self, name: str) -> np.ndarray:
        return self._variables.get_tensor(self._keys[name])

    def __iter__(self) -> Iterator[str]:
        return iter(self._keys)

    def __len__(self) -> int:
        return len(self._keys)
