"""The base layers: they compute in the type of their input, and normalise as PyTorch does."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from swin_transformers_tf import Dense, LayerNorm, PatchMerging, PatchSplitting, Sequential, SwinBlock


def noise(*shape):
    return np.random.default_rng(0).normal(size=shape)


def test_layer_norm_has_pytorchs_epsilon():
    x = noise(2, 3, 5) * 1e-2   # a variance of 1e-4: an epsilon of 1e-3 would shrink the output to a third
    layer = LayerNorm()
    layer(tf.constant(x))
    layer.gamma.assign(noise(5) + 1)
    layer.beta.assign(noise(5))
    scaled = (x - x.mean(-1, keepdims=True)) / np.sqrt(x.var(-1, keepdims=True) + 1e-5)
    expected = scaled * layer.gamma.numpy() + layer.beta.numpy()
    np.testing.assert_allclose(layer(tf.constant(x)), expected, rtol=0, atol=1e-12)


def test_layer_norm_of_bfloat16_finds_its_moments_in_float32():
    """100 + noise: in bfloat16 the squares would swallow the variance."""
    x = tf.cast(tf.constant(100 + 4 * noise(1, 64, 64)), tf.bfloat16)
    layer = LayerNorm()
    y = tf.cast(layer(x), tf.float32)
    np.testing.assert_allclose(y, layer(tf.cast(x, tf.float32)), rtol=2.0 ** -7, atol=1e-3)   # its own rounding


def test_dense_is_a_matrix_and_a_bias_over_the_last_axis():
    x = noise(2, 3, 4, 5)
    layer = Dense(6)
    layer(tf.constant(x))
    layer.bias.assign(noise(6))
    expected = x @ layer.kernel.numpy() + layer.bias.numpy()
    np.testing.assert_allclose(layer(tf.constant(x)), expected, rtol=0, atol=1e-12)
    assert Dense(6, use_bias=False)(tf.constant(x)).shape == (2, 3, 4, 6)


@pytest.mark.parametrize("dtype", [tf.float64, tf.float32, tf.bfloat16], ids=lambda dtype: dtype.name)
def test_dense_multiplies_its_input_and_its_outputs_by_numbers(dtype):
    x, after = noise(2, 3, 4, 5), np.linspace(-1, 1, 6)
    layer = Dense(6)
    layer(tf.constant(x))
    layer.bias.assign(noise(6))
    expected = ((0.3 * x) @ layer.kernel.numpy() + layer.bias.numpy()) * after
    unit = {tf.float64: 2.0 ** -53, tf.float32: 2.0 ** -24, tf.bfloat16: 2.0 ** -8}[dtype]
    y = tf.cast(layer(tf.cast(x, dtype), 0.3, after), tf.float64)
    np.testing.assert_allclose(y, expected, rtol=0, atol=10 * unit * np.abs(expected).max())


LAYERS = {
    "Dense": lambda: Dense(4),
    "LayerNorm": lambda: LayerNorm(),
    "SwinBlock": lambda: SwinBlock(2, 4, 2),
    "PatchMerging": lambda: PatchMerging(4),
    "PatchSplitting": lambda: PatchSplitting(4),
    "PatchSplitting last": lambda: PatchSplitting(4, "linear_norm", "outer", True),
    "Sequential": lambda: Sequential([Dense(4), LayerNorm()]),
}


@pytest.mark.parametrize("name", LAYERS)
@pytest.mark.parametrize("dtype", [tf.float64, tf.float32, tf.bfloat16], ids=lambda dtype: dtype.name)
def test_layer_computes_in_the_type_of_its_input_from_float32_weights(name, dtype):
    x = tf.constant(noise(1, 6, 6, 8))
    layer = LAYERS[name]()
    wide = layer(x)
    y = layer(tf.cast(x, dtype))
    assert y.dtype == dtype and all(v.dtype == tf.float32 for v in layer.weights)
    # The type's rounding of the largest value, grown over half a dozen operations.
    unit = {tf.float64: 2.0 ** -53, tf.float32: 2.0 ** -24, tf.bfloat16: 2.0 ** -8}[dtype]
    np.testing.assert_allclose(tf.cast(y, tf.float64), wide, rtol=0, atol=unit * 50 * np.abs(wide).max())


@pytest.mark.parametrize("name", LAYERS)
def test_layer_computes_in_float64_all_the_way(name):
    """A step through float32 anywhere inside would round a change of 1e-9 away, or to a multiple of 6e-8."""
    x, direction = noise(1, 6, 6, 8), np.random.default_rng(3).normal(size=(1, 6, 6, 8))
    layer = LAYERS[name]()
    y = layer(tf.constant(x)).numpy()
    once, twice = (layer(tf.constant(x + n * 1e-9 * direction)).numpy() - y for n in (1, 2))
    assert np.abs(once).max() > 1e-11
    np.testing.assert_allclose(twice, 2 * once, rtol=0, atol=1e-4 * np.abs(once).max())


def test_global_precision_policy_changes_nothing():
    before = tf.keras.mixed_precision.global_policy()
    tf.keras.mixed_precision.set_global_policy("mixed_bfloat16")
    try:
        layer = SwinBlock(2, 4, 2)
        assert layer(tf.constant(noise(1, 4, 4, 8))).dtype == tf.float64
        assert all(v.dtype == tf.float32 for v in layer.weights)
    finally:
        tf.keras.mixed_precision.set_global_policy(before)
