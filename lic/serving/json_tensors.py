"""Tensors as REST carries them, to arrays and back: TensorFlow Serving's JSON, by rows or by columns.

    {"signature_name": "compress", "instances": [{"b64": "..."}, {"b64": "..."}]}    -> {"predictions": [...]}
    {"signature_name": "compress", "inputs": {"image_bytes": [{"b64": "..."}]}}      -> {"outputs": ...}

Bytes are {"b64": text}; on the way out those tensors are bytes whose name ends in `_bytes`.
"""

from __future__ import annotations

import base64
import binascii
import json
import math
from collections.abc import Mapping
from typing import Any, NamedTuple, NoReturn

import numpy as np
import tensorflow as tf

from lic.serving.limits import Limits
from lic.serving.refusals import Code, Refusal

Specs = Mapping[str, tf.TensorSpec]
_DEEPEST = 32   # axes that an array of NumPy may have


class Document(NamedTuple):
    """What a client sent: the name of a signature, "" for the default, and its inputs by rows or by columns."""

    signature: str
    by_rows: bool
    values: Any

    def arrays(self, specs: Specs, limits: Limits) -> dict[str, np.ndarray]:
        """The inputs that a signature takes. Raises a Refusal where they are not there or of another kind."""
        columns = _columns_of_rows(self.values, specs) if self.by_rows else _columns(self.values, specs)
        return {name: _array(name, columns[name], spec.dtype, limits) for name, spec in specs.items()}

    def answer(self, outputs: Mapping[str, np.ndarray]) -> bytes:
        """The outputs in the form of the inputs."""
        columns = {name: _plain(value, name.endswith("_bytes")) for name, value in outputs.items()}
        if not self.by_rows:
            return _dump("outputs", next(iter(columns.values())) if len(columns) == 1 else columns)
        if not all(isinstance(column, list) for column in columns.values()):
            _refuse("the outputs have no rows: send 'inputs' instead of 'instances'")
        if len(columns) == 1:
            return _dump("predictions", next(iter(columns.values())))
        return _dump("predictions", [dict(zip(columns, row)) for row in zip(*columns.values())])


def parse(body: bytes) -> Document:
    """The body of a request. Raises a Refusal where it is no such JSON."""
    try:
        found = json.loads(body)
    except (ValueError, RecursionError) as error:
        _refuse(f"JSON parse error: {error}" if isinstance(error, json.JSONDecodeError) else "JSON parse error")
    if not isinstance(found, dict):
        _refuse("the request is no JSON object")
    signature = found.get("signature_name", "")
    if not isinstance(signature, str):
        _refuse("'signature_name' is no string")
    if len({"instances", "inputs"} & set(found)) != 1:
        _refuse("give either 'instances' or 'inputs'")
    by_rows = "instances" in found
    if by_rows and not (isinstance(found["instances"], list) and found["instances"]):
        _refuse("'instances' is no list with values")
    return Document(signature, by_rows, found["instances" if by_rows else "inputs"])


def _columns_of_rows(rows: list, specs: Specs) -> dict[str, list]:
    if not any(map(_is_named, rows)):
        return _columns(rows, specs)
    for place, row in enumerate(rows, 1):
        if not _is_named(row) or set(row) != set(specs):
            _refuse(f"number {place} of 'instances' has to be an object with {', '.join(sorted(specs))}")
    return {name: [row[name] for row in rows] for name in specs}


def _columns(values, specs: Specs) -> dict[str, Any]:
    if not _is_named(values):
        if len(specs) != 1:
            _refuse(f"the signature takes several inputs: name {', '.join(sorted(specs))}")
        return {next(iter(specs)): values}
    missing = sorted(set(specs) - set(values))
    if missing:
        _refuse(f"'inputs' lacks {', '.join(missing)}")
    return values


def _is_named(value) -> bool:
    return isinstance(value, dict) and not _is_base64(value)


def _is_base64(value) -> bool:
    return isinstance(value, dict) and set(value) == {"b64"} and isinstance(value["b64"], str)


def _array(name: str, value, dtype: tf.DType, limits: Limits) -> np.ndarray:
    shape = _shape(value)
    limits.require_elements(name, math.prod(shape), None if dtype == tf.string else dtype.size)
    try:
        flat = [_leaf(leaf, dtype) for leaf in _leaves(value, shape)]
        return np.array(flat, object if dtype == tf.string else dtype.as_numpy_dtype).reshape(shape)
    except (TypeError, ValueError, OverflowError) as error:
        _refuse(f"input '{name}': {error}")


def _shape(value) -> tuple[int, ...]:
    shape = []
    while isinstance(value, list):
        shape.append(len(value))
        if len(shape) > _DEEPEST:
            _refuse(f"more than {_DEEPEST} lists stand in one another")
        value = value[0] if value else None
    return tuple(shape)


def _leaves(value, shape: tuple[int, ...]) -> list:
    """The values of nested lists of this shape, in order."""
    if not shape:
        if isinstance(value, list):
            raise ValueError("lists of different depth stand side by side")
        return [value]
    if not isinstance(value, list) or len(value) != shape[0]:
        raise ValueError("lists of different length stand side by side")
    return [leaf for each in value for leaf in _leaves(each, shape[1:])]


def _leaf(value, dtype: tf.DType):
    """A number, truth value or bytes object; raises ValueError where it is of another kind than the type."""
    if dtype == tf.string:
        return _bytes(value)
    kinds = bool if dtype.is_bool else (int, float) if dtype.is_floating else int
    if not isinstance(value, kinds) or isinstance(value, bool) != dtype.is_bool:
        raise ValueError(f"a value is no {dtype.name}")
    if not dtype.is_bool and math.isfinite(value) and not dtype.min <= value <= dtype.max:
        raise ValueError(f"a value is beyond {dtype.name}")   # NumPy would wrap it
    return value


def _bytes(value) -> bytes:
    if isinstance(value, str):
        return value.encode("utf-8", "surrogatepass")
    if not _is_base64(value):
        raise ValueError('a value is neither a string nor {"b64": "..."}')
    text = "".join(value["b64"].split())
    try:
        return base64.b64decode(text + "=" * (-len(text) % 4), validate=True)   # clients may leave out the padding
    except (binascii.Error, ValueError):
        raise ValueError("a value under b64 is no base64") from None


def _plain(value: np.ndarray, are_bytes: bool):
    """An array as JSON's lists."""
    if value.dtype != object:
        return value.tolist()
    return np.vectorize(_encoded if are_bytes else _text, otypes=[object])(value).tolist()


def _encoded(data: bytes) -> dict[str, str]:
    return {"b64": base64.b64encode(data).decode("ascii")}


def _text(data: bytes) -> str:
    return data.decode("utf-8", "replace")


def _dump(key: str, value) -> bytes:
    return json.dumps({key: value}).encode()


def _refuse(line: str) -> NoReturn:
    raise Refusal(Code.INVALID_ARGUMENT, line)
