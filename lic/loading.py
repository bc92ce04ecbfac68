"""Codecs out of folders: the bundled models, trained ones, training runs, and SavedModels.

TensorFlow Compression and the models' code are imported only where a model has to be built: one with stored graphs
(`lic.stored_graph`) does without.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from contextlib import suppress
from typing import TYPE_CHECKING

import numpy as np
import tensorflow as tf

import config
from lic import memory, registry, resources, stored_graph, weights
from lic.arithmetic import ARITHMETICS
from lic.codec import Codec, start_of
from lic.errors import DataError, UsageError
from lic.switches import arithmetic_of, flags_of

if TYPE_CHECKING:
    from lic.model import LatentCodec

_MOST_THREADS = 1024


def from_model(model: LatentCodec, script: str, weights_id: bytes, runtime: config.Runtime, folder: str | None = None,
               **about) -> Codec:
    """A codec of a frozen model, and the folder that it was read from."""
    from lic import apart
    from lic.file_graph import FileGraph
    side = memory.tile_side(model.preset.bytes_per_pixel, memory.BUDGET)   # an export may run anywhere
    about = {**about, **registry.describe(script, model.preset)}
    about = _about(about, weights_id, model.num_strings, runtime)
    return Codec(FileGraph(model, start_of(about), side), about, apart.traced(model), folder)


def _about(about: dict, weights_id: bytes, num_strings: int, runtime: config.Runtime) -> dict:
    return {**about, "weights_id": weights_id.hex(), "num_strings": num_strings, "arithmetic": runtime.arithmetic,
            "precision": runtime.precision, "tf32": runtime.tf32}


def apply(runtime: config.Runtime) -> None:
    """Sets TensorFlow's switches, which belong to the process; the number of threads only before its first operation.

    Raises:
      UsageError: there is no such switch, or it comes too late.
    """
    for name, choices in config.CHOICES.items():
        if getattr(runtime, name, choices[0]) not in choices:
            raise UsageError(f"there is no {name} '{getattr(runtime, name)}': choose from {', '.join(choices)}")
    if not 0 <= runtime.threads <= _MOST_THREADS:   # TensorFlow would abort the process
        raise UsageError(f"--threads {runtime.threads} is not within 0..{_MOST_THREADS}")
    try:
        tf.config.experimental.enable_tensor_float_32_execution(runtime.tf32)
        if runtime.deterministic:
            tf.config.experimental.enable_op_determinism()
        if runtime.threads:
            tf.config.threading.set_intra_op_parallelism_threads(runtime.threads)
    except RuntimeError as error:
        raise UsageError(f"TensorFlow refuses these switches: {error}") from None
    if runtime.deterministic:
        tf.random.set_seed(0)   # else TensorFlow refuses the random start of the weights, which is overwritten anyway


def give_operations_one_thread() -> None:
    """As `--threads 1`, where it is not too late: TensorFlow has begun where a model was traced."""
    with suppress(RuntimeError):
        tf.config.threading.set_intra_op_parallelism_threads(1)


def load(name: str, runtime: config.Runtime | None = None, stored: bool = True) -> Codec:
    """A codec from the name of a script (its bundled model) or from a folder.

    Args:
      name: "lsk2023", "zyc2022", "hypmqw2022"; or a folder with a trained model, a training run, or a SavedModel that
        `export` made (read only SavedModels that you trust).
      runtime: arithmetic and precision.
      stored: whether graphs that stand beside the weights will do; they can't be exported.
    Raises:
      DataError: there is no model.
      UsageError: there is no such switch, it comes too late, or a SavedModel was made with another.
    """
    runtime = runtime or config.Runtime()
    apply(runtime)
    folder = resources.locate(name)
    if os.path.isfile(os.path.join(folder, resources.SAVED_MODEL)):
        return _load_saved_model(folder, runtime, stored)
    if os.path.isfile(os.path.join(folder, resources.MODEL)):
        return _load_saved(folder, runtime, stored)
    return _load_run(folder, runtime, stored)


def options(runtime: config.Runtime) -> dict:
    """What a model is built with under these switches: keyword arguments of `lic.weights.load` and others."""
    return {"precision": runtime.precision, "arithmetic": ARITHMETICS[runtime.arithmetic], "xla": runtime.xla}


def _load_saved(folder: str, runtime: config.Runtime, stored: bool) -> Codec:
    return (stored and _load_stored(folder, runtime)) or _load_model(folder, runtime)


def _load_run(folder: str, runtime: config.Runtime, stored: bool) -> Codec:
    """Of the model that a run saved, so that both decode the same files; of its last checkpoint where it went on."""
    from lic import training
    if saved := training.saved_model(folder):
        return _load_saved(saved, runtime, stored)
    script, model = training.restore_model(folder, **options(runtime))
    return from_model(model, script, weights.weights_id(weights.arrays_of(model)), runtime)


def _load_model(folder: str, runtime: config.Runtime) -> Codec:
    model, identity = weights.load(folder, **options(runtime))
    return from_model(model, weights.describe(folder)["script"], identity, runtime, folder)


def _load_stored(folder: str, runtime: config.Runtime) -> Codec | None:
    """A codec without building its model; None where the folder holds no graphs, or none for these switches."""
    if not stored_graph.serves(runtime):
        return None
    about, arrays = weights.read(folder)
    return _of_stored(folder, about, arrays, runtime)


def _of_stored(folder: str, about: dict, arrays: Mapping[str, np.ndarray], runtime: config.Runtime,
               rounded: bool = False) -> Codec | None:
    """A codec of the graphs in a folder; None where there are none of this model."""
    graph = stored_graph.load(folder, about, arrays, rounded)
    if graph is None:
        return None
    identity, preset = bytes.fromhex(about["weights_id"]), registry.described(about)
    whole = _about(registry.describe(about["script"], preset), identity, graph.num_strings, runtime)
    return Codec(graph, whole, graph.apart)


def _load_saved_model(folder: str, runtime: config.Runtime, stored: bool) -> Codec:
    """A codec of the graphs that stand in a SavedModel besides, or else of its own, which take much longer to read."""
    try:
        about, made_with = _read_about(folder)
        _require_same(made_with, runtime, folder)
        if stored:
            ours = os.path.join(folder, resources.SAVED_EXTRA)
            codec = _of_stored(ours, about, weights.Exported(folder), runtime, rounded=True)
            if codec:
                _require_no_xla(runtime, folder)
                return codec
        stored_graph.load_operations()   # nothing else may have loaded them yet
        graph = tf.saved_model.load(folder)
        if not hasattr(graph, "analyse"):
            raise ValueError("an earlier commit made it")
        return Codec(graph, about)
    except (OSError, ValueError, KeyError, tf.errors.OpError):
        raise DataError(f"'{folder}' is no SavedModel that 'export' made, as it does now, or it is broken") from None


def _read_about(folder: str) -> tuple[dict, config.Runtime]:
    """What a SavedModel's model.json says, and the switches that it names.

    Raises:
      OSError, ValueError, KeyError: it can't be read, or lacks something.
    """
    with open(os.path.join(folder, resources.SAVED_ABOUT), encoding="utf-8") as file:
        about = json.load(file)
    try:
        about["num_strings"] = int(about["num_strings"])
        made_with = config.Runtime(arithmetic=str(about["arithmetic"]), precision=str(about["precision"]),
                                   tf32=bool(about["tf32"]))
    except TypeError:
        raise ValueError("it holds other types") from None
    return about, made_with


def _require_no_xla(runtime: config.Runtime, folder: str) -> None:
    """Raises a UsageError where graphs that are stored as they are would have to be compiled."""
    if runtime.xla:
        raise UsageError(f"the SavedModel in '{folder}' was exported without --xla: give none, or export it with --xla")


def _require_same(made_with: config.Runtime, runtime: config.Runtime, folder: str) -> None:
    """Raises a UsageError where a SavedModel was made with other switches than those that are given."""
    arithmetic, wanted = (arithmetic_of(each.arithmetic, each.tf32) for each in (made_with, runtime))
    if (arithmetic, made_with.precision) != (wanted, runtime.precision):
        raise UsageError(f"the SavedModel in '{folder}' was exported with {flags_of(arithmetic)} "
                         f"--precision {made_with.precision}: give the same flags")
