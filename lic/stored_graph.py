"""Graphs of a model that were traced once and stored beside its weights, so that nobody waits for the tracing again.

To build a model, trace it and have TensorFlow optimise the graphs takes seven times as long as to code a picture. All
of that is the same each time: `graphs.zip` in the folder of a model keeps the outcome, as functions that Python never
looks into (to import them as graphs takes twice as long). The weights are not in there: they are arguments of the
functions, from `weights.npz`. TensorFlow Compression is not imported either, only its operations.

Gotchas:
* Weights that are arguments are cast to float64 at each call, where a session would have folded constants once.
* A graph is a program, and a folder of weights may come from anywhere: graphs with operations that do more than compute
  (`lic.pure_operations`) are refused.
* A change of what the functions of `lic.file_graph` take, return or compute needs `python -m tools.store_graphs`
  for the bundled models, and where signatures change a new `FORMAT`; `tests/test_bundled.py` finds what is stale.
* Where there is no such file, or it is of another model or format, the model is built and traced as ever.
"""

from __future__ import annotations

import functools
import hashlib
import importlib.util
import io
import json
import os
import sys
import zipfile
from collections.abc import Mapping, Sequence

import numpy as np
import tensorflow as tf
from tensorflow.core.framework import function_pb2
from tensorflow.core.protobuf import config_pb2, meta_graph_pb2, rewriter_config_pb2
from tensorflow.python.eager import context

import config
from lic import files, pure_operations, weights
from lic.errors import DataError

FORMAT = 2
FILE = "graphs.zip"
_ABOUT = "about.json"
_RUNTIME = config.Runtime()   # what the graphs are traced under
_LARGEST = 1 << 26   # bytes of a function


def serves(runtime: config.Runtime) -> bool:
    """Whether graphs are stored for these switches."""
    return (runtime.arithmetic, runtime.precision, runtime.xla, runtime.deterministic) == (
        _RUNTIME.arithmetic, _RUNTIME.precision, _RUNTIME.xla, _RUNTIME.deterministic)


# Storing -------------------------------------------------------------------------------------------------------------

def save(folder: str) -> None:
    """Stores the graphs of the model in a folder beside its weights.

    Raises:
      DataError: the folder holds no model, or one that is broken.
    """
    from lic import bits_map
    from lic.file_graph import FileGraph
    model, weights_id = weights.load(folder)
    graph, variables = FileGraph(model, bytes(12), 0), weights.frozen_variables(model)
    about: dict = {"format": FORMAT, "weights_id": weights_id.hex(), "num_strings": model.num_strings,
                   "model": _model_of(weights.describe(folder)), "arrays": sorted(variables), "functions": {}}
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_LZMA) as archive:
        functions = {"encode": graph.encode, "decode": graph.decode, "synthesise": graph.synthesise,
                     "bits": bits_map.traced(model), **({"probe": graph.probe} if model.gains else {})}
        for name, function in functions.items():
            about["functions"][name], definition = _stored(function, variables)
            pure_operations.check(definition.node_def)
            archive.writestr(f"{name}.pb", definition.SerializeToString(deterministic=True))
        archive.writestr(_ABOUT, json.dumps(about))
    files.write_atomically(os.path.join(folder, FILE), buffer.getvalue())


def _stored(function, variables: Mapping[str, tf.Variable]) -> tuple[list[int], function_pb2.FunctionDef]:
    """A function, optimised, with arguments for weights and tables after its own; and which arrays those are."""
    graph = function.get_concrete_function().graph
    names = {id(v.handle): name for name, v in variables.items()}
    held = {inner.op.name: names[id(outer)] for outer, inner in graph.captures}
    inputs = [t.name for t in graph.inputs if t.op.name not in held]
    outputs = [t.name for t in graph.outputs]
    definition = graph.as_graph_def()
    for node in definition.node:
        if node.name in held:
            _make_placeholder(node, variables[held[node.name]])
        elif any(name.split(":")[0] in held for name in node.input):
            _read_placeholder(node)
    optimised = _optimised(definition, [*inputs, *outputs, *(f"{name}:0" for name in held)])
    short, places = _shorten(optimised), sorted(variables)
    # A weight that a function does not need is not in its graph any more.
    kept = {node: places.index(name) for node, name in held.items() if node in short}
    arguments = [_renamed(name, short) for name in (*inputs, *(f"{node}:0" for node in kept))]
    return list(kept.values()), _function_of(optimised, arguments, [_renamed(name, short) for name in outputs])


