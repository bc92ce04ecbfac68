"""Parameters and multiply-accumulates: by hand for one layer, against the promise for the bundled presets."""

from __future__ import annotations

import pytest
import tensorflow as tf

from lic import complexity, registry

SPEC = tf.TensorSpec((1, 12, 20, 6))


@pytest.mark.parametrize(("layer", "expected"), [
    # 6 x 10 outputs of 5 channels, each the sum of 3 x 3 taps of 6 channels
    (tf.keras.layers.Conv2D(5, 3, strides=2, padding="same"), 6 * 10 * 5 * 9 * 6),
    (tf.keras.layers.Conv2D(5, 1), 12 * 20 * 5 * 6),
    # each of 12 x 20 inputs of 6 channels meets 5 x 5 taps of 4 outputs
    (tf.keras.layers.Conv2DTranspose(4, 5, strides=2, padding="same"), 12 * 20 * 6 * 25 * 4),
    (tf.keras.layers.Dense(7), 12 * 20 * 6 * 7),
])
def test_layer_counts_as_by_hand(layer, expected):
    layer.build(SPEC.shape)
    assert complexity.macs(layer, SPEC) == expected


def test_attention_counts_both_of_its_products():
    def attend(x):
        tokens = tf.reshape(x, (1, 240, 6))
        return tf.matmul(tf.matmul(tokens, tokens, transpose_b=True), tokens)

    assert complexity.macs(attend, SPEC) == 2 * 240 * 240 * 6


def test_sums_and_pointwise_operations_are_free():
    assert complexity.macs(lambda x: tf.reduce_sum(tf.nn.gelu(x) * 2 + 1), SPEC) == 0


@pytest.mark.parametrize("script", [
    pytest.param("lsk2023", marks=pytest.mark.slow), "zyc2022", "hypmqw2022"])
def test_nano_keeps_its_promise_of_four_million_parameters_and_forty_kmacs_a_pixel(script):
    model = registry.build(script, registry.preset(script, "nano"))
    kmacs = complexity.kmacs_per_pixel(model)
    assert sum(complexity.parameters(model)) <= 4_000_000
    assert round(kmacs["encode"] + kmacs["decode"], 1) <= 40, kmacs
    shared = kmacs["hyper_synthesis"] + kmacs["context"]
    assert kmacs["encode"] == pytest.approx(kmacs["analysis"] + kmacs["hyper_analysis"] + shared, abs=0.003)
    assert kmacs["decode"] == pytest.approx(kmacs["synthesis"] + shared, abs=0.003)
    assert min(kmacs.values()) > 0


def test_kmacs_a_pixel_do_not_depend_on_the_side_of_the_picture(build):
    model = build("zyc2022")   # of windows and convolutions
    assert complexity.kmacs_per_pixel(model, 256) == pytest.approx(complexity.kmacs_per_pixel(model, 512), rel=1e-3)


def test_prior_is_counted_apart_from_the_networks(build):
    model = build("zyc2022")
    networks, prior = complexity.parameters(model)
    # A density: matrices 1-3-3-1, as many biases as outputs and a gate for each but the last.
    assert prior == model.preset.hyper_depth * (3 + 9 + 3 + 7 + 6)
    assert networks + prior == sum(v.shape.num_elements() for v in model.trainable_variables)
