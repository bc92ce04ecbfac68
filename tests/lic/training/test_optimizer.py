"""How a gradient becomes a step."""

from __future__ import annotations

import numpy as np
import tensorflow as tf

from config import Training
from lic.training import optimizer_of


def test_gradient_is_clipped_by_its_norm_over_all_weights():
    for clip, factor in ((1.0, 1 / 500), (0.0, 1.0), (1000.0, 1.0)):
        a, b = tf.Variable([0.0]), tf.Variable([0.0])
        optimizer = optimizer_of(Training(clip_norm=clip))
        optimizer.apply_gradients([(tf.constant([300.0]), a), (tf.constant([400.0]), b)])
        moments = [float(optimizer.get_slot(v, "m")[0]) for v in (a, b)]
        np.testing.assert_allclose(moments, [30 * factor, 40 * factor], rtol=1e-5)