def _function_of(definition, inputs: Sequence[str], outputs: Sequence[str]) -> function_pb2.FunctionDef:
    """A graph as a function of some of its tensors."""
    from tensorflow.python.framework import graph_to_function_def
    with tf.Graph().as_default() as graph:
        tf.graph_util.import_graph_def(definition, name="")
    given, results = ([graph.get_tensor_by_name(name) for name in names] for names in (inputs, outputs))
    operations = [op for op in graph.get_operations() if op not in {tensor.op for tensor in given}]
    return graph_to_function_def.graph_to_function_def(graph, operations, given, results)


def _shorten(definition) -> dict[str, str]:
    """Gives nodes short names, which are most of a graph's bytes otherwise; returns the new ones by the old."""
    short = {node.name: f"{number:x}" for number, node in enumerate(definition.node)}
    for node in definition.node:
        node.name = short[node.name]
        node.input[:] = [_renamed(name, short) for name in node.input]
        for attribute in set(node.attr) & {"_class", "_output_shapes"}:   # hints that name others, or nobody needs
            del node.attr[attribute]
    return short


def _renamed(name: str, names: Mapping[str, str]) -> str:
    """A reference "node", "node:1" or "^node" under the new names."""
    mark, rest = ("^", name[1:]) if name.startswith("^") else ("", name)
    node, colon, number = rest.partition(":")
    return mark + names[node] + colon + number


def _make_placeholder(node, variable: tf.Variable) -> None:
    """A node that stood for a variable becomes one that stands for its value."""
    node.attr["dtype"].type = variable.dtype.as_datatype_enum
    node.attr["shape"].shape.CopyFrom(variable.shape.as_proto())
    for attribute in set(node.attr) - {"dtype", "shape"}:
        del node.attr[attribute]


def _read_placeholder(node) -> None:
    """A node that read a variable takes its value."""
    dtype, rows = node.attr["dtype"].type, node.attr["Tindices"].type
    gathers = node.op == "ResourceGather" and not node.attr["batch_dims"].i
    assert gathers or node.op == "ReadVariableOp", f"{node.op} can't be given a value instead of a variable"
    node.op = "Gather" if gathers else "Identity"
    for attribute in set(node.attr):
        del node.attr[attribute]
    if gathers:
        node.attr["Tparams"].type, node.attr["Tindices"].type = dtype, rows
    else:
        node.attr["T"].type = dtype


def _optimised(definition, keep: list[str]):
    """Folded and pruned, but without what depends on the processor."""
    from tensorflow.python.grappler import tf_optimizer
    with tf.Graph().as_default() as graph:
        tf.graph_util.import_graph_def(definition, name="")
    meta = tf.compat.v1.train.export_meta_graph(graph_def=graph.as_graph_def(), graph=graph)
    kept = meta_graph_pb2.CollectionDef()
    kept.node_list.value.extend(keep)
    meta.collection_def["train_op"].CopyFrom(kept)
    settings = config_pb2.ConfigProto()
    rewrites = settings.graph_options.rewrite_options
    rewrites.layout_optimizer = rewrites.remapping = rewriter_config_pb2.RewriterConfig.OFF
    return tf_optimizer.OptimizeGraph(settings, meta)


# Reading -------------------------------------------------------------------------------------------------------------

