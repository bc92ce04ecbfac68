"""Distortions of training: equal to the figures of files, a number for each picture, a gradient that is one."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from lic import metrics
from lic.distortion import DISTORTIONS, ms_ssim_loss, mse


def pairs(picture, height, width, spread, batch=2):
    """Pictures, and darker and noisy ones, rounded so that they are pictures too."""
    x = picture(height, width, batch)
    noise = np.random.default_rng(1).normal(0, spread, x.shape)
    return x, np.clip(np.round(0.7 * x + noise), 0, 255).astype(np.float32)


@pytest.mark.parametrize(("height", "width", "spread"), [(256, 256, 8), (161, 200, 3), (203, 177, 30), (176, 176, 0)])
def test_distortions_of_each_picture_are_those_that_files_are_measured_by(picture, height, width, spread):
    x, x_hat = pairs(picture, height, width, spread)
    measured = [[of(a.astype(np.uint8), b.astype(np.uint8)) for a, b in zip(x, x_hat)]
                for of in (metrics.mse, metrics.ms_ssim)]
    np.testing.assert_allclose(mse(x, x_hat), measured[0], rtol=1e-5)
    np.testing.assert_allclose(1 - ms_ssim_loss(tf.constant(x), tf.constant(x_hat)), measured[1], atol=2e-5)


def test_gradient_of_similarity_is_its_slope(picture):
    x, x_hat = map(tf.constant, pairs(picture, 176, 176, 8, batch=1))
    direction = tf.random.stateless_normal(x.shape, (1, 2))
    with tf.GradientTape() as tape:
        tape.watch(x_hat)
        loss = ms_ssim_loss(x, x_hat)
    slope = float(tf.reduce_sum(tape.gradient(loss, x_hat) * direction))
    ahead, behind = (float(ms_ssim_loss(x, x_hat + step * direction)[0]) for step in (0.5, -0.5))
    assert slope == pytest.approx(ahead - behind, rel=0.02)


@pytest.mark.parametrize("kind", ["inverted", "flat", "noise"])
def test_picture_that_is_nothing_like_its_original_has_a_gradient_that_leads_to_it(picture, kind):
    """At the start of a training the terms of all scales may be negative, and no power of them has a gradient."""
    x = tf.constant(picture(176, 176))
    x_hat = tf.constant({"inverted": 255 - x.numpy(), "flat": np.full(x.shape, 3, np.float32),
                         "noise": np.random.default_rng(0).uniform(0, 255, x.shape).astype(np.float32)}[kind])
    with tf.GradientTape() as tape:
        tape.watch(x_hat)
        loss = ms_ssim_loss(x, x_hat)
    gradient = tape.gradient(loss, x_hat)
    assert float(loss[0]) > 0.5 and np.isfinite(gradient).all()
    assert float(tf.reduce_sum(gradient * (x - x_hat))) < 0


def test_similarity_is_traced_for_sides_that_are_not_known(picture):
    x, x_hat = pairs(picture, 176, 192, 8)
    traced = tf.function(ms_ssim_loss, input_signature=[tf.TensorSpec((None, None, None, 3))] * 2)
    np.testing.assert_allclose(traced(x, x_hat), ms_ssim_loss(tf.constant(x), tf.constant(x_hat)), rtol=1e-4)


def test_every_distortion_is_a_choice_of_the_command_line():
    import config
    assert tuple(DISTORTIONS) == config.CHOICES["distortion"]
    assert all(set(tables) <= set(DISTORTIONS) for tables in config.LAMBDAS.values())
