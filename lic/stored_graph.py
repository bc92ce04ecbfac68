"""Graphs of a model that were traced once and stored beside its weights, so that nobody waits for the tracing again.

To build a model, trace it and have TensorFlow optimise the graphs takes seven times as long as to code a picture. All
of that is the same each time: `graphs.zip` in the folder of a model keeps the outcome, as functions that Python never
looks into (to import them as graphs takes twice as long), and what a graph holds several times over as functions that
it calls (`lic.outlining`). The weights are not in there: they are arguments of the functions, from `weights.npz`, with
rounded kernels (`lic.kernels`), and constants of transforms where oneDNN multiplies quicker by these. TensorFlow
Compression is not imported either, only its operations. `lic.graph_storing` writes them.

Gotchas:
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
from typing import Callable

import numpy as np
import tensorflow as tf
from tensorflow.core.framework import function_pb2
from tensorflow.core.protobuf import config_pb2, rewriter_config_pb2
from tensorflow.python.eager import context, execute

import config
from lic import files, kernels, pure_operations
from lic.errors import DataError

FORMAT = 7
FILE = "graphs.zip"
ABOUT = "about.json"
ENTRY = "{}.pb"
PREPARE = "{}.weights"   # of weights, once; what it gives is taken by the function without that, at each call
_RUNTIME = config.Runtime()   # what the graphs are traced under
_LARGEST = 1 << 26   # bytes of a function
_OTHER_REWRITES = (
    "arithmetic_optimization", "auto_mixed_precision", "common_subgraph_elimination", "constant_folding",
    "debug_stripper", "dependency_optimization", "function_optimization", "implementation_selector", "layout_optimizer",
    "loop_optimization", "pin_to_host_optimization", "scoped_allocator_optimization", "shape_optimization")


def serves(runtime: config.Runtime) -> bool:
    """Whether graphs are stored for these switches."""
    return (runtime.arithmetic, runtime.precision, runtime.xla, runtime.deterministic) == (
        _RUNTIME.arithmetic, _RUNTIME.precision, _RUNTIME.xla, _RUNTIME.deterministic)


class StoredGraph:
    """The functions of a `FileGraph` and of `lic.apart`, of arrays, as they were stored.

    Args:
      archive: what `graph_storing.save` wrote; about: its entry of that name.
      arrays: weights and tables of the model, by name, kernels rounded.
    """

    def __init__(self, archive: zipfile.ZipFile, about: dict, arrays: Mapping[str, np.ndarray]):
        self.num_strings = int(about["num_strings"])
        self._archive, self._functions = archive, about["functions"]
        self._read: dict[str, _Function] = {}   # by their names in the archive
        self._names, self._arrays = about["arrays"], arrays

    @functools.cached_property
    def analyse(self):
        return self._function("analyse")

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

    @functools.cached_property
    def slope(self):
        return self._function("slope")

    @property
    def apart(self) -> dict[str, Callable]:
        """Those that stand apart from the rest (`lic.apart`), by their names; each is read when it is called first."""
        def calling(name):
            return lambda *arguments: getattr(self, name)(*arguments)

        return {name: calling(name) for name in ("bits", "slope") if name in self._functions}

    def _function(self, name: str) -> Callable:
        """Raises DataError where what was stored can't be used."""
        try:
            prepare = self._stored(PREPARE.format(name))
            prepared = prepare.of_weights([self._arrays[self._names[number]] for number in self._functions[name]])
            return functools.partial(self._stored(name, prepared), prepared)
        except Exception as error:   # zipfile, protobuf and TensorFlow each have their own
            raise DataError(f"{FILE} of the model is broken or not ours: remove it, and the model is built from its "
                            "weights") from error

    def _stored(self, name: str, prepared: Sequence[tf.Tensor] = ()) -> _Function:
        """A function, after those that it calls, that will be given these first arguments."""
        if name not in self._read:
            if self._archive.getinfo(ENTRY.format(name)).file_size > _LARGEST:
                raise ValueError("no function of ours is as large")
            data = self._archive.read(ENTRY.format(name))
            self._read[name] = _Function(data, lambda called: self._stored(called).name, prepared)
        return self._read[name]