class StoredGraph:
    """The functions of a `FileGraph` and of `lic.bits_map`, of arrays, as they were stored.

    Args:
      archive: what `save` wrote; about: its entry of that name.
      arrays: those of `weights.npz`.
    """

    def __init__(self, archive: zipfile.ZipFile, about: dict, arrays: Mapping[str, np.ndarray]):
        self.num_strings = int(about["num_strings"])
        self._archive, self._functions = archive, about["functions"]
        self._arrays = [arrays[name] for name in about["arrays"]]

    @functools.cached_property
    def encode(self):
        return self._function("encode")

    @functools.cached_property
    def decode(self):
        return self._function("decode")

    @functools.cached_property
    def synthesise(self):
        return self._function("synthesise")

    @functools.cached_property
    def probe(self):
        return self._function("probe")

    @functools.cached_property
    def bits(self):
        return self._function("bits")

    def _function(self, name: str) -> _Function:
        """Raises DataError where what was stored can't be used."""
        try:
            if self._archive.getinfo(f"{name}.pb").file_size > _LARGEST:
                raise ValueError("no function of ours is as large")
            data = self._archive.read(f"{name}.pb")
            return _Function(data, [self._arrays[number] for number in self._functions[name]])
        except Exception as error:   # zipfile, protobuf and TensorFlow each have their own
            raise DataError(f"{FILE} of the model is broken or not ours: remove it, and the model is built from its "
                            "weights") from error


class _Function:
    """A stored function with its weights: of arrays, in the order in which it was traced.

    Args:
      data: a `FunctionDef`.
      arrays: its last arguments.
    """

    def __init__(self, data: bytes, arrays: Sequence[np.ndarray]):
        definition = function_pb2.FunctionDef.FromString(data)
        pure_operations.check(definition.node_def)
        _require_whole(definition)
        self.name = definition.signature.name = f"stored_{hashlib.sha256(data).hexdigest()}"
        context.context().add_function_def(definition)
        types = [argument.type for argument in definition.signature.input_arg]
        first = len(types) - len(arrays)
        self._types, self._results = types[:first], [result.type for result in definition.signature.output_arg]
        self._weights = [tf.constant(a.astype(tf.as_dtype(t).as_numpy_dtype)) for a, t in zip(arrays, types[first:])]

    def __call__(self, *arguments):
        given = [tf.convert_to_tensor(value, dtype) for value, dtype in zip(arguments, self._types)]
        results = tf.raw_ops.PartitionedCall(args=[*given, *self._weights], Tout=self._results, f=self,
                                             config_proto=_as_they_are())
        return results if len(results) > 1 else results[0]


def _require_whole(definition: function_pb2.FunctionDef) -> None:
    """Raises ValueError where a node is missing: TensorFlow would tell at the first call, as of a damaged picture."""
    there = {part.name for part in (*definition.signature.input_arg, *definition.node_def)}
    needed = {name.lstrip("^").split(":")[0] for node in definition.node_def for name in node.input}
    needed |= {name.split(":")[0] for name in definition.ret.values()}
    if needed - there:
        raise ValueError("a part of the function is missing")


@functools.lru_cache
def _as_they_are() -> bytes:
    """Settings under which TensorFlow does not optimise: that was done when the functions were stored."""
    settings = config_pb2.ConfigProto()
    settings.graph_options.rewrite_options.disable_meta_optimizer = True
    return settings.SerializeToString()


def load(folder: str, described: dict, arrays: Mapping[str, np.ndarray]) -> StoredGraph | None:
    """The graphs of the model that `weights.read` gave, or None where there are none."""
    try:
        archive = zipfile.ZipFile(io.BytesIO(files.read_bytes(os.path.join(folder, FILE))))
        about = json.loads(archive.read(_ABOUT))
        expected = (FORMAT, described["weights_id"], _model_of(described))
        if (about["format"], about["weights_id"], about["model"]) != expected:
            return None
        graph = StoredGraph(archive, about, arrays)
    except Exception:   # it is not there, or broken: each of these libraries has its own
        return None
    load_operations()
    return graph


def _model_of(about: dict) -> dict:
    """What of a model.json says which model it is."""
    return {name: about.get(name) for name in ("script", "preset", "architecture")}


def load_operations() -> None:
    """TFC's operations, without TFC: its Python takes half a second, TensorFlow Probability most of it."""
    name = "tensorflow_compression.python.ops.gen_ops"
    if name in sys.modules:
        return
    package = importlib.util.find_spec("tensorflow_compression")
    assert package and package.submodule_search_locations
    path = os.path.join(package.submodule_search_locations[0], "python", "ops", "gen_ops.py")
    specification = importlib.util.spec_from_file_location(name, path)
    assert specification and specification.loader
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    sys.modules[name] = module   # or TFC, if it is imported later, would load them again, and fail
