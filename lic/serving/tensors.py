"""Tensors as gRPC carries them, to arrays and back."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping

import numpy as np
import tensorflow as tf

from lic.serving.limits import Limits
from lic.serving.refusals import Code, Refusal


def arrays(protos: Mapping, limits: Limits) -> dict[str, np.ndarray]:
    """TensorProto by name -> arrays; strings are arrays of bytes objects.

    Raises:
      Refusal: one is malformed, or claims more than a request may hold.
    """
    return {name: _array(name, proto, limits) for name, proto in protos.items()}


def protos(outputs: Mapping[str, np.ndarray]) -> dict:
    """Arrays by name -> TensorProto."""
    return {name: tf.make_tensor_proto(value) for name, value in outputs.items()}


def check(inputs: Mapping[str, np.ndarray], specs: Mapping[str, tf.TensorSpec]) -> None:
    """Raises a Refusal where the inputs are not those of a signature: other names, types or shapes."""
    if set(inputs) != set(specs):
        raise Refusal(Code.INVALID_ARGUMENT, f"the inputs are {_listed(inputs)}, and the signature takes "
                                             f"{_listed(specs)}")
    for name, spec in specs.items():
        value = inputs[name]
        if tf.as_dtype(value.dtype) != spec.dtype or not spec.shape.is_compatible_with(value.shape):
            raise Refusal(Code.INVALID_ARGUMENT, f"input '{name}' is {tf.as_dtype(value.dtype).name}"
                          f"{list(value.shape)}, and the signature takes {spec.dtype.name}{_shown(spec.shape)}")


def _array(name: str, proto, limits: Limits) -> np.ndarray:
    try:
        dtype = tf.as_dtype(proto.dtype)
        count = math.prod(size.size for size in proto.tensor_shape.dim)
        limits.require_elements(name, count, None if dtype == tf.string else dtype.size)
        return tf.make_ndarray(proto)
    except (TypeError, ValueError) as error:
        raise Refusal(Code.INVALID_ARGUMENT, f"input '{name}' is malformed: {str(error).splitlines()[0]}") from None


def _listed(names: Iterable[str]) -> str:
    return ", ".join(sorted(names)) or "none"


def _shown(shape: tf.TensorShape) -> str:
    return str(shape.as_list()).replace("None", "?") if shape.rank is not None else "[...]"
