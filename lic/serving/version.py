"""One version of a model: a SavedModel in memory, and what of it clients may call."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping

import numpy as np
import tensorflow as tf
from tensorflow.core.protobuf import saved_model_pb2

import lic.coders  # noqa: F401  # registers the operations of range coding
from lic import resources
from lic.serving.refusals import Code, Refusal

_DEFAULT_SIGNATURE = "serving_default"   # what the protocol means by no name at all
_WARM_SIDE = 64   # pixels


class Version:
    """A loaded SavedModel.

    Args:
      number: of the version.
      folder: where it lies; it may go away afterwards.
    Raises:
      Whatever TensorFlow raises for a folder that is no SavedModel, or a broken one.
    """

    def __init__(self, number: int, folder: str):
        self.number, self.users = number, 0
        _require_tf32_as_exported(folder)
        self._loaded = tf.saved_model.load(folder)
        self._signatures: Mapping = self._loaded.signatures
        self.signature_defs = _signature_defs(folder)
        if not self._signatures:
            raise ValueError("it has no signatures")
        _warm(self._signatures)

    def signature(self, name: str) -> tuple[str, Mapping[str, tf.TensorSpec]]:
        """The name of a signature, which may be empty for the default one, and its inputs.

        Raises:
          Refusal: there is none of this name.
        """
        name = name or _DEFAULT_SIGNATURE
        if name not in self._signatures:
            raise Refusal(Code.FAILED_PRECONDITION, f'Serving signature key "{name}" not found: name one of '
                                                    f"{', '.join(sorted(self._signatures))}")
        return name, self._signatures[name].structured_input_signature[1]

    def run(self, name: str, inputs: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Calls a signature. Raises a tf.errors.OpError where that fails."""
        tensors = {key: tf.constant(value) for key, value in inputs.items()}
        return {key: value.numpy() for key, value in self._signatures[name](**tensors).items()}


def _require_tf32_as_exported(folder: str) -> None:
    """TF32 is the process's, not the graph's; under another setting a GPU would make files that nobody can decode."""
    path = os.path.join(folder, resources.SAVED_ABOUT)
    if os.path.isfile(path):
        with open(path, encoding="utf-8") as file:
            wanted = bool(json.load(file).get("tf32"))
        if wanted != tf.config.experimental.tensor_float_32_execution_enabled():
            raise ValueError(f"it was exported {'with' if wanted else 'without'} --tf32: serve it so, too")


def _signature_defs(folder: str):
    """The signatures as the file describes them: name -> SignatureDef."""
    with open(os.path.join(folder, resources.SAVED_MODEL), "rb") as file:
        graphs = saved_model_pb2.SavedModel.FromString(file.read()).meta_graphs
    return dict(graphs[0].signature_def)


def _warm(signatures: Mapping) -> None:
    """Calls each signature of a codec once, as the first call of a graph takes many times longer than the next."""
    pixels = np.arange(_WARM_SIDE ** 2 * 3, dtype=np.uint32).reshape(_WARM_SIDE, _WARM_SIDE, 3).astype(np.uint8)
    pictures = tf.io.encode_png(pixels)[None]
    if "compress_at" in signatures:
        signatures["compress_at"](image_bytes=pictures, quality=tf.constant([50.0]))
    if {"compress", "decompress"} <= set(signatures):
        signatures["decompress"](**signatures["compress"](image_bytes=pictures))
