"""The noise of a step."""

from __future__ import annotations

import numpy as np
import tensorflow as tf

from lic import training


def test_noise_is_a_function_of_seed_and_step():
    def drawn(seed, at):
        step = tf.Variable(at, dtype=tf.int64)

        @tf.function
        def draw():
            with training.noise_from(seed, step):
                noise = tf.random.uniform((2, 50), minval=-.5, maxval=.5), tf.random.uniform((50,), -.5, .5)
            step.assign_add(1)
            return tf.concat([tf.reshape(n, (-1,)) for n in noise], 0)

        return [draw().numpy() for _ in range(3)]

    original = tf.random.uniform
    first = drawn(1, 0)
    np.testing.assert_array_equal(first[1:], drawn(1, 1)[:2])
    every = np.stack([*first, *drawn(2, 0)])
    assert np.abs(np.corrcoef(every) - np.eye(6)).max() < 0.5 and np.abs(every).max() < 0.5
    assert len(np.unique(every)) > 0.99 * every.size and tf.random.uniform is original
