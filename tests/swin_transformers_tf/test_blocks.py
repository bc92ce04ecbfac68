"""Swin blocks and stages, put together by hand from their parts; errors of float64 sums stay below 1e-12."""

from __future__ import annotations

import math

import numpy as np
import tensorflow as tf

from swin_transformers_tf import MLP, BasicLayer, PatchMerging, SwinBlock
from swin_transformers_tf.blocks import gelu


def noise(*shape):
    return np.random.default_rng(0).normal(size=shape)


def made(layer, x):
    layer(tf.constant(x))
    rng = np.random.default_rng(1)
    for v in layer.weights:
        v.assign_add(tf.constant(rng.normal(0, 0.1, v.shape), tf.float32))
    return layer, layer(tf.constant(x)).numpy()


def test_gelu_is_the_exact_one():
    x = np.linspace(-5, 5, 41)
    expected = [v * 0.5 * (1 + math.erf(v / math.sqrt(2))) for v in x]
    # TensorFlow keeps the root of 2 as float32; the tanh form would be off by up to 5e-4.
    np.testing.assert_allclose(gelu(tf.constant(x)), expected, rtol=0, atol=1e-8)


def test_mlp_is_four_times_as_wide_inside_and_has_biases():
    x = noise(2, 3, 4, 5)
    layer, y = made(MLP(), x)
    inner = gelu(tf.constant(x @ layer.fc1.kernel.numpy() + layer.fc1.bias.numpy())).numpy()
    assert inner.shape[-1] == 20
    np.testing.assert_allclose(y, inner @ layer.fc2.kernel.numpy() + layer.fc2.bias.numpy(), rtol=0, atol=1e-12)


def test_swin_block_normalises_before_attention_and_before_the_mlp():
    x = noise(1, 5, 6, 4)
    block, y = made(SwinBlock(2, 4, 2), x)
    middle = x + block.attn(block.norm1(tf.constant(x))).numpy()
    np.testing.assert_allclose(y, middle + block.mlp(block.norm2(tf.constant(middle))), rtol=0, atol=1e-12)


def test_windows_of_a_stage_are_in_turn_unshifted_and_shifted_by_half():
    stage = BasicLayer(5, 2, 8, scale_dim=32)
    assert [b.attn.shift for b in stage.blocks.layers] == [0, 4, 0, 4, 0]
    assert {(b.attn.heads, b.attn.window, b.attn.scale_dim) for b in stage.blocks.layers} == {(2, 8, 32)}


def test_stage_resamples_after_its_blocks():
    x = noise(1, 6, 4, 4)
    stage, y = made(BasicLayer(2, 2, 4, resample=PatchMerging(6)), x)
    np.testing.assert_array_equal(y, stage.resample(stage.blocks(tf.constant(x))))
    assert y.shape == (1, 3, 2, 6)
    plain, y = made(BasicLayer(2, 2, 4), x)
    np.testing.assert_array_equal(y, plain.blocks(tf.constant(x)))


def test_layers_of_a_stage_do_not_start_alike():
    stage = BasicLayer(2, 2, 4)
    stage(tf.zeros((1, 4, 4, 8)))
    first, second = stage.blocks.layers
    for a, b in zip(first.weights, second.weights):
        if a.shape.rank > 1:
            assert np.any(a != b), a.name
    table = BasicLayer(1, 8, 8)
    table(tf.zeros((1, 8, 8, 64)))
    # 64 x 256 numbers, cut at two deviations: TensorFlow's 0.02 is the deviation before the cut.
    deviation = float(tf.math.reduce_std(table.blocks.layers[0].mlp.fc1.kernel))
    assert 0.0165 < deviation < 0.0205
