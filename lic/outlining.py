"""Layers that a graph holds several times over become one function that it calls, as the source has them.

A traced graph has the operations of each layer, and TensorFlow prepares each of them before the first call, which takes
longer than to code a picture. But layers of a kind have the same: the mean and the scale networks of the slices of a
TCM are most of its entropy path. So what stands under one name scope, and is the same as what stands under another, is
stored once, which a third of the operations are left of.

Two are the same where their operations, attributes and constants are, one by one in the order in which they were
traced, and take their inputs from the same places. What a scope takes from outside becomes the arguments of the
function; it has the same shapes in both, for TensorFlow makes constants of what it knows of them.
"""

from __future__ import annotations

import itertools
from collections import defaultdict
from collections.abc import Hashable, Sequence
from typing import NamedTuple

import tensorflow as tf
from tensorflow.core.framework import function_pb2, graph_pb2, node_def_pb2

from lic import graph_pieces
from lic.graph_pieces import Piece, full, node_of

_LEAST = 24   # nodes: a call costs as much as a few


class Call(NamedTuple):
    """A function, by its number, called with some tensors of a graph, in which placeholders stand for the results."""

    function: int
    inputs: list[str]
    results: list[str]


class Outlined(NamedTuple):
    """A piece without what is called, its calls, and the functions."""

    piece: Piece
    calls: list[Call]
    functions: list[Piece]


class _Scope(NamedTuple):
    """Neighbouring nodes: the first and the one behind the last, what they take from outside, and outside takes."""

    first: int
    end: int
    inputs: list[str]
    outputs: list[str]


def outlined(piece: Piece) -> Outlined:
    """A piece whose repeated scopes are functions; its nodes stand in the order in which they were traced."""
    nodes, shapes = list(piece.definition.node), graph_pieces.imported(piece.definition)
    groups = _repeated(_Graph(nodes, piece.outputs, shapes))
    numbers = {scope.first: number for number, group in enumerate(groups) for scope in group}
    calls, placeholders, instead = [], [], {}
    for scope in sorted(itertools.chain.from_iterable(groups)):
        results = graph_pieces.stand_ins(f"called{len(calls)}_", scope.outputs, shapes)
        inputs = [instead.get(name, name) for name in scope.inputs]
        calls.append(Call(numbers[scope.first], inputs, [node.name for node in results]))
        instead.update(zip(scope.outputs, calls[-1].results))
        placeholders += results
        nodes[scope.first:scope.end] = [None] * (scope.end - scope.first)
    rest = graph_pieces.of_nodes(piece.definition, filter(None, nodes))
    return Outlined(Piece(graph_pieces.given(rest, instead, placeholders), piece.inputs,
                          [instead.get(full(name), name) for name in piece.outputs]),
                    calls, [_body(piece.definition, group[0], shapes) for group in groups])


def with_calls(piece: Piece, calls: Sequence[Call], functions: Sequence[function_pb2.FunctionDef]) -> Piece:
    """A piece that makes its calls, where placeholders stood for the results; they are in its library."""
    instead, nodes = {}, []
    for number, call in enumerate(calls):
        # By its own name: what a PartitionedCall names is prepared for each such node anew, as if nothing were shared.
        name = functions[call.function].signature.name
        nodes.append(node_def_pb2.NodeDef(name=f"call{number}", op=name, input=call.inputs))
        instead.update({full(result): f"call{number}:{i}" for i, result in enumerate(call.results)})
    left = graph_pieces.without(piece.definition, set(map(node_of, instead)))
    definition = graph_pieces.given(graph_pieces.of_nodes(left, [*left.node, *nodes]), instead)
    definition.library.function.extend(functions)
    return Piece(definition, piece.inputs, [instead.get(full(name), name) for name in piece.outputs])


class _Graph:
    """Nodes, their places, and who takes what.

    Args:
      outputs: references that are needed at the end.
      shapes: knows those of what the nodes give.
    """

    def __init__(self, nodes: Sequence[node_def_pb2.NodeDef], outputs: Sequence[str], shapes: tf.Graph):
        self.nodes, self._shapes = list(nodes), shapes
        self._places = {node.name: place for place, node in enumerate(nodes)}
        self._takers: dict[int, dict[str, int]] = defaultdict(dict)   # of each node's results: the last
        for place, references in enumerate([*(node.input for node in nodes), outputs]):
            for reference in references:
                self._takers[self._places[node_of(reference)]][full(reference)] = place

    def ranges(self) -> set[tuple[int, int]]:
        """Where the nodes of a name scope are neighbours: the first, and the one behind the last."""
        members = defaultdict(list)
        for place, node in enumerate(self.nodes):
            for scope in itertools.accumulate(node.name.split("/")[:-1], "{}/{}".format):
                members[scope].append(place)
        return {(inside[0], inside[-1] + 1) for inside in members.values()
                if inside[-1] - inside[0] + 1 == len(inside) >= _LEAST}

    def scope(self, first: int, end: int) -> tuple[Hashable, _Scope] | None:
        """What a scope has in common with those that are the same, and the scope.

        None where a node waits for another across the border, which no function can do.
        """
        inputs: dict[str, int] = {}   # their numbers
        found: list[Hashable] = [self._operation(node, first, inputs) for node in self.nodes[first:end]]
        outputs = [name for place in range(first, end) for name, last in sorted(self._takers[place].items())
                   if last >= end]
        if any(name.startswith("^") for name in (*inputs, *outputs)):
            return None
        found += [self._within(name, first) for name in outputs]
        found += [self._shapes.get_tensor_by_name(name).shape.as_proto().SerializeToString() for name in inputs]
        return tuple(found), _Scope(first, end, list(inputs), outputs)

    def _operation(self, node: node_def_pb2.NodeDef, first: int, inputs: dict[str, int]) -> Hashable:
        attributes = [(name, node.attr[name].SerializeToString(deterministic=True))
                      for name in sorted(node.attr) if not name.startswith("_")]
        taken = [self._within(name, first) or inputs.setdefault(full(name), len(inputs)) for name in node.input]
        return node.op, tuple(attributes), tuple(taken)

    def _within(self, reference: str, first: int) -> tuple | None:
        """A reference without names; None of what stands before a scope."""
        place = self._places[node_of(reference)] - first
        return (place, full(reference).partition(":")[2], reference[0] == "^") if place >= 0 else None


def _repeated(graph: _Graph) -> list[list[_Scope]]:
    """Scopes that are the same, in groups, the largest possible; none is within another."""
    alike = defaultdict(list)
    for found in itertools.starmap(graph.scope, sorted(graph.ranges())):
        if found:
            alike[found[0]].append(found[1])
    groups, taken = [], [False] * len(graph.nodes)
    for group in sorted(alike.values(), key=lambda group: group[0].first - group[0].end):
        group = [scope for scope in group if not any(taken[scope.first:scope.end])]
        if len(group) > 1:
            groups.append(group)
            for scope in group:
                taken[scope.first:scope.end] = [True] * (scope.end - scope.first)
    return groups


def _body(definition: graph_pb2.GraphDef, scope: _Scope, shapes: tf.Graph) -> Piece:
    """A scope's nodes as a piece of their own."""
    placeholders = graph_pieces.stand_ins("given", scope.inputs, shapes)
    names = [node.name for node in placeholders]
    inside = graph_pieces.of_nodes(definition, definition.node[scope.first:scope.end])
    return Piece(graph_pieces.given(inside, dict(zip(scope.inputs, names)), placeholders), names, scope.outputs)
