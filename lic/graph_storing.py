"""Traces the functions of a model once and stores them beside its weights, for `lic.stored_graph` to read.

Each becomes two: one that makes of the weights what the other needs of them (casts above all), which runs once where it
is read, and the other, which runs at each call.
"""

from __future__ import annotations

import io
import json
import os
import zipfile
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

import tensorflow as tf
from tensorflow.core.framework import function_pb2
from tensorflow.core.protobuf import config_pb2, meta_graph_pb2, rewriter_config_pb2

import config
from lic import files, pure_operations, stored_graph, weights
from lic.stored_graph import ABOUT, FILE, FORMAT, MAIN, PREPARE, model_of

if TYPE_CHECKING:
    from lic.file_graph import FileGraph

# Told the shapes of their arguments, for without them TensorFlow recognises no layer normalisation. The entropy path
# has its own in float64, where there is nothing to recognise, and the others have time.
_SHAPED = {"analyse", "synthesise"}
_OF_LOOPS = {"Enter", "Exit", "Merge", "NextIteration", "Switch"}


def save(folder: str) -> None:
    """Stores the graphs of the model in a folder beside its weights.

    Raises:
      DataError: the folder holds no model, or one that is broken.
    """
    from lic import bits_map
    from lic.file_graph import FileGraph
    model, _ = weights.load(folder)
    about = {**weights.describe(folder), "num_strings": model.num_strings}
    write(FileGraph(model, bytes(12), 0), bits_map.traced(model), about, folder)


def write(graph: FileGraph, bits_of, about: dict, folder: str) -> None:
    """Stores the functions of a graph in a folder.

    Args:
      bits_of: what `lic.bits_map` made of its model.
      about: what the model's model.json says, and `num_strings`.
    """
    functions = {"analyse": graph.analyse, "encode": graph.encode, "decode": graph.decode,
                 "synthesise": graph.synthesise, "bits": bits_of}
    if hasattr(graph, "probe"):
        functions["probe"] = graph.probe
    description: dict = {"format": FORMAT, "weights_id": about["weights_id"], "num_strings": about["num_strings"],
                         "model": model_of(about), "arrays": sorted(graph.weights), "summed": dict(graph.summed),
                         "functions": {}}
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_LZMA) as archive:
        for name, function in functions.items():
            description["functions"][name], prepare, main = _stored(function, graph.weights, name in _SHAPED)
            for entry, definition in ((PREPARE, prepare), (MAIN, main)):
                pure_operations.check(definition.node_def)
                archive.writestr(entry.format(name), definition.SerializeToString(deterministic=True))
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


def _stored(function, variables: Mapping[str, tf.Variable], shaped: bool
            ) -> tuple[list[int], function_pb2.FunctionDef, function_pb2.FunctionDef]:
    """Which weights a function needs, what makes its first arguments of them, and the function itself, optimised."""
    graph = function.get_concrete_function().graph
    names = {id(v.handle): name for name, v in variables.items()}
    held = {inner.op.name: names[id(outer)] for outer, inner in graph.captures}
    inputs = [t.name for t in graph.inputs if t.op.name not in held]
    outputs = [t.name for t in graph.outputs]
    definition = graph.as_graph_def()
    for node in definition.node:
        if node.name in held:
            _make_placeholder(node, variables[held[node.name]])
        elif any(_node_of(name) in held for name in node.input):
            _read_placeholder(node)
    optimised = _optimised(definition, [*inputs, *outputs, *(f"{name}:0" for name in held)])
    short, places = _shorten(optimised), sorted(variables)
    # A weight that a function does not need is not in its graph any more.
    kept = {short[node]: places.index(name) for node, name in held.items() if node in short}
    prepared = _cut_at_weights(optimised, kept)
    return (list(kept.values()), _function_of(optimised, [f"{node}:0" for node in kept], prepared),
            _function_of(optimised, [_renamed(name, short) for name in inputs],
                         [_renamed(name, short) for name in outputs], prepared, shaped))


def _cut_at_weights(definition, placeholders: Iterable[str]) -> list[str]:
    """The tensors that weights alone decide and other nodes take, which then wait for nothing else of the weights."""
    made = _made_of(definition, placeholders)
    prepared: dict[str, None] = {}   # in order
    for node in definition.node:
        if node.name not in made:
            node.input[:] = [name for name in node.input if not (name.startswith("^") and name[1:] in made)]
            prepared.update({_full(name): None for name in node.input if _node_of(name) in made})
    return list(prepared)


def _made_of(definition, placeholders: Iterable[str]) -> set[str]:
    """The nodes that compute with these placeholders and constants alone, and the placeholders."""
    made = set(placeholders)
    constants = {node.name for node in definition.node if node.op == "Const" and not node.input}
    left = [node for node in definition.node if node.op not in _OF_LOOPS and node.name not in made]
    while True:
        known = made | constants
        more = {node.name for node in left if node.input and known.issuperset(map(_node_of, node.input))}
        if not more:
            return made
        made |= more
        left = [node for node in left if node.name not in more]


def _function_of(definition, inputs: Sequence[str], outputs: Sequence[str], first: Sequence[str] = (),
                 shaped: bool = False) -> function_pb2.FunctionDef:
    """A graph as a function of some of its tensors: of `first`, which are given instead of computed, and of inputs.

    Args:
      shaped: whether it says what shapes they have.
    """
    from tensorflow.python.framework import graph_to_function_def
    with tf.Graph().as_default() as whole:
        tf.graph_util.import_graph_def(definition, name="")
    with tf.Graph().as_default() as graph:
        instead = {}
        for number, tensor in enumerate(map(whole.get_tensor_by_name, first)):
            instead[tensor.name] = tf.compat.v1.placeholder(tensor.dtype, tensor.shape, f"prepared{number}")
        tf.graph_util.import_graph_def(definition, instead, name="")
    given = [*instead.values(), *map(graph.get_tensor_by_name, inputs)]
    results = [graph.get_tensor_by_name(name) for name in outputs]
    needed = _needed(results) - {tensor.op for tensor in given}
    operations = [operation for operation in graph.get_operations() if operation in needed]
    function = graph_to_function_def.graph_to_function_def(graph, operations, given, results)
    for number, tensor in enumerate(given if shaped else ()):
        function.arg_attr[number].attr["_output_shapes"].list.shape.add().CopyFrom(tensor.shape.as_proto())
    return function


def _needed(results: Iterable[tf.Tensor]) -> set[tf.Operation]:
    """The operations that results depend on."""
    needed, left = set(), [tensor.op for tensor in results]
    while left:
        operation = left.pop()
        if operation not in needed:
            needed.add(operation)
            left += [*(tensor.op for tensor in operation.inputs), *operation.control_inputs]
    return needed


def _shorten(definition) -> dict[str, str]:
    """Gives nodes short names, which are most of a graph's bytes otherwise; returns the new ones by the old."""
    short = {node.name: f"{number:x}" for number, node in enumerate(definition.node)}
    for node in definition.node:
        node.name = short[node.name]
        node.input[:] = [_renamed(name, short) for name in node.input]
        for attribute in set(node.attr) & {"_class", "_output_shapes"}:   # hints that name others, or nobody needs
            del node.attr[attribute]
    return short


def _node_of(name: str) -> str:
    """The node of a reference "node", "node:1" or "^node"."""
    return name.lstrip("^").split(":")[0]


def _full(name: str) -> str:
    """The tensor of a reference "node" or "node:1"."""
    return name if ":" in name else f"{name}:0"


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
