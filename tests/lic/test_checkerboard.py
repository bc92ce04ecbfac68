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
