"""Traces the functions of a model once and stores them beside its weights, for `lic.stored_graph` to read.

Each becomes two: one that makes of the weights what the other needs of them (casts above all), which runs once where it
is read, and the other, which runs at each call.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import zipfile
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Callable

import tensorflow as tf
from tensorflow.core.framework import function_pb2, graph_pb2, node_def_pb2
from tensorflow.core.protobuf import config_pb2, meta_graph_pb2, rewriter_config_pb2

import config
from lic import files, graph_pieces, outlining, pure_operations, stored_graph, weights
from lic.graph_pieces import Piece, full, node_of
from lic.stored_graph import ABOUT, ENTRY, FILE, FORMAT, PREPARE, model_of
from swin_transformers_tf import products

if TYPE_CHECKING:
    from lic.file_graph import FileGraph

# Told the shapes of their arguments, for without them TensorFlow recognises no layer normalisation. The entropy path
# has its own in float64, where there is nothing to recognise, and the others have time.
_SHAPED = {"analyse", "synthesise"}


def save(folder: str) -> None:
    """Stores the graphs of the model in a folder beside its weights.

    Raises:
      DataError: the folder holds no model, or one that is broken.
    """
    from lic import apart
    from lic.file_graph import FileGraph
    model, _ = weights.load(folder)
    about = {**weights.describe(folder), "num_strings": model.num_strings}
    write(FileGraph(model, bytes(12), 0), apart.traced(model), about, folder)


def write(graph: FileGraph, apart: Mapping[str, Callable], about: dict, folder: str) -> None:
    """Stores the functions of a graph in a folder.

    Args:
      apart: further ones of its model (`lic.apart`).
      about: what the model's model.json says, and `num_strings`.
    """
    functions = {"analyse": graph.analyse, "encode": graph.encode, "decode": graph.decode,
                 "synthesise": graph.synthesise, **apart}
    if hasattr(graph, "probe"):
        functions["probe"] = graph.probe
    places, stored, numbers = sorted(graph.weights), _Functions(), {}
    for name, function in functions.items():
        needed, first, main = _pieces_of(function, graph.weights, graph.constants.get(name))
        numbers[name] = [places.index(weight) for weight in needed]
        stored.add(PREPARE.format(name), _optimised(first))
        shaped = name in _SHAPED
        stored.add(name, _optimised(main) if shaped else stored.outlined(main), shaped)
    description = {"format": FORMAT, "weights_id": about["weights_id"], "num_strings": about["num_strings"],
                   "model": model_of(about), "arrays": places, "summed": dict(graph.summed), "functions": numbers}
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_LZMA) as archive:
        for name, data in stored.by_name.items():
            archive.writestr(ENTRY.format(name), data)
        archive.writestr(ABOUT, json.dumps(description))
    files.write_atomically(os.path.join(folder, FILE), buffer.getvalue())


def copy(source: str, about: dict, folder: str) -> bool:
    """Copies what is stored beside a model; returns False where that is of another model, or for other switches.

    Args:
      about: what the model's codec says of itself.
    """
    runtime = config.Runtime(arithmetic=about["arithmetic"], precision=about["precision"])
    if not stored_graph.serves(runtime) or stored_graph.load(source, about, {}) is None:
        return False
    files.write_atomically(os.path.join(folder, FILE), files.read_bytes(os.path.join(source, FILE)))
    return True


class _Functions:
    """Functions as they are stored, by their names."""

    def __init__(self):
        self.by_name: dict[str, bytes] = {}

    def add(self, name: str, piece: Piece, shaped: bool = False) -> None:
        """Takes a function that is optimised, and may be told shapes."""
        function = graph_pieces.function_of(graph_pieces.shortened(piece), shaped)
        pure_operations.check(function.node_def, self.by_name)
        self.by_name[name] = function.SerializeToString(deterministic=True)

    def outlined(self, piece: Piece) -> Piece:
        """A piece, optimised, that calls what it holds several times over, which is taken."""
        rest, calls, layers = outlining.outlined(piece)
        seen = [name for call in calls for name in (*call.inputs, *call.results)]
        return outlining.with_calls(_optimised(rest, seen), calls, [*map(self._layer, layers)])

    def _layer(self, piece: Piece) -> function_pb2.FunctionDef:
        """A function that is called by a name that tells what it holds."""
        function = graph_pieces.function_of(graph_pieces.shortened(_optimised(piece)))
        pure_operations.check(function.node_def)
        function.attr["_noinline"].b = True   # or each call would be a copy again
        data = function.SerializeToString(deterministic=True)
        name = function.signature.name = f"layer_{hashlib.sha256(data).hexdigest()[:16]}"
        self.by_name[name] = data
        return function


def _pieces_of(function, variables: Mapping[str, tf.Variable],
               constants: products.Constants | None = None) -> tuple[list[str], Piece, Piece]:
    """The weights that a function needs, what makes its first arguments of them, and the function itself.

    Args:
      constants: weights that it holds as such.
    """
    graph = function.get_concrete_function().graph
    names = {id(v.handle): name for name, v in variables.items()}
    held = {inner.op.name: names[id(outer)] for outer, inner in graph.captures}
    inputs = [t.name for t in graph.inputs if t.op.name not in held]
    definition = _of_values(graph.as_graph_def(), {node: variables[name] for node, name in held.items()})
    if constants:
        _make_placeholders(definition, constants.variables)
        held.update({node: names[id(variable.handle)] for node, variable in constants.variables.items()})
    whole = Piece(definition, inputs, [t.name for t in graph.outputs])
    first, main = graph_pieces.cut_at(graph_pieces.needed(whole), held)
    return [held[name] for name in first.inputs], first, main


def _of_values(definition: graph_pb2.GraphDef, variables: Mapping[str, tf.Variable]) -> graph_pb2.GraphDef:
    """A definition whose nodes take values of variables instead of reading them.

    Args:
      variables: by the nodes that stand for them.
    """
    read = {}
    _make_placeholders(definition, variables)
    for node in definition.node:
        if node.name in variables:
            continue
        if node.op == "ReadVariableOp":
            read[full(node.name)] = node.input[0]
        elif node.op == "ResourceGather" and not node.attr["batch_dims"].i:
            _gather_value(node)
        else:
            strange = set(map(node_of, node.input)) & set(variables)
            assert not strange, f"{node.op} can't be given a value instead of a variable"
    definition = graph_pieces.given(definition, read)
    return graph_pieces.without(definition, set(map(node_of, read)))


def _make_placeholders(definition: graph_pb2.GraphDef, variables: Mapping[str, tf.Variable]) -> None:
    """Nodes that stood for variables, or were their values, become such that stand for their values."""
    for node in definition.node:
        if node.name in variables:
            variable, node.op = variables[node.name], "Placeholder"
            node.attr["dtype"].type = variable.dtype.as_datatype_enum
            node.attr["shape"].shape.CopyFrom(variable.shape.as_proto())
            for attribute in set(node.attr) - {"dtype", "shape"}:
                del node.attr[attribute]


def _gather_value(node: node_def_pb2.NodeDef) -> None:
    """A node that gathered rows of a variable takes those of its value."""
    dtype, rows = node.attr["dtype"].type, node.attr["Tindices"].type
    node.op = "Gather"
    for attribute in set(node.attr):
        del node.attr[attribute]
    node.attr["Tparams"].type, node.attr["Tindices"].type = dtype, rows


def _optimised(piece: Piece, seen: Iterable[str] = ()) -> Piece:
    """Folded and pruned, but without what depends on the processor.

    Args:
      seen: further nodes that stay.
    """
    from tensorflow.python.grappler import tf_optimizer
    meta = meta_graph_pb2.MetaGraphDef(graph_def=piece.definition)
    kept = meta_graph_pb2.CollectionDef()
    kept.node_list.value.extend([full(name) for name in (*piece.inputs, *piece.outputs, *seen)])
    meta.collection_def["train_op"].CopyFrom(kept)
    settings = config_pb2.ConfigProto()
    rewrites = settings.graph_options.rewrite_options
    rewrites.layout_optimizer = rewrites.remapping = rewriter_config_pb2.RewriterConfig.OFF
    return piece._replace(definition=tf_optimizer.OptimizeGraph(settings, meta))
