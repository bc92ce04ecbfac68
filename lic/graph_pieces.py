"""Pieces of a graph: some of its nodes, with placeholders for what they are given. `lic.graph_storing` works with them.

A reference says which result of a node is meant, "node:1"; "node" is the first, and "^node" only waits for it.
"""

from __future__ import annotations

from collections.abc import Container, Iterable, Mapping, Sequence
from typing import NamedTuple

import tensorflow as tf
from tensorflow.core.framework import function_pb2, graph_pb2, node_def_pb2


class Piece(NamedTuple):
    """A graph of what is needed for its outputs, in the order in which it was traced.

    `inputs` are the references of placeholders, `outputs` those of any nodes.
    """

    definition: graph_pb2.GraphDef
    inputs: list[str]
    outputs: list[str]


def node_of(reference: str) -> str:
    """The node of a reference."""
    return reference.lstrip("^").split(":")[0]


def full(reference: str) -> str:
    """A reference with the number of the result."""
    return reference if ":" in reference else f"{reference}:0"


def renamed(reference: str, names: Mapping[str, str]) -> str:
    """A reference under the new names that some nodes have."""
    mark, rest = ("^", reference[1:]) if reference.startswith("^") else ("", reference)
    node, colon, number = rest.partition(":")
    return mark + names[node] + colon + number


def stand_ins(prefix: str, tensors: Sequence[str], graph: tf.Graph) -> list[node_def_pb2.NodeDef]:
    """A placeholder for each of some tensors of a graph, of its type and shape."""
    nodes = []
    for number, tensor in enumerate(map(graph.get_tensor_by_name, tensors)):
        node = node_def_pb2.NodeDef(name=f"{prefix}{number}", op="Placeholder")
        node.attr["dtype"].type = tensor.dtype.as_datatype_enum
        node.attr["shape"].shape.CopyFrom(tensor.shape.as_proto())
        nodes.append(node)
    return nodes


def imported(definition: graph_pb2.GraphDef) -> tf.Graph:
    """A graph of a definition, which knows types and shapes."""
    with tf.Graph().as_default() as graph:
        tf.graph_util.import_graph_def(definition, name="")
    return graph


def of_nodes(definition: graph_pb2.GraphDef, nodes: Iterable[node_def_pb2.NodeDef]) -> graph_pb2.GraphDef:
    """A definition with other nodes."""
    return graph_pb2.GraphDef(node=nodes, library=definition.library, versions=definition.versions)


def given(definition: graph_pb2.GraphDef, instead: Mapping[str, str],
          added: Iterable[node_def_pb2.NodeDef] = ()) -> graph_pb2.GraphDef:
    """A definition whose nodes take other results than some.

    Args:
      instead: references, by full ones; added: nodes to begin with.
    """
    changed = of_nodes(definition, [*added, *definition.node])
    for node in changed.node:
        node.input[:] = [name if name.startswith("^") else instead.get(full(name), name) for name in node.input]
    return changed


def without(definition: graph_pb2.GraphDef, dropped: Container[str]) -> graph_pb2.GraphDef:
    """A definition without some nodes, which others may only have waited for."""
    left = of_nodes(definition, [node for node in definition.node if node.name not in dropped])
    for node in left.node:
        node.input[:] = [name for name in node.input if not (name.startswith("^") and name[1:] in dropped)]
    return left


def needed(piece: Piece) -> Piece:
    """A piece of the nodes that its outputs depend on, and its inputs."""
    nodes = {node.name: node for node in piece.definition.node}
    found, left = set(), [node_of(name) for name in (*piece.inputs, *piece.outputs)]
    while left:
        name = left.pop()
        if name not in found:
            found.add(name)
            left += map(node_of, nodes[name].input)
    return piece._replace(definition=of_nodes(
        piece.definition, [node for node in piece.definition.node if node.name in found]))


def cut_at(piece: Piece, early: Container[str]) -> tuple[Piece, Piece]:
    """What can be computed of some placeholders alone, and the rest, whose first inputs are the outputs of that.

    Args:
      early: names of these placeholders, those that are not needed too.
    """
    made = _made_of(piece.definition, early)
    taken: dict[str, None] = {}   # in order
    late = without(piece.definition, made)
    for node in late.node:
        taken.update({full(name): None for name in node.input if node_of(name) in made})
    placeholders = stand_ins("prepared", list(taken), imported(piece.definition))
    names = [node.name for node in placeholders]
    first = Piece(piece.definition, [node.name for node in piece.definition.node if node.name in early], list(taken))
    rest = Piece(given(late, dict(zip(taken, names)), placeholders), [*names, *piece.inputs], piece.outputs)
    return needed(first), rest


def _made_of(definition: graph_pb2.GraphDef, placeholders: Container[str]) -> set[str]:
    """The nodes that compute with these placeholders and constants alone, and the placeholders."""
    made: set[str] = set()
    constant: set[str] = set()
    for node in definition.node:
        sources = set(map(node_of, node.input))
        if node.name in placeholders or (made & sources and sources - made <= constant):
            made.add(node.name)
        elif node.op != "Placeholder" and sources <= constant:
            constant.add(node.name)
    return made


def shortened(piece: Piece) -> Piece:
    """A piece whose nodes have short names, which are most of its bytes otherwise."""
    short = {node.name: f"{number:x}" for number, node in enumerate(piece.definition.node)}
    definition = of_nodes(piece.definition, piece.definition.node)
    for node in definition.node:
        node.name = short[node.name]
        node.input[:] = [renamed(name, short) for name in node.input]
        for attribute in [name for name in node.attr if name.startswith("_")]:   # hints, of which nobody needs any
            del node.attr[attribute]
        node.ClearField("experimental_debug_info")   # it counts what this process traced before
    inputs, outputs = ([renamed(name, short) for name in names] for names in (piece.inputs, piece.outputs))
    return Piece(definition, inputs, outputs)


def function_of(piece: Piece, shaped: bool = False) -> function_pb2.FunctionDef:
    """A piece as a function.

    Args:
      shaped: whether it says what shapes its inputs have.
    """
    from tensorflow.python.framework import graph_to_function_def
    graph = imported(piece.definition)
    taken, results = ([graph.get_tensor_by_name(full(name)) for name in names]
                      for names in (piece.inputs, piece.outputs))
    own = {tensor.op for tensor in taken}
    operations = [operation for operation in graph.get_operations() if operation not in own]
    function = graph_to_function_def.graph_to_function_def(graph, operations, taken, results)
    for number, tensor in enumerate(taken if shaped else ()):
        function.arg_attr[number].attr["_output_shapes"].list.shape.add().CopyFrom(tensor.shape.as_proto())
    return function
