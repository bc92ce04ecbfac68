"""The moving average of the weights, which is saved as the model."""

from __future__ import annotations

import contextlib

import tensorflow as tf

_EVERY = 8   # steps; an average over each would cost as many operations as the optimizer


class Average:
    """Exponential moving average of the weights; over few steps the decay is lower, to forget the first weights."""

    def __init__(self, variables, decay: float):
        self.decay = decay
        self.pairs = [(tf.Variable(v, trainable=False), v) for v in variables] if decay else []
        self.variables = [mean for mean, _ in self.pairs]

    def update(self, steps: tf.Tensor) -> None:
        """To be called after each step, inside a `tf.function`."""
        if self.pairs:
            tf.cond(steps % _EVERY == 0, lambda: self._move(self._rate(steps)), tf.no_op)

    def update_without_branch(self, steps: tf.Tensor) -> None:
        """The same for a device that would wait for its host at a branch, and for which the sums are nothing."""
        self._move(tf.where(steps % _EVERY == 0, self._rate(steps), 0.0))

    def _rate(self, steps):
        steps = tf.cast(steps, tf.float32)
        return 1 - tf.minimum(self.decay, (1 + steps) / (10 + steps)) ** _EVERY

    def _move(self, rate):
        return tf.group(*[mean.assign_add(rate * (v - mean)) for mean, v in self.pairs])

    @contextlib.contextmanager
    def in_place(self):
        """The averages instead of the weights while it lasts."""
        self._swap()
        try:
            yield
        finally:
            self._swap()

    def _swap(self) -> None:
        for mean, v in self.pairs:
            kept = v.numpy()
            v.assign(mean)
            mean.assign(kept)
