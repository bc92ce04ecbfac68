"""Weights as constants of a trace: the same values, and oneDNN computes more within its products."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
import tensorflow as tf
from tensorflow.python.eager import context

from swin_transformers_tf import SwinBlock, products

# Of float32 and bfloat16: what some roundings of values of about ten take.
NEAR = {"float32": 1e-4, "bfloat16": 0.5}


def noise(*shape):
    return np.random.default_rng(0).normal(size=shape)


def made(layer):
    layer(tf.zeros((1, 8, 8, 8)))
    rng = np.random.default_rng(1)
    for v in layer.weights:
        v.assign_add(tf.constant(rng.normal(0, 0.3, v.shape), tf.float32))
    return layer


def traced(layer, dtype, constants):
    def final(x):
        with products.constants(constants):
            return layer(x)
    return tf.function(final, autograph=False, input_signature=[tf.TensorSpec((None, None, None, 8), dtype)])


@pytest.mark.parametrize("dtype", NEAR)
@pytest.mark.parametrize("shift", [0, 2])
@pytest.mark.parametrize(("h", "w"), [(8, 12), (5, 7), (4, 4), (1, 1)])
def test_block_of_constants_is_the_block(h, w, shift, dtype):
    block, x = made(SwinBlock(2, 4, shift)), noise(3, h, w, 8)
    y = traced(block, dtype, products.Constants())(tf.cast(x, dtype))
    np.testing.assert_allclose(tf.cast(y, tf.float64), block(tf.constant(x)), rtol=0, atol=NEAR[dtype])


def test_constants_are_told_by_their_nodes_and_stay_as_they_were():
    block, x, constants = made(SwinBlock(2, 4, 2)), tf.constant(noise(1, 4, 4, 8), tf.float32), products.Constants()
    function = traced(block, tf.float32, constants)
    layers = block.attn.qkv, block.attn.proj, block.mlp.fc1, block.mlp.fc2
    y = function(x).numpy()
    graph = function.get_concrete_function().graph
    assert {v.ref() for v in constants.variables.values()} == {v.ref() for layer in layers for v in layer.weights}
    assert {graph.get_operation_by_name(name).type for name in constants.variables} == {"Const"}
    block.mlp.fc1.kernel.assign(-block.mlp.fc1.kernel)
    np.testing.assert_array_equal(function(x), y)
    assert np.abs(block(x) - y).max() > 0.1


def test_only_what_is_called_within_takes_constants():
    constants = products.Constants()
    with products.constants(constants):
        assert products.given_constants() is constants
    assert products.given_constants() is None


@pytest.mark.parametrize("dtype", NEAR)
def test_onednn_does_gelu_sums_and_the_scores_bias_within_its_products(dtype):
    """So it is where TensorFlow runs with oneDNN, as the tests and the commands ask for."""
    function, x = traced(made(SwinBlock(2, 4, 2)), dtype, products.Constants()), tf.cast(noise(1, 8, 8, 8), dtype)
    context.enable_graph_collection()
    try:
        function(x)
        graphs = context.export_run_metadata().partition_graphs
    finally:
        context.disable_graph_collection()
    fused = Counter(tuple(node.attr["fused_ops"].list.s) for graph in graphs for node in graph.node
                    if "MatMul" in node.op)
    assert fused == {(b"BiasAdd",): 1, (b"BiasAdd", b"GeluExact"): 1, (b"BiasAdd", b"Add"): 2, (b"Mul", b"Add"): 1,
                     (): 1}   # queries and so on, MLP, both sums, scores, what they weigh
    assert "Erf" not in {node.op for graph in graphs for node in graph.node}
