"""Products of integers: the same on every machine, as nothing in them is rounded, and close to what they stand for."""

from __future__ import annotations

import contextlib

import numpy as np
import pytest
import tensorflow as tf

from arch_ops import Conv, Deconv
from lic import checkerboard, integers, kernels, registry, resources, weights
from lic.arithmetic import FLOAT32, PORTABLE
from lic.coders import Coder
from lic.integers import Integers
from swin_transformers_tf import Dense, products

LAYERS = {
    "conv": lambda: Conv(24, 3, activation=tf.nn.relu), "1x1": lambda: Conv(24, 1), "dense": lambda: Dense(24),
    "strided": lambda: Conv(24, 5, 2), "deconv": lambda: Deconv(24), "deconv of 3": lambda: Deconv(24, 3, 1),
    "checkerboard": lambda: checkerboard.CrossConv(24, 3, True), "narrow deconv": lambda: Deconv(3),
}


def a_map(scale: float = 1.0, depth: int = 40, dtype=tf.float32) -> tf.Tensor:
    """(2, 12, 8, depth); the second picture is a thousand times as loud."""
    x = np.random.default_rng(1).laplace(size=(2, 12, 8, depth)) * scale
    return tf.constant(x * np.array([1, 1000])[:, None, None, None], dtype)


def multiplied(layer, x, phase=None):
    """What a layer makes of x with integers; its kernel is rounded."""
    layer.kernel.assign(kernels.rounded(layer.kernel.numpy(), layer.SUMMED))
    with products.multiplying(Integers(phase)):
        return layer(x)


@pytest.fixture(params=LAYERS)
def layer(request):
    tf.keras.utils.set_random_seed(3)
    made = LAYERS[request.param]()
    made(a_map())
    return made


@pytest.fixture(params=[tf.float32, tf.float64], ids=lambda t: t.name)
def x(request):
    return a_map(dtype=request.param)


def test_sums_are_the_same_in_float32_and_float64_to_the_last_bit(layer, x, monkeypatch):
    narrow = multiplied(layer, x)
    assert narrow.dtype == tf.float32
    monkeypatch.setattr(tf.config, "list_physical_devices", lambda *_: ["a GPU"])
    np.testing.assert_array_equal(multiplied(layer, x), narrow)


@pytest.mark.parametrize("how", [{}, {"jit_compile": True}], ids=["a graph", "XLA"])
def test_graphs_and_xla_compute_what_single_operations_do(layer, x, how):
    expected = multiplied(layer, x)

    @tf.function(autograph=False, **how)
    def made(x):
        with products.multiplying(Integers()):
            return layer(x)

    np.testing.assert_array_equal(made(x), expected)


def test_order_of_the_inputs_does_not_matter():
    """Only where no sum is rounded; in float32 as it was, the order shows."""
    layer, order, x = Conv(24, 3), np.random.default_rng(2).permutation(40), a_map()
    layer(x)
    kernel = layer.kernel.numpy()

    def both(multiply):
        layer.kernel.assign(kernel)
        before = multiply(x).numpy()
        layer.kernel.assign(kernel[:, :, order])
        return before, multiply(tf.gather(x, order, axis=-1)).numpy()

    assert not np.array_equal(*both(layer))
    np.testing.assert_array_equal(*both(lambda x: multiplied(layer, x)))


def test_result_is_close_to_that_of_float64(layer, x):
    exact, close = layer(tf.cast(x, tf.float64)).numpy(), multiplied(layer, x).numpy()
    taps = getattr(layer, "side", 1) ** 2 * x.shape[-1]
    for picture in range(2):   # each has a unit of its own
        error = np.sqrt(np.mean((close - exact)[picture] ** 2) / np.mean(exact[picture] ** 2))
        assert 0 < error < 0.005 + taps / 2 ** 15   # half a unit a weight at most, of weights that are spread evenly


def unit_of(weights) -> float:
    """The largest power of two of which all weights are multiples."""
    return next(unit for unit in 2.0 ** np.arange(20, -149, -1) if not (weights / unit % 1).any())


