"""Products of integers: the same on every machine, as nothing in them is rounded, and close to what they stand for."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import tensorflow as tf

from arch_ops import Conv, Deconv
from lic import checkerboard, integers, registry, resources, weights
from lic.arithmetic import FLOAT32, PORTABLE
from lic.coders import Coder, GaussianModel
from swin_transformers_tf import Sequential

LAYERS = {
    "conv": lambda: Conv(24, 3, activation=tf.nn.relu), "1x1": lambda: Conv(24, 1),
    "strided": lambda: Conv(24, 5, 2), "deconv": lambda: Deconv(24), "deconv of 3": lambda: Deconv(24, 3, 1),
    "checkerboard": lambda: checkerboard.CrossConv(24, 3, True), "narrow deconv": lambda: Deconv(3),
}


def a_map(scale: float = 1.0, depth: int = 40) -> tf.Tensor:
    """(2, 12, 8, depth) float64, exact in float32; the second picture is a thousand times as loud."""
    x = np.random.default_rng(1).laplace(size=(2, 12, 8, depth)) * scale
    return tf.cast(tf.constant(x * np.array([1, 1000])[:, None, None, None], tf.float32), tf.float64)


@pytest.fixture(params=LAYERS)
def layer(request):
    """(a layer that multiplies integers, the same layer as it was)."""
    tf.keras.utils.set_random_seed(3)
    made = [LAYERS[request.param]() for _ in range(2)]
    for each in made:
        each(tf.cast(a_map(), tf.float32))
    for mine, other in zip(made[0].weights, made[1].weights):
        mine.assign(other)
    integers.adopt(PORTABLE, made[0])
    return made


def test_sums_are_the_same_in_float32_and_float64_to_the_last_bit(layer, monkeypatch):
    narrow = layer[0](a_map()).numpy()
    monkeypatch.setattr(tf.config, "list_physical_devices", lambda *_: ["a GPU"])
    np.testing.assert_array_equal(layer[0](a_map()).numpy(), narrow)


@pytest.mark.parametrize("how", [{}, {"jit_compile": True}], ids=["a graph", "XLA"])
def test_graphs_and_xla_compute_what_single_operations_do(layer, how):
    """With weights as the bundled models have them, in half precision: many lie at a tie of their unit."""
    for v in layer[0].weights:
        v.assign(tf.cast(tf.cast(v, tf.float16), tf.float32))
    made = tf.function(layer[0], autograph=False, **how)(a_map())
    np.testing.assert_array_equal(made.numpy(), layer[0](a_map()).numpy())


def test_order_of_the_inputs_does_not_matter():
    """Only where no sum is rounded; in float32 as it was, the order shows."""
    layer, order = Conv(24, 3), np.random.default_rng(2).permutation(40)
    x = a_map()
    layer(tf.cast(x, tf.float32))
    kernel = layer.kernel.numpy()

    def both(dtype):
        given = tf.cast(x, dtype)
        layer.kernel.assign(kernel)
        before = layer(given).numpy()
        layer.kernel.assign(kernel[:, :, order])
        return before, layer(tf.gather(given, order, axis=-1)).numpy()

    assert not np.array_equal(*both(tf.float32))
    integers.adopt(PORTABLE, layer)
    np.testing.assert_array_equal(*both(tf.float64))


def test_result_is_close_to_that_of_float64(layer):
    exact, close = layer[1](a_map()).numpy(), layer[0](a_map()).numpy()
    taps = layer[0].side ** 2 * a_map().shape[-1]
    for picture in range(2):   # each has a unit of its own
        error = np.sqrt(np.mean((close - exact)[picture] ** 2) / np.mean(exact[picture] ** 2))
        assert 0 < error < 0.005 + taps / 2 ** 15   # half a unit a weight at most, of weights that are spread evenly


def test_no_sum_leaves_what_float32_holds():
    """Even where all values are as large as they can be, and all weights alike."""
    seen = []

    def multiply(x, kernel):
        largest = tf.reduce_max(tf.reduce_sum(tf.abs(kernel), (0, 1, 2))) * tf.reduce_max(tf.abs(x))
        seen.append(float(largest))
        return tf.nn.conv2d(x, kernel, 1, "SAME")

    for taps in (1, 7, 64, 900, 2049, 8192):
        for kernel in (tf.ones((1, 1, taps, 2)), tf.random.normal((1, 1, taps, 50)), 1e-20 * tf.ones((1, 1, taps, 1))):
            x = tf.constant(2 - 2.0 ** -20, tf.float64) * tf.ones((1, 2, 2, taps), tf.float64)   # rounded up to a power
            integers.product(multiply, x, kernel, (0, 1, 2))
    assert max(seen) <= 2 ** 24 and min(seen) > 2 ** 21   # within the bound, and no more than three bits below it


def test_map_of_zeros_and_a_dead_output_stay_zero():
    layer = Conv(4, 3)
    layer(tf.zeros((1, 4, 4, 8)))
    layer.kernel.assign(layer.kernel * [1.0, 0.0, 1.0, 1.0])
    integers.adopt(PORTABLE, layer)
    x = a_map(depth=8)
    assert not layer(tf.zeros_like(x)).numpy().any()
    made = layer(x).numpy()
    assert not made[..., 1].any() and made[..., 0].any()


def test_too_many_taps_are_noticed_when_the_graph_is_made():
    layer = Conv(2, 3)
    layer(tf.zeros((1, 4, 4, 1000)))
    integers.adopt(PORTABLE, layer)
    with pytest.raises(AssertionError, match="9000 taps are too many"):
        layer(tf.zeros((1, 4, 4, 1000), tf.float64))


def test_floats_of_training_are_multiplied_as_ever(layer):
    x = tf.cast(a_map(), tf.float32)
    np.testing.assert_array_equal(layer[0](x), layer[1](x))


def assert_holds_only_what_is_exact(network, *known):
    """Convolutions and ReLUs; any other layer with weights would not be."""
    for part in network.submodules:
        if isinstance(part, tf.keras.layers.Layer):
            assert isinstance(part, (Conv, Deconv, Sequential, *known))
            assert getattr(part, "activation", None) in (None, tf.nn.relu)


@pytest.mark.parametrize("preset", [pytest.param("elic", marks=pytest.mark.slow), "nano-variable", "tiny"])
def test_entropy_path_of_elic_holds_only_what_is_exact(preset):
    model = registry.build("hypmqw2022", registry.preset("hypmqw2022", preset))
    for network in (model.h_s, model.context):
        assert_holds_only_what_is_exact(network, type(model.context))
    assert model.context.sigma == "index"   # a logarithm is more than one rounding
    assert model.arithmetic == dataclasses.replace(PORTABLE, exact_hyper=True, exact_context=True)


@pytest.mark.parametrize("preset", [pytest.param("swint-charm", marks=pytest.mark.slow), "nano-variable", "tiny"])
def test_context_of_swint_charm_holds_only_what_is_exact(preset):
    model = registry.build("zyc2022", registry.preset("zyc2022", preset))
    assert_holds_only_what_is_exact(model.context, type(model.context.parameters[0]))
    assert model.context.sigma == "index" and model.context.refine is None
    assert model.arithmetic == dataclasses.replace(PORTABLE, exact_context=True)


def test_context_that_alone_is_exact_sees_the_hyper_synthesis_on_the_grid_and_watches_its_ties():
    arithmetic = dataclasses.replace(PORTABLE, exact_context=True)
    coder = Coder(GaussianModel(), arithmetic)
    maps = [tf.constant(values) for values in (np.linspace(-3, 3, 64).reshape(1, 4, 4, 4) + 0.1 / 256,
                                               np.full((1, 2, 2, 4), 2.5 / 256))]
    settled = coder.hyper(maps)
    for given, taken in zip(maps, settled):
        assert taken.dtype == tf.float64 and not (taken.numpy() * 256 % 1).any()
        np.testing.assert_allclose(taken, given, rtol=0, atol=0.5 / 256)
    assert len(coder.slack) == 2 and float(coder.slack[1][0]) == 0 < float(coder.slack[0][0])
    coder.settle(maps[0], maps[0])
    assert len(coder.slack) == 2   # the context's own predictions are the same everywhere
    for other in (PORTABLE, FLOAT32, dataclasses.replace(arithmetic, exact_hyper=True)):
        assert Coder(GaussianModel(), other).hyper(maps) is maps


@pytest.mark.parametrize("script, preset", [("lsk2023", "tiny"), ("zyc2022", "conv-hyperprior")])
def test_other_paths_stay_in_float64_and_keep_their_margin(script, preset):
    assert registry.build(script, registry.preset(script, preset)).arithmetic == PORTABLE


def test_float32_is_exact_nowhere():
    for script in ("zyc2022", "hypmqw2022"):
        assert registry.build(script, registry.preset(script, "tiny"), arithmetic=FLOAT32).arithmetic == FLOAT32


@pytest.mark.parametrize("script", ["hypmqw2022", "zyc2022"])
def test_integers_cost_a_trained_model_hardly_a_bit(picture, script):
    model, _ = weights.load(resources.bundled(script))
    x = tf.constant(picture(256, 384))
    for quality in (1.0, 50.0, 100.0):
        portable, float32 = (float(e.bits_y[0] + e.bits_z[0]) for e in (
            model.estimate(x, arithmetic=a, quality=tf.constant([quality])) for a in (model.arithmetic, FLOAT32)))
        assert portable != float32 and portable < 1.01 * float32


def test_numbers_are_powers_of_two_apart_from_the_value():
    x = tf.constant([1.0, 1.9999999, 2.0, 3.0, 0.75, 0.0], tf.float32)
    np.testing.assert_array_equal(integers._power_below(x)[:-1], [1, 1, 2, 2, 0.5])
    assert integers._power_below(x)[-1] > 0
    powers = 2.0 ** tf.range(-80.0, 80.0)
    np.testing.assert_array_equal(tf.function(integers._inverse)(powers) * powers, np.ones(160))
