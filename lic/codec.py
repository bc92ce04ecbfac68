"""From a picture to the bytes of a file and back: what the command line, the Python API and SavedModels share.

All go through the same two traced functions, so the same pixels give the same bytes by any door.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import tensorflow as tf

import config
from lic import bitstream, graph_bitstream, images, registry, resources, training, weights
from lic.bitstream import Header
from lic.coders import ARITHMETICS
from lic.errors import DataError, UsageError
from lic.model import LatentCodec

SAVED_ABOUT = os.path.join("assets.extra", "model.json")


class FileGraph(tf.Module):
    """Two traced functions of a frozen model, and nothing of Keras around them.

    `compress_pixels`: uint8 (h, w, 3) -> file bytes; `decompress_pixels`: file bytes -> uint8 (h, w, 3).

    Args:
      model: a frozen model.
      start: the first twelve bytes of its files (`bitstream.prefix`).
    """

    def __init__(self, model: LatentCodec, start: bytes):
        super().__init__()
        # The functions below hold the model in their closures; saving needs the variables, and only them, here.
        self.kept = [*weights.named_variables(model).values(), *model.em_y.variables, *model.em_z.variables]

        def compress_pixels(pixels):
            return _compress(model, start, pixels)

        def decompress_pixels(data):
            return _decompress(model, start, data)

        def traced(function, *signature):
            return tf.function(function, input_signature=signature, autograph=False)

        self.compress_pixels = traced(compress_pixels, tf.TensorSpec((None, None, 3), tf.uint8))
        self.decompress_pixels = traced(decompress_pixels, tf.TensorSpec((), tf.string))


def _compress(model: LatentCodec, start: bytes, pixels: tf.Tensor) -> tf.Tensor:
    encoded = model.encode(tf.cast(pixels[None], tf.float32))
    checks = tf.stack([graph_bitstream.symbol_check(symbols) for symbols in encoded.symbols])
    height, width = tf.unstack(tf.shape(pixels)[:2])
    return graph_bitstream.pack(start, width, height, checks, tf.concat(encoded.strings, 0))


def _decompress(model: LatentCodec, start: bytes, data: tf.Tensor) -> tf.Tensor:
    width, height, checks, strings = graph_bitstream.unpack(data, start, model.num_strings)
    small = tf.debugging.assert_less_equal(
        tf.cast(width, tf.int64) * tf.cast(height, tf.int64), tf.constant(images.MAX_PIXELS, tf.int64),
        "the file's picture is larger than this codec decodes")
    with tf.control_dependencies([small]):
        strings = tf.split(strings, model.num_strings)
    y_hat, symbols = model.decode_latent(strings, height, width)
    found = tf.stack([graph_bitstream.symbol_check(s) for s in symbols])
    first = tf.strings.as_string(tf.argmax(tf.cast(found != checks, tf.int32)))
    same = tf.Assert(tf.reduce_all(found == checks), [tf.strings.join(
        ["the symbols of string ", first, " are not those that were encoded: this machine computes otherwise"])])
    with tf.control_dependencies([same]):
        y_hat = tf.identity(y_hat)
    return model.reconstruct(y_hat, height, width)[0]


class Codec:
    """A model that turns pictures into files.

    Args:
      graph: a `FileGraph`, or what `tf.saved_model.load` made of one.
      about: what its model.json says.
      start: the first twelve bytes of its files.
    """

    def __init__(self, graph, about: dict, start: bytes):
        self.graph, self.about, self._start = graph, about, start

    @property
    def weights_id(self) -> str:
        """Eight hex digits that stand in each of its files."""
        return self.about["weights_id"]

    def compress(self, picture) -> bytes:
        """A picture -> the bytes of a file.

        Args:
          picture: uint8 (h, w, 3), or a PIL image of any kind (`lic.images` says what becomes of it).
        Raises:
          DataError: it is no such thing.
        """
        read = images.from_array if isinstance(picture, np.ndarray) else images.from_pil
        return self.compress_pixels(read(picture).pixels)

    def compress_pixels(self, pixels: np.ndarray) -> bytes:
        """uint8 (h, w, 3) -> the bytes of a file."""
        if max(pixels.shape[:2]) > bitstream.MAX_SIDE:
            raise DataError(f"the picture's sides {pixels.shape[1]} x {pixels.shape[0]} exceed {bitstream.MAX_SIDE}")
        return bytes(self._run(self.graph.compress_pixels, tf.constant(pixels)))

    def decompress(self, data: bytes) -> np.ndarray:
        """The bytes of a file -> uint8 (h, w, 3).

        Raises:
          DataError: the file is damaged, or made by another model or under another arithmetic.
        """
        self.check(bitstream.parse(data)[0])
        return self._run(self.graph.decompress_pixels, tf.constant(data))

    def check(self, header: Header) -> None:
        """Raises a DataError where a file's header does not fit this codec."""
        if header.prefix == self._start:
            return
        mine = self._start[8:12]
        if header.weights_id != mine:
            raise DataError(f"the file was made by model {header.weights_id.hex()}"
                            f"{_name_of(header.model_code)}, not by {mine.hex()}: give its folder with --model_path")
        if header.arithmetic != self._start[5]:
            raise DataError(f"the file was made with {_flags_of(header.arithmetic)}: give the same flags to decompress")
        raise DataError("the file was made by another preset or quality of this model")

    def _run(self, function, argument):
        try:
            with _tf32(self.about["tf32"]):
                return function(argument).numpy()
        except tf.errors.ResourceExhaustedError:
            raise DataError("the picture does not fit into memory") from None
        except tf.errors.InvalidArgumentError as error:
            raise DataError(_first_line(error)) from None