class _Function:
    """A stored function.

    Args:
      data: a `FunctionDef`.
      name_of: gives the name that a function of the archive has in this process; raises an error where there is none.
      prepared: what its first arguments will be.
    """

    def __init__(self, data: bytes, name_of: Callable[[str], str], prepared: Sequence[tf.Tensor] = ()):
        definition = function_pb2.FunctionDef.FromString(data)
        _require_whole(definition)
        self._fuses = bool(definition.arg_attr)   # it is told shapes, without which little is fused
        constants = _constant_kernels(definition, prepared) if self._fuses else b""
        called = {name: name_of(name) for name in {node.op for node in definition.node_def} - pure_operations.ALLOWED}
        for node in definition.node_def:
            node.op = called.get(node.op, node.op)
        told = hashlib.sha256(data + "".join(sorted(called.values())).encode() + constants)
        self.name = definition.signature.name = f"stored_{told.hexdigest()}"
        context.context().add_function_def(definition)
        self._types = [tf.as_dtype(argument.type) for argument in definition.signature.input_arg]
        self._results = [result.type for result in definition.signature.output_arg]

    def of_weights(self, arrays: Sequence[np.ndarray]) -> list[tf.Tensor]:
        """What it makes of weights, which may be stored in half precision."""
        values = [tf.constant(array.astype(dtype.as_numpy_dtype)) for array, dtype in zip(arrays, self._types)]
        return self._call(values)

    def __call__(self, prepared: Sequence[tf.Tensor], *arguments):
        types = self._types[len(prepared):]
        results = self._call([*prepared, *map(tf.convert_to_tensor, arguments, types)])
        return results if len(results) > 1 else results[0]

    def _call(self, values: list[tf.Tensor]) -> list[tf.Tensor]:
        # By its name: as the function of a `PartitionedCall` its layer normalisations would not be recognised.
        settings = ("executor_type", "", "config_proto", _settings(self._fuses))
        return execute.execute(self.name.encode(), len(self._results), values, settings, context.context())


def _constant_kernels(definition: function_pb2.FunctionDef, prepared: Sequence[tf.Tensor]) -> bytes:
    """Makes constants of those first arguments that matrices are multiplied by, for oneDNN to lay out once.

    Returns what tells them from others.
    """
    values = {argument.name: value for argument, value in zip(definition.signature.input_arg, prepared)}
    products = [node for node in definition.node_def if node.op == "MatMul" and node.input[1] in values]
    digest = hashlib.sha256()
    for node in products:
        value = values[node.input[1]].numpy()
        digest.update(value.tobytes())
        constant = definition.node_def.add(name=f"constant_{node.name}", op="Const")
        constant.attr["value"].tensor.CopyFrom(tf.make_tensor_proto(value))
        constant.attr["dtype"].type = constant.attr["value"].tensor.dtype
        node.input[1] = f"{constant.name}:output:0"
    return digest.digest()


def _require_whole(definition: function_pb2.FunctionDef) -> None:
    """Raises ValueError where a node is missing: TensorFlow would tell at the first call, as of a damaged picture."""
    there = {part.name for part in (*definition.signature.input_arg, *definition.node_def)}
    needed = {name.lstrip("^").split(":")[0] for node in definition.node_def for name in node.input}
    needed |= {name.split(":")[0] for name in definition.ret.values()}
    if needed - there:
        raise ValueError("a part of the function is missing")


@functools.lru_cache
def _settings(fuses: bool) -> bytes:
    """Settings under which TensorFlow optimises nothing, which was done when the functions were stored.

    Args:
      fuses: whether it fuses operations, as the processor has them; the larger graphs would wait longer for that than
        they win.
    """
    settings, off = config_pb2.ConfigProto(), rewriter_config_pb2.RewriterConfig.OFF
    rewrites = settings.graph_options.rewrite_options
    rewrites.disable_meta_optimizer = not fuses
    for name in _OTHER_REWRITES:
        setattr(rewrites, name, off)
    rewrites.disable_model_pruning, rewrites.meta_optimizer_iterations = True, rewriter_config_pb2.RewriterConfig.ONE
    rewrites.memory_optimization = rewriter_config_pb2.RewriterConfig.NO_MEM_OPT
    return settings.SerializeToString()


def load(folder: str, described: dict, arrays: Mapping[str, np.ndarray], rounded: bool = False) -> StoredGraph | None:
    """The graphs in a folder, or None where there are none, or those of another model.

    Args:
      described: what the model.json of the model says.
      arrays: its weights and tables, by name; rounded: whether their kernels are.
    """
    try:
        archive = zipfile.ZipFile(io.BytesIO(files.read_bytes(os.path.join(folder, FILE))))
        about = json.loads(archive.read(ABOUT))
        expected = (FORMAT, described["weights_id"], model_of(described))
        if (about["format"], about["weights_id"], about["model"]) != expected:
            return None
        graph = StoredGraph(archive, about, arrays if rounded else kernels.Rounded(arrays, about["summed"]))
    except Exception:   # it is not there, or broken: each of these libraries has its own
        return None
    load_operations()
    return graph


def model_of(about: dict) -> dict:
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
