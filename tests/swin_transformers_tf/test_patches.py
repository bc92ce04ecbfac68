"""Patch merging and splitting: in which order pixels become channels, and back."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from swin_transformers_tf import PatchMerging, PatchSplitting, patches, pixel_shuffle


def noise(*shape):
    return np.random.default_rng(0).normal(size=shape)


@pytest.mark.parametrize("order", ["inner", "outer"])
def test_pixel_shuffle_takes_each_pixel_from_its_channel(order):
    x = noise(2, 3, 4, 12)
    y = pixel_shuffle(tf.constant(x), order).numpy()
    assert y.shape == (2, 6, 8, 3)
    for c in range(3):
        for dy in (0, 1):
            for dx in (0, 1):
                channel = c * 4 + dy * 2 + dx if order == "inner" else (dy * 2 + dx) * 3 + c
                np.testing.assert_array_equal(y[:, dy::2, dx::2, c], x[..., channel])


def test_pixel_shuffle_works_where_the_size_is_unknown():
    x = noise(2, 3, 4, 12)
    for order in ("inner", "outer"):
        unknown = tf.function(lambda t, order=order: pixel_shuffle(t, order), autograph=False,
                              input_signature=[tf.TensorSpec((None, None, None, 12), tf.float64)])
        np.testing.assert_array_equal(unknown(tf.constant(x)), pixel_shuffle(tf.constant(x), order))


@pytest.mark.parametrize(("order", "pixels"), [
    ("rows_first", [(0, 0), (1, 0), (0, 1), (1, 1)]), ("columns_first", [(0, 0), (0, 1), (1, 0), (1, 1)])])
def test_four_pixels_are_merged_in_the_order_of_the_convention(order, pixels):
    x = noise(1, 4, 6, 3)
    expected = np.concatenate([x[:, dy::2, dx::2] for dy, dx in pixels], -1)
    np.testing.assert_array_equal(patches.space_to_depth(tf.constant(x), order), expected)


def norm(x, layer):
    mean, variance = x.mean(-1, keepdims=True), x.var(-1, keepdims=True)
    return (x - mean) / np.sqrt(variance + 1e-5) * layer.gamma.numpy() + layer.beta.numpy()


def made(layer, x):
    layer(tf.constant(x))
    rng = np.random.default_rng(1)
    for v in layer.weights:
        v.assign_add(tf.constant(rng.normal(0, 0.1, v.shape), tf.float32))
    return layer, layer(tf.constant(x)).numpy()


@pytest.mark.parametrize("order", ["rows_first", "columns_first"])
def test_patch_merging_normalises_four_pixels_and_mixes_them_without_bias(order):
    x = noise(1, 4, 6, 3)
    layer, y = made(PatchMerging(5, order), x)
    four = patches.space_to_depth(tf.constant(x), order).numpy()
    np.testing.assert_allclose(y, norm(four, layer.norm) @ layer.reduction.kernel.numpy(), rtol=0, atol=1e-12)
    assert layer.reduction.bias is None


@pytest.mark.parametrize("last", [False, True])
@pytest.mark.parametrize("shuffle", ["inner", "outer"])
@pytest.mark.parametrize("form", ["norm_linear", "linear_norm"])
def test_patch_splitting_has_its_norm_where_the_form_says(form, shuffle, last):
    x = noise(1, 3, 2, 6)
    layer, y = made(PatchSplitting(5, form, shuffle, last), x)
    kernel = layer.reduction.kernel.numpy()
    if form == "norm_linear":
        wide = norm(x, layer.norm) @ kernel
    elif last:
        wide = x @ kernel + layer.reduction.bias.numpy()
    else:
        wide = norm(x @ kernel, layer.norm)
    np.testing.assert_allclose(y, pixel_shuffle(tf.constant(wide), shuffle), rtol=0, atol=1e-12)
    bare = form == "linear_norm" and last
    assert (layer.reduction.bias is not None) == bare and (layer.norm is None) == bare
