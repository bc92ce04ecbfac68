"""Layer normalisation as the graph optimiser likes it is layer normalisation, and its gradient is its gradient."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from swin_transformers_tf import norms

CHANNELS = 24
UNITS = {tf.float32: 2.0 ** -24, tf.bfloat16: 2.0 ** -8}
TYPES = pytest.mark.parametrize("dtype", UNITS, ids=lambda dtype: dtype.name)


@pytest.fixture
def operands():
    """(x, gamma, beta) in float64; the deviations of x are of the order of the root of epsilon."""
    rng = np.random.default_rng(5)
    return 3e-3 * rng.normal(size=(2, 5, 7, CHANNELS)) + 1e-3, rng.normal(size=CHANNELS), rng.normal(size=CHANNELS)


def expected(x, gamma, beta):
    centred = x - x.mean(-1, keepdims=True)
    return centred / np.sqrt((centred ** 2).mean(-1, keepdims=True) + 1e-5) * gamma + beta


def rounded(arrays, dtype):
    """Tensors: the first of the type, weights in float32; and what they then are in float64."""
    tensors = [tf.cast(arrays[0], dtype), *(tf.cast(a, tf.float32) for a in arrays[1:])]
    return tensors, [tf.cast(t, tf.float64).numpy() for t in tensors]


@TYPES
@pytest.mark.parametrize("size", [None, 5], ids=["any size", "known size"])
def test_graph_of_maps_normalises_over_the_channels(operands, dtype, size):
    (x, gamma, beta), exact = rounded(operands, dtype)

    @tf.function(input_signature=[tf.TensorSpec((None, size, None, CHANNELS), dtype)])
    def normalised(x):
        return norms.layer_norm(x, gamma, beta)

    y, right = normalised(x), expected(*exact)
    assert y.dtype == dtype and y.shape == x.shape
    np.testing.assert_allclose(tf.cast(y, tf.float64), right, rtol=0, atol=6 * UNITS[dtype] * np.abs(right).max())


@TYPES
def test_gradient_is_that_of_the_steps(operands, dtype):
    (x, gamma, beta), exact = rounded(operands, dtype)
    towards = np.random.default_rng(6).normal(size=x.shape)

    def gradients(of, operands):
        with tf.GradientTape() as tape:
            tape.watch(operands)
            loss = tf.reduce_sum(tf.cast(of(*operands), tf.float64) * towards)
        return tape.gradient(loss, operands)

    found = gradients(norms.layer_norm, [x, gamma, beta])
    right = gradients(norms.stepwise, [tf.constant(a) for a in exact])
    for a, b, operand in zip(found, right, (x, gamma, beta)):
        assert a.dtype == operand.dtype
        np.testing.assert_allclose(tf.cast(a, tf.float64), b, rtol=0, atol=8 * UNITS[dtype] * np.abs(b).max())


def test_xla_compiles_it(operands):
    (x, gamma, beta), exact = rounded(operands, tf.float32)
    compiled = tf.function(norms.layer_norm, jit_compile=True)
    np.testing.assert_allclose(compiled(x, gamma, beta), expected(*exact), rtol=0, atol=1e-5)