@pytest.mark.parametrize("dtype", [tf.float32, tf.float64], ids=lambda t: t.name)
def test_no_sum_leaves_what_float32_holds(dtype):
    """Even where all values are as large as they can be, and all weights alike."""
    seen, summed = [], (0, 1, 2)

    def checked(x, kernel):
        for sizes in np.abs(kernel.numpy().reshape(-1, kernel.shape[-1]).T):
            seen.append((sizes / unit_of(sizes)).sum() * np.abs(x).max())
        made = tf.nn.conv2d(x, kernel, 1, "SAME")
        np.testing.assert_array_equal(made, tf.nn.conv2d(*(tf.cast(t, tf.float64) for t in (x, kernel)), 1, "SAME"))
        return made

    for taps in (1, 7, 64, 900, 2049, 8192):
        shape = (1, 1, taps, 5)
        for kernel in (np.ones(shape), np.full(shape, 1e-20), np.random.default_rng(taps).normal(size=shape)):
            x = tf.constant(2 - 2.0 ** -20, dtype) * tf.ones((1, 2, 2, taps), dtype)   # rounded up to a power
            Integers()(checked, x, tf.constant(kernels.rounded(kernel, summed)), summed, 1.0)
    assert 2 ** 22 < max(seen) <= 2 ** 24


@pytest.mark.parametrize("taps", [64, 900, 2049, 8192])
def test_kernels_are_as_fine_as_their_sums_allow(taps):
    kernel = np.random.default_rng(taps).laplace(size=(taps, 20)).astype(np.float32)
    kernel[:, :10] *= np.float32(1e-20)
    most = 2 ** (15 if taps > 2048 else 14)
    for exact, rounded in zip(kernel.T, kernels.rounded(kernel, (0,)).T):
        unit = unit_of(rounded)
        np.testing.assert_array_equal(rounded, np.rint(exact / unit) * unit)
        assert np.abs(rounded / unit).sum() <= most < np.abs(np.rint(exact / (unit / 2))).sum()


def test_kernels_that_are_rounded_stay_as_they_are():
    for taps in (1, 9, 300, 5000):
        kernel = np.random.default_rng(taps).laplace(size=(taps, 300)).astype(np.float16)
        once = kernels.rounded(kernel, (0,))
        np.testing.assert_array_equal(kernels.rounded(once, (0,)), once)


def test_map_of_zeros_and_a_dead_output_stay_zero():
    layer, x = Conv(4, 3), a_map(depth=8)
    layer(x)
    layer.kernel.assign(layer.kernel * [1.0, 0.0, 1.0, 1.0])
    for dtype in (tf.float32, tf.float64):
        assert not multiplied(layer, tf.zeros(x.shape, dtype)).numpy().any()
    made = multiplied(layer, x).numpy()
    assert not made[..., 1].any() and made[..., 0].any()


def test_too_many_taps_are_noticed_when_the_graph_is_made():
    layer = Conv(2, 3)
    layer(tf.zeros((1, 4, 4, 1000)))
    with pytest.raises(AssertionError, match="9000 taps are too many"):
        multiplied(layer, tf.zeros((1, 4, 4, 1000)))


@pytest.mark.parametrize("dtype", [tf.float32, tf.float64], ids=lambda t: t.name)
def test_factors_of_a_dense_layer_are_close_to_those_in_float64(dtype):
    layer, after = Dense(24), np.linspace(0.1, 3, 24)
    layer(a_map())
    layer.bias.assign(tf.range(24.0))
    layer.kernel.assign(kernels.rounded(layer.kernel.numpy(), layer.SUMMED))
    exact = (layer(0.3 * a_map(dtype=tf.float64)) * after).numpy()
    for how in (tf.float64, dtype):   # and so they are outside of the scope
        with products.multiplying(Integers() if how is dtype else None):
            made = layer(a_map(dtype=how), before=0.3, after=after).numpy()
        assert np.sqrt(np.mean((made - exact) ** 2) / np.mean(exact ** 2)) < 0.005


def test_outside_of_the_scope_floats_are_multiplied_as_ever(layer):
    x = a_map()
    within, before = multiplied(layer, x), layer(x).numpy()
    assert not np.array_equal(within, before)
    np.testing.assert_array_equal(layer(x), before)
    with contextlib.suppress(ValueError), products.multiplying(Integers()):
        raise ValueError
    np.testing.assert_array_equal(layer(x), before)


