"""Layers that a graph holds several times over: found where they are the same, called, and nothing else changes."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from lic import graph_pieces, outlining
from lic.graph_pieces import Piece

SIDE = 8


def layer(x, weight, scale: float = 3.0, shown: int = -1):
    """Some thirty operations; one of its ten maps, and the largest value of the last."""
    maps = [x]
    for _ in range(10):
        maps.append(tf.tanh(maps[-1] @ weight) * scale)
    return maps[shown], tf.reduce_max(maps[-1])


def traced(function, *shapes) -> Piece:
    """A function of float32 arguments as a piece."""
    signature = [tf.TensorSpec(shape, tf.float32) for shape in shapes]
    graph = tf.function(function, input_signature=signature, autograph=False).get_concrete_function().graph
    inputs, outputs = ([tensor.name for tensor in tensors] for tensors in (graph.inputs, graph.outputs))
    return graph_pieces.needed(Piece(graph.as_graph_def(), inputs, outputs))


def run(piece: Piece, *arguments) -> list[np.ndarray]:
    with tf.Graph().as_default():
        tf.graph_util.import_graph_def(piece.definition, name="")
        names = map(graph_pieces.full, piece.inputs)
        with tf.compat.v1.Session() as session:
            return session.run([*map(graph_pieces.full, piece.outputs)], dict(zip(names, arguments)))


def two_layers(first, second, between=lambda y: y):
    def function(x, a, b):
        with tf.name_scope("one"):
            y, largest = first(x, a)
        y = between(y)
        with tf.name_scope("two"):
            y, also = second(y, b)
        return y, largest + also
    return traced(function, (None, SIDE), (SIDE, SIDE), (SIDE, SIDE))


@pytest.fixture
def arguments():
    random = np.random.default_rng(0)
    return [random.normal(size=size).astype(np.float32) for size in ((3, SIDE), (SIDE, SIDE), (SIDE, SIDE))]


def test_layers_that_are_the_same_become_one_function_that_gives_the_same(arguments):
    whole = two_layers(layer, layer)
    rest, calls, functions = outlining.outlined(whole)
    assert [call.function for call in calls] == [0, 0] and len(functions) == 1
    assert len(rest.definition.node) < len(whole.definition.node) - 2 * 30
    function = graph_pieces.function_of(functions[0])
    function.signature.name = "layer"
    called = outlining.with_calls(rest, calls, [function])
    assert [node.op for node in called.definition.node].count("layer") == 2
    for one, other in zip(run(called, *arguments), run(whole, *arguments)):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("second", [
    lambda x, weight: layer(x, weight, 2.0), lambda x, weight: layer(x, tf.transpose(weight)),
    lambda x, weight: layer(x, weight, shown=5), lambda x, weight: layer(x, tf.tensordot(x, x, [0, 0]))],
    ids=["another constant", "another operation", "another result", "of no weight"])
def test_layers_that_differ_stay_as_they_are(second):
    assert not outlining.outlined(two_layers(layer, second)).calls


def test_layers_of_maps_of_other_shapes_stay_as_they_are():
    """TensorFlow would make constants of what it knows of the first one's."""
    assert not outlining.outlined(two_layers(layer, layer, lambda y: tf.ensure_shape(y, (3, SIDE)))).calls
    assert outlining.outlined(two_layers(layer, layer, lambda y: tf.ensure_shape(y, (None, SIDE)))).calls


def test_layer_that_waits_for_what_stands_outside_stays_as_it_is():
    def function(x, a, b):
        check = tf.raw_ops.Assert(condition=tf.reduce_all(x < 9), data=["too large"])
        with tf.control_dependencies([check]):
            with tf.name_scope("one"):
                y, _ = layer(x, a)
            with tf.name_scope("two"):
                return layer(y, b)
    assert not outlining.outlined(traced(function, (None, SIDE), (SIDE, SIDE), (SIDE, SIDE))).calls
