"""The two colours of a checkerboard."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from lic import checkerboard


def test_even_colour_holds_the_sites_whose_row_and_column_add_up_to_an_even_number():
    x = np.arange(4 * 6).reshape(1, 4, 6, 1)
    even, odd = (half.numpy()[0, :, :, 0] for half in checkerboard.split(tf.constant(x)))
    np.testing.assert_array_equal(even, [[0, 2, 4], [7, 9, 11], [12, 14, 16], [19, 21, 23]])
    np.testing.assert_array_equal(odd, [[1, 3, 5], [6, 8, 10], [13, 15, 17], [18, 20, 22]])


def test_packed_row_holds_the_columns_of_its_colour_in_their_order():
    x = np.random.default_rng(0).normal(size=(3, 8, 10, 5))
    even, odd = (half.numpy() for half in checkerboard.split(tf.constant(x)))
    assert even.shape == odd.shape == (3, 8, 5, 5)
    for r in range(8):
        np.testing.assert_array_equal(even[:, r], x[:, r, r % 2::2])
        np.testing.assert_array_equal(odd[:, r], x[:, r, 1 - r % 2::2])


@pytest.mark.parametrize("shape", [(1, 2, 2, 1), (2, 4, 6, 3), (1, 10, 2, 4)])
def test_merge_is_the_inverse_of_split(shape):
    x = tf.constant(np.random.default_rng(0).normal(size=shape))
    np.testing.assert_array_equal(checkerboard.merge(*checkerboard.split(x)), x)


def test_split_is_the_inverse_of_merge():
    even, odd = np.random.default_rng(0).normal(size=(2, 2, 4, 3, 5))
    halves = checkerboard.split(checkerboard.merge(tf.constant(even), tf.constant(odd)))
    np.testing.assert_array_equal(halves, (even, odd))


def test_sizes_may_be_unknown():
    @tf.function(autograph=False, input_signature=[tf.TensorSpec((None, None, None, 3))])
    def there_and_back(x):
        return checkerboard.merge(*checkerboard.split(x))

    x = np.random.default_rng(0).normal(size=(2, 4, 6, 3)).astype(np.float32)
    np.testing.assert_array_equal(there_and_back(x), x)


@pytest.mark.parametrize("odd", [False, True], ids=["even", "odd"])
@pytest.mark.parametrize("side", [3, 5, 7])
@pytest.mark.parametrize("shape", [(2, 8, 10), (1, 2, 2), (1, 4, 2)])
def test_convolution_across_is_the_masked_one_of_the_whole_map(shape, side, odd):
    rng = np.random.default_rng(0)
    halves = checkerboard.split(tf.constant(rng.normal(size=(*shape, 3))))
    seen = halves[odd]
    blank = tf.zeros_like(seen)
    whole = checkerboard.merge(blank, seen) if odd else checkerboard.merge(seen, blank)
    row, column = np.indices((side, side))
    kernel = rng.normal(size=(side, side, 3, 4))
    masked = kernel * ((row + column) % 2)[..., None, None]
    expected = checkerboard.split(tf.nn.conv2d(whole, masked, 1, "SAME"))[not odd]
    found = checkerboard.convolve_across(seen, tf.constant(kernel), odd)
    np.testing.assert_allclose(found, expected, rtol=1e-12, atol=1e-12)


def test_cross_convolution_trains_the_twelve_taps_that_meet_the_other_colour_and_its_bias():
    layer = checkerboard.CrossConv(3, 5, odd=True)
    x = tf.constant(np.random.default_rng(0).normal(size=(2, 6, 4, 2)))
    with tf.GradientTape() as tape:
        y = layer(x)
        loss = tf.reduce_sum((y - 1) ** 2)
    assert y.shape == (2, 6, 4, 3) and y.dtype == tf.float64
    kernel, bias = tape.gradient(loss, [layer.kernel, layer.bias])
    np.testing.assert_array_equal(np.any(kernel != 0, (2, 3)), np.indices((5, 5)).sum(0) % 2 == 1)
    assert np.all(bias != 0)
