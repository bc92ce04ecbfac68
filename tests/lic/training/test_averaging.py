"""The moving average of the weights."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from lic.training import Average


def test_average_follows_the_weights_fast_at_first_and_slowly_later():
    v = tf.Variable([0.0])
    average = Average([v], 0.99)
    update = tf.function(average.update, autograph=False)
    v.assign([1.0])
    for steps, decay in ((7, None), (8, 9 / 18), (16, 17 / 26), (10_000, 0.99), (10_003, None)):
        before = float(average.variables[0][0])
        update(tf.constant(steps, tf.int64))
        expected = before if decay is None else 1 - (1 - before) * decay ** 8
        assert float(average.variables[0][0]) == pytest.approx(expected, rel=1e-6)
    kept = average.variables[0].numpy()
    with average.in_place():
        np.testing.assert_array_equal(v, kept)
    assert float(v[0]) == 1 and np.array_equal(average.variables[0], kept)
