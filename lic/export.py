"""SavedModels with bytes in and bytes out, without Keras around them.

Signatures `compress` (image_bytes -> file_bytes) and `decompress` (file_bytes -> image_bytes, PNG), batches of strings
first; models with many rates have `compress_at` besides, which takes a quality for each picture (1..100). Names that
end in `_bytes` make TF Serving's REST send base64. Pictures are decoded in the graph (`lic.graph_images`). Besides,
`compress_pixels` and `decompress_pixels` of `lic.file_graph.FileGraph`.

Loading one needs `import tensorflow_compression` for its range-coding operations, and nothing of this project. The
project itself takes the functions that stand beside (`lic.graph_storing`) and the SavedModel's weights, which is three
times as quick.
"""

from __future__ import annotations

import json
import os

import tensorflow as tf

from lic import drafts, files, graph_images, graph_storing, op_errors, resources
from lic.codec import Codec
from lic.errors import DataError, UsageError
from lic.file_graph import FileGraph


def _signatures(graph: FileGraph, default_quality: float) -> dict:
    """The signatures; the default quality is 0 for models of one rate."""
    strings, qualities = tf.TensorSpec((None,), tf.string, "image_bytes"), tf.TensorSpec((None,), tf.float32, "quality")

    def coded(image_bytes, quality):
        files_ = tf.map_fn(lambda each: graph.compress_pixels(graph_images.decode(each[0]), each[1]),
                           (image_bytes, quality), fn_output_signature=tf.string)
        return {"file_bytes": tf.ensure_shape(files_, strings.shape)}

    @tf.function(input_signature=[strings, qualities], autograph=False)
    def compress_at(image_bytes, quality):
        with tf.control_dependencies([_demand_as_many(tf.size(quality), tf.size(image_bytes))]):
            return coded(image_bytes, tf.identity(quality))

    @tf.function(input_signature=[strings], autograph=False)
    def compress(image_bytes):
        return coded(image_bytes, tf.fill(tf.shape(image_bytes), default_quality))

    @tf.function(input_signature=[tf.TensorSpec((None,), tf.string, "file_bytes")], autograph=False)
    def decompress(file_bytes):
        pictures = tf.map_fn(lambda s: tf.io.encode_png(graph.decompress_pixels(s)), file_bytes,
                             fn_output_signature=tf.string)
        return {"image_bytes": tf.ensure_shape(pictures, strings.shape)}

    signatures = {"compress": compress, "decompress": decompress}
    return {**signatures, "compress_at": compress_at} if default_quality else signatures


def _demand_as_many(qualities: tf.Tensor, pictures: tf.Tensor) -> tf.Operation:
    line = tf.strings.format("{} qualities for {} pictures: give one for each", (qualities, pictures))
    return tf.raw_ops.Assert(condition=qualities == pictures, data=[line])


def save(codec: Codec, folder: str) -> None:
    """Writes a SavedModel; the folder appears only when it is whole.

    Raises:
      UsageError: the folder exists and is not empty, or the codec came out of a SavedModel itself.
      DataError: it can't be written.
    """
    if not isinstance(codec.graph, FileGraph):
        raise UsageError("the codec runs graphs that were saved before: copy the SavedModel's folder, or load the "
                         "model with stored=False")
    folder = os.path.abspath(folder)
    try:
        files.require_new_folder(folder)
        with drafts.folder(folder) as draft:
            _write(codec, draft)
    except (OSError, tf.errors.OpError) as error:
        raise DataError(f"'{files.shown(folder)}' can't be written: {_reason_of(error)}") from None


def _reason_of(error: OSError | tf.errors.OpError) -> str:
    if isinstance(error, OSError):
        return f"{error.strerror or error}; give another place"
    return f"{op_errors.reason_of(error)}; free some space or give another place"


def _write(codec: Codec, folder: str) -> None:
    tf.saved_model.save(codec.graph, folder, _signatures(codec.graph, float(codec.settled_quality(None))))
    ours = os.path.join(folder, resources.SAVED_EXTRA)
    os.makedirs(ours, exist_ok=True)
    files.write_atomically(os.path.join(ours, resources.MODEL), json.dumps(codec.about, indent=2).encode())
    if codec.graph.storable and not (codec.folder and graph_storing.copy(codec.folder, codec.about, ours)):
        graph_storing.write(codec.graph, codec.apart, codec.about, ours)