# Maps that are nearly the same on other machines -----------------------------------------------------------------

def rounded(x, phase=0):
    """(what a map in float64 is rounded to before it is multiplied, its slack in steps)."""
    seen, made = [], Integers(tf.constant([phase]))
    made(lambda numbers, _: seen.append(numbers.numpy()) or numbers, x, tf.ones((1, 1, x.shape[-1], 1)), (0, 1, 2), 1.0)
    return seen[0], float(made.slack()[0]) / 16


@pytest.mark.parametrize("phase", range(4))
def test_map_that_is_off_by_less_than_its_slack_is_rounded_alike_and_one_that_is_further_off_is_not(phase):
    x = a_map(dtype=tf.float64)[:1]
    numbers, slack = rounded(x, phase)
    unit = 2.0 ** np.floor(np.log2(np.abs(x).max())) / 2 ** 9
    assert 0 < slack < 1e-3   # of 3,840 values one is as close
    off = np.random.default_rng(phase).uniform(-1, 1, x.shape) * slack * unit
    np.testing.assert_array_equal(rounded(x + 0.99 * off, phase)[0], numbers)
    assert not all(np.array_equal(rounded(x + sign * 1.01 * slack * unit, phase)[0], numbers) for sign in (1, -1))


def test_each_phase_has_other_ties():
    x = a_map(dtype=tf.float64)[:1]
    assert len({rounded(x, phase)[1] for phase in range(4)}) == 4


@pytest.mark.parametrize("phase", range(4))
def test_values_that_are_round_numbers_by_design_are_at_no_tie(phase):
    """Halves of a step, and a largest value at which the step itself changes."""
    for values in ([1, 0.5, 0.5 / 512, 2.5 / 512], [0.125, -0.125, 0, 0], [3, 1.5 / 256, 0, -0.5 / 256]):
        x = tf.reshape(tf.constant(values, tf.float64), (1, 2, 2, 1))
        assert rounded(x, phase)[1] > 0.01


def test_largest_value_that_may_change_the_step_is_in_doubt():
    phase_0 = 1 + float(integers._SHIFT)
    x = tf.reshape(tf.constant([2 / phase_0 * (1 - 1e-12), 0.1, 0.2, 0.3], tf.float64), (1, 2, 2, 1))
    assert 0 < rounded(x)[1] < 2e-12


def test_map_of_zeros_is_in_no_doubt_and_maps_in_float32_are_not_asked():
    assert rounded(tf.zeros((1, 2, 2, 3), tf.float64))[1] == 0.5
    made = Integers()
    made(lambda x, _: x, a_map(), tf.ones((1, 1, 40, 1)), (0, 1, 2), 1.0)
    assert made.slack() == []


# Models -----------------------------------------------------------------------------------------------------------

class Quiet(Coder):
    """Codes nothing, counts nothing, and keeps what would decide symbols."""

    def __init__(self, parts, phase=None):
        super().__init__(None, PORTABLE, phase)
        self._parts, self.settled = iter(parts), []

    def __call__(self, loc, index):
        loc, index = self.settle(loc, index)
        self.settled += [loc, index]
        return tf.round(next(self._parts) - loc) + loc


_MOVES = {"Pad", "Identity", "Reshape", "StridedSlice", "Unpack", "Transpose", "Cast", "ConcatV2", "Pack"}
# Of float32: one operation of IEEE 754 a result, or none.
_ALIKE = _MOVES | {
    "Abs", "AddV2", "AddN", "BiasAdd", "Bitcast", "Const", "Conv2D", "Conv2DBackpropInput", "DepthToSpace", "Fill",
    "GatherV2", "IsNan", "LeakyRelu", "Max", "Maximum", "Minimum", "Mul", "Neg", "Placeholder", "ReadVariableOp",
    "Relu", "ResourceGather", "Round", "SelectV2", "Split", "SplitV", "Sub", "ZerosLike", "RealDiv", "BroadcastTo"}