@contextmanager
def _tf32(allowed: bool) -> Iterator[None]:
    """TF32 belongs to the process, and on GPUs it is on unless one says otherwise: a codec brings its own."""
    before = tf.config.experimental.tensor_float_32_execution_enabled()
    tf.config.experimental.enable_tensor_float_32_execution(allowed)
    try:
        yield
    finally:
        tf.config.experimental.enable_tensor_float_32_execution(before)


def _first_line(error: tf.errors.OpError) -> str:
    """The line that an assertion in the graph was given, without TensorFlow's stack."""
    text = str(error.message).replace("assertion failed: ", "")
    for line in text.splitlines():
        if line.strip() and "Sanity check" in line:
            break
        if line.startswith("["):
            return line.strip("[]").split("] [")[0]
    return "the file does not decode: it is damaged, or was made under another arithmetic"


def _name_of(code: int) -> str:
    known = config.by_code(code)
    return f" ({known[0]} {known[1].name})" if known else ""


def _flags_of(arithmetic: bitstream.Arithmetic) -> str:
    return {bitstream.Arithmetic.PORTABLE: "--arithmetic portable",
            bitstream.Arithmetic.FLOAT32: "--arithmetic float32",
            bitstream.Arithmetic.TF32: "--arithmetic float32 --tf32"}[arithmetic]


def _arithmetic_of(runtime: config.Runtime) -> bitstream.Arithmetic:
    if runtime.arithmetic == "portable":
        return bitstream.Arithmetic.PORTABLE
    return bitstream.Arithmetic.TF32 if runtime.tf32 else bitstream.Arithmetic.FLOAT32


def from_model(model: LatentCodec, script: str, weights_id: bytes, runtime: config.Runtime, **about) -> Codec:
    """A codec of a frozen model."""
    start = bitstream.prefix(_arithmetic_of(runtime), model.preset.code, 0, weights_id)
    about = {**about, "script": script, "preset": model.preset.name, "weights_id": weights_id.hex(),
             "arithmetic": runtime.arithmetic, "precision": runtime.precision, "tf32": runtime.tf32}
    return Codec(FileGraph(model, start), about, start)


def apply(runtime: config.Runtime) -> None:
    """Sets TensorFlow's switches, which belong to the process; the number of threads only before its first operation.

    Raises:
      UsageError: there is no such switch, or it comes too late.
    """
    for name, choices in config.CHOICES.items():
        if getattr(runtime, name, choices[0]) not in choices:
            raise UsageError(f"there is no {name} '{getattr(runtime, name)}': choose from {', '.join(choices)}")
    try:
        runtime.apply()
    except RuntimeError as error:
        raise UsageError(f"TensorFlow refuses these switches: {error}") from None
    if runtime.deterministic:
        tf.random.set_seed(0)   # else TensorFlow refuses the random start of the weights, which is overwritten anyway


def load(name: str, runtime: config.Runtime | None = None) -> Codec:
    """A codec from the name of a script (its bundled model) or from a folder.

    Args:
      name: "lsk2023", "zyc2022", "hypmqw2022"; or a folder with a trained model, a training run, or a SavedModel that
        `export` made (read only SavedModels that you trust).
      runtime: arithmetic and precision.
    Raises:
      DataError: there is no model.
      UsageError: there is no such switch, it comes too late, or a SavedModel was made with another.
    """
    runtime = runtime or config.Runtime()
    apply(runtime)
    folder = resources.locate(name)
    if os.path.isfile(os.path.join(folder, resources.SAVED_MODEL)):
        return _load_saved_model(folder, runtime)
    options = {"precision": runtime.precision, "arithmetic": ARITHMETICS[runtime.arithmetic], "xla": runtime.xla}
    if os.path.isfile(os.path.join(folder, resources.MODEL)):
        model, identity = weights.load(folder, **options)
        return from_model(model, weights.describe(folder)["script"], identity, runtime)
    script, model = training.restore_model(folder, **options)
    return from_model(model, script, weights.weights_id(weights.arrays_of(model)), runtime)


def _load_saved_model(folder: str, runtime: config.Runtime) -> Codec:
    try:
        with open(os.path.join(folder, SAVED_ABOUT), encoding="utf-8") as file:
            about = json.load(file)
        graph = tf.saved_model.load(folder)
        identity, preset = bytes.fromhex(about["weights_id"]), registry.preset(about["script"], about["preset"])
        made_with = config.Runtime(**{name: about[name] for name in ("arithmetic", "precision", "tf32")})
    except (OSError, ValueError, KeyError, tf.errors.OpError):
        raise DataError(f"'{folder}' is no SavedModel that 'export' made, or it is broken") from None
    arithmetic = _arithmetic_of(made_with)
    if (arithmetic, made_with.precision) != (_arithmetic_of(runtime), runtime.precision):
        raise UsageError(f"the SavedModel in '{folder}' was exported with {_flags_of(arithmetic)} "
                         f"--precision {made_with.precision}: give the same flags")
    return Codec(graph, about, bitstream.prefix(_arithmetic_of(runtime), preset.code, 0, identity))
