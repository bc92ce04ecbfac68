"""The geometry of windows: padding, relative positions, and who may see whom."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from swin_transformers_tf import windows


def test_relative_position_is_query_minus_key_rows_first():
    index = windows.relative_position_index(3)
    assert index.shape == (9, 9)
    for query in range(9):
        for key in range(9):
            rows, columns = query // 3 - key // 3, query % 3 - key % 3
            assert index[query, key] == (rows + 2) * 5 + columns + 2
    assert index[3, 0] == 3 * 5 + 2 and index[0, 3] == 1 * 5 + 2, "one row below its key; one row above it"
    assert sorted(set(index.flat)) == list(range(25))


@pytest.mark.parametrize(("h", "w"), [(8, 8), (1, 1), (9, 16), (5, 13)])
def test_padding_is_zeros_below_and_to_the_right_up_to_whole_windows(h, w):
    x = np.random.default_rng(0).normal(size=(2, h, w, 3))
    y = windows.pad_to_windows(tf.constant(x), 8).numpy()
    assert y.shape == (2, -(-h // 8) * 8, -(-w // 8) * 8, 3)
    np.testing.assert_array_equal(y[:, :h, :w], x)
    assert np.count_nonzero(y) == np.count_nonzero(x)


def meet(first, second, window, shift, length):
    """Whether two positions of one axis are in one window: by their distance from the grid, without rolling."""
    real = (first < length) == (second < length)
    return real and (first - shift) // window == (second - shift) // window


@pytest.mark.parametrize("shift", [0, 2])
@pytest.mark.parametrize(("h", "w"), [(8, 12), (4, 4), (3, 9), (1, 1), (6, 5)])
def test_mask_lets_positions_meet_that_share_a_window_of_the_map_itself(h, w, shift):
    m = 4
    below, beside = windows.attention_mask(tf.constant(h), tf.constant(w), m, shift, tf.float64)
    mask = tf.reshape(below[:, None] + beside, (-1, m * m, m * m)).numpy()
    rows, columns = -(-h // m) * m, -(-w // m) * m
    assert mask.shape == (rows * columns // m ** 2, m ** 2, m ** 2)
    n = 0
    for top in range(0, rows, m):
        for left in range(0, columns, m):
            tokens = [((top + i + shift) % rows, (left + j + shift) % columns) for i in range(m) for j in range(m)]
            expected = [[meet(a, c, m, shift, h) and meet(b, d, m, shift, w) for c, d in tokens] for a, b in tokens]
            np.testing.assert_array_equal(mask[n] == 0, expected)
            n += 1
    assert set(np.unique(mask)) <= {0, -1e9, -2e9}


def test_mask_is_left_out_only_where_it_is_known_to_be_empty():
    assert not windows.needs_mask(tf.constant([1, 8, 16, 1]), 8, 0)
    assert windows.needs_mask(tf.constant([1, 8, 16, 1]), 8, 4)
    assert windows.needs_mask(tf.constant([1, 8, 8, 1]), 8, 4), "one shifted window is masked, too"
    assert windows.needs_mask(tf.constant([1, 9, 16, 1]), 8, 0)
    assert windows.needs_mask(tf.constant([1, 8, 15, 1]), 8, 0)


@pytest.mark.parametrize(("shape", "needed"), [((1, 8, 16, 1), False), ((1, None, 16, 1), True)])
def test_mask_is_left_out_where_a_trace_knows_the_shape(shape, needed):
    found = []
    traced = tf.function(lambda x: found.append(windows.needs_mask(tf.shape(x), 8, 0)))
    traced.get_concrete_function(tf.TensorSpec(shape, tf.float32))
    assert found == [needed]