def operations_of_the_entropy_path(model):
    """The operations of a graph that decide how y is coded; what is for the synthesis alone is not among them."""
    depths = (model.preset.hyper_depth, model.preset.latent_depth)

    @tf.function(autograph=False, input_signature=[tf.TensorSpec((1, None, None, depth)) for depth in depths])
    def predict(z, y):
        coder = Quiet(model.context.parts(y), tf.constant([1]))
        model.predict(z, coder)
        return coder.settled, coder.slack

    graph = predict.get_concrete_function().graph
    assert not graph._functions, "another function is not looked into"
    held = {inner.op: outer for outer, inner in graph.captures}
    found, left = set(), [t.op for t in graph.outputs]
    while left:
        operation = left.pop()
        if operation not in found:
            found.add(operation)
            left += [t.op for t in operation.inputs]
    return found, held


def source(operation, number: int):
    """The operation that made the values of an input, wherever they were moved."""
    x = operation.inputs[number].op
    while x.type in _MOVES:
        x = x.inputs[0].op
    return x


SIBLINGS = ["swint-charm-tbtc", "conv-charm", "conv-hyperprior", "swint-hyperprior"]


@pytest.mark.parametrize("script, preset", [
    ("lsk2023", "tiny"), *((script, preset) for script in ("zyc2022", "hypmqw2022") for preset in ("nano", "tiny")),
    *(pytest.param("zyc2022", preset, marks=pytest.mark.slow) for preset in ("swint-charm", *SIBLINGS)),
    *(pytest.param("hypmqw2022", preset, marks=pytest.mark.slow) for preset in ("elic", "elic-official")),
    *(pytest.param("lsk2023", preset, marks=pytest.mark.slow) for preset in ("large", "nano"))])
def test_whatever_is_not_rounded_alike_everywhere_is_float64(script, preset):
    model, multiplied_with = registry.build(script, registry.preset(script, preset)), []
    operations, held = operations_of_the_entropy_path(model)
    for operation in operations:
        if any(t.dtype in (tf.float32, tf.bfloat16, tf.float16) for t in operation.outputs):
            assert operation.type in _ALIKE, f"{operation.name} in {operation.outputs[0].dtype.name}"
            if operation.type in ("Conv2D", "Conv2DBackpropInput"):
                numbers = source(operation, 2 if operation.type == "Conv2DBackpropInput" else 0)
                assert numbers.type == "Round", f"{operation.name} convolves what is not rounded"
                kernel = source(operation, 1)
                assert kernel.type == "ReadVariableOp", f"{operation.name} changes a kernel that was rounded"
                multiplied_with.append(id(held[kernel.inputs[0].op]))
            if operation.type == "RealDiv":
                assert operation.inputs[1].op.type == "Const"   # a power of two
    rounded = {id(kernel.handle) for kernel, _ in kernels.of_entropy_path(model)}
    assert set(multiplied_with) == rounded, "these kernels are rounded, and no others"


@pytest.mark.parametrize("script", [pytest.param("lsk2023", marks=pytest.mark.slow), "zyc2022", "hypmqw2022"])
def test_integers_cost_a_trained_model_hardly_a_bit(picture, script):
    model, _ = weights.load(resources.bundled(script))
    unrounded, _ = weights.load(resources.bundled(script))
    model.round_kernels()
    x = tf.constant(picture(256, 384))
    for quality in (1.0, 50.0, 100.0):
        portable, float32 = (float(e.bits_y[0] + e.bits_z[0]) for e in (
            m.estimate(x, arithmetic=a, quality=tf.constant([quality]))
            for m, a in ((model, PORTABLE), (unrounded, FLOAT32))))
        assert portable != float32 and portable < 1.01 * float32


def test_numbers_are_powers_of_two_apart_from_the_value():
    for dtype in (tf.float32, tf.float64):
        x = tf.constant([1.0, 1.9999999, 2.0, 3.0, 0.75, 0.0], dtype)
        np.testing.assert_array_equal(integers._power_below(x)[:-1], [1, 1, 2, 2, 0.5])
        assert integers._power_below(x)[-1] > 0
        powers = tf.constant(2.0 ** np.arange(-80.0, 80.0), dtype)
        np.testing.assert_array_equal(tf.function(integers._inverse)(powers) * powers, np.ones(160))
        unit, inverse = integers._unit(x[:5], 10)
        np.testing.assert_array_equal(unit * inverse, np.ones(5))
        assert np.all((x[:5] / unit >= 2 ** 9) & (x[:5] / unit < 2 ** 10))
