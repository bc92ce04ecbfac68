"""Layers against plain numpy: paddings, transposed convolutions, GDN, Fourier kernels, and how the blocks are wired.

Everything is computed in float64, where numpy and TensorFlow differ by rounding alone: about 1e-16 of a sum, times the
hundreds of terms of a sum. `EXACT` leaves a factor of 100 over that.
"""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

import arch_ops
from arch_ops import GDN, Conv, Deconv, SubpixelConv
from swin_transformers_tf import Sequential

EXACT = {"rtol": 0, "atol": 1e-11}


def noise(*shape, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=shape)


def made(layer, x, seed: int = 1):
    """The layer with all of its weights moved at random (zeros and ones hide mistakes), and its output."""
    layer(tf.constant(x))
    rng = np.random.default_rng(seed)
    for v in layer.weights:
        v.assign_add(tf.constant(rng.normal(0, 0.1, v.shape), tf.float32))
    return layer, layer(tf.constant(x)).numpy()


def weight(v) -> np.ndarray:
    return v.numpy().astype(np.float64)


def correlate(x, kernel, stride, pads):
    """Convolution by its definition; pads = (before, after) of rows and columns alike."""
    x = np.pad(x, ((0, 0), pads, pads, (0, 0)))
    side = kernel.shape[0]
    h, w = ((n - side) // stride + 1 for n in x.shape[1:3])
    out = np.zeros((x.shape[0], h, w, kernel.shape[-1]))
    for r in range(h):
        for c in range(w):
            patch = x[:, r * stride:r * stride + side, c * stride:c * stride + side]
            out[:, r, c] = np.tensordot(patch, kernel, ((1, 2, 3), (0, 1, 2)))
    return out


def spread(x, kernel, stride):
    """The full transposed convolution by its definition: each input pixel adds its kernel; kernel (k, k, out, in)."""
    b, h, w, _ = x.shape
    side = kernel.shape[0]
    out = np.zeros((b, (h - 1) * stride + side, (w - 1) * stride + side, kernel.shape[2]))
    for r in range(h):
        for c in range(w):
            out[:, r * stride:r * stride + side, c * stride:c * stride + side] += np.tensordot(
                x[:, r, c], kernel, ((1,), (3,)))
    return out


# Convolution ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("h", "w"), [(8, 6), (7, 9), (1, 1)])
@pytest.mark.parametrize(("side", "stride"), [(1, 1), (1, 2), (3, 1), (5, 1), (3, 2), (5, 2)])
def test_symmetric_convolution_pads_half_the_kernel_on_both_sides(side, stride, h, w):
    x = noise(2, h, w, 3)
    conv, y = made(Conv(4, side, stride), x)
    expected = correlate(x, weight(conv.kernel), stride, (side // 2, side // 2)) + weight(conv.bias)
    assert y.shape == (2, -(-h // stride), -(-w // stride), 4)
    np.testing.assert_allclose(y, expected, **EXACT)


@pytest.mark.parametrize("side", [3, 5])
def test_same_convolution_of_an_even_map_pads_one_pixel_less_on_the_left(side):
    x = noise(2, 8, 6, 3)
    conv, y = made(Conv(4, side, 2, padding="same"), x)
    total = side - 2
    expected = correlate(x, weight(conv.kernel), 2, (total // 2, total - total // 2)) + weight(conv.bias)
    np.testing.assert_allclose(y, expected, **EXACT)
    symmetric = correlate(x, weight(conv.kernel), 2, (side // 2, side // 2)) + weight(conv.bias)
    assert np.abs(y - symmetric).max() > 0.1


def test_paddings_do_not_differ_where_the_stride_is_one():
    x = noise(1, 5, 7, 3)
    conv, y = made(Conv(4, 5, padding="same"), x)
    np.testing.assert_allclose(y, correlate(x, weight(conv.kernel), 1, (2, 2)) + weight(conv.bias), **EXACT)


def test_convolution_whose_kernel_is_its_stride_cuts_patches():
    x = noise(2, 6, 8, 3)
    conv, y = made(Conv(4, 2, 2), x)
    np.testing.assert_allclose(y, correlate(x, weight(conv.kernel), 2, (0, 0)) + weight(conv.bias), **EXACT)


@pytest.mark.parametrize(("h", "w"), [(8, 6), (7, 9)])
def test_strided_1x1_convolution_is_slicing_and_a_matrix(h, w):
    x = noise(2, h, w, 3)
    conv, y = made(Conv(4, 1, 2), x)
    np.testing.assert_allclose(y, x[:, ::2, ::2] @ weight(conv.kernel)[0, 0] + weight(conv.bias), **EXACT)


def test_strided_1x1_convolution_has_the_right_gradients():
    """TensorFlow's own strided 1x1 corrupts memory here on a CPU, in float32 with few channels and an even map."""
    x = tf.constant(noise(2, 64, 64, 3), tf.float32)
    conv = Conv(8, 1, 2)
    with tf.GradientTape() as tape:
        tape.watch(x)
        loss = tf.reduce_sum(conv(x) ** 2)
    by_kernel, by_x = tape.gradient(loss, [conv.kernel, x])
    picked = x.numpy()[:, ::2, ::2].astype(float)
    y = picked @ weight(conv.kernel)[0, 0]
    # Sums of 2,048 products in float32.
    np.testing.assert_allclose(by_kernel[0, 0], 2 * np.einsum("bhwi,bhwo->io", picked, y), rtol=1e-4, atol=1e-2)
    assert not np.any(by_x[:, 1::2]) and not np.any(by_x[:, :, 1::2]) and np.all(by_x[:, ::2, ::2] != 0)


def test_activation_comes_last_and_bias_can_be_left_out():
    x = noise(1, 4, 4, 3)
    conv, y = made(Conv(4, 3, activation=tf.nn.relu), x)
    linear = correlate(x, weight(conv.kernel), 1, (1, 1)) + weight(conv.bias)
    np.testing.assert_allclose(y, np.maximum(linear, 0), **EXACT)
    bare, _ = made(Conv(4, 3, use_bias=False), x)
    assert bare.bias is None and len(bare.weights) == 1


def test_kernels_start_with_a_third_of_the_variance_that_keeps_a_signal():
    conv = Conv(64, 5)
    conv(tf.zeros((1, 8, 8, 32)))
    fan_in = 5 * 5 * 32
    # 51,200 uniform numbers: their deviation is known to 0.2 %.
    assert np.std(conv.kernel) == pytest.approx((3 * fan_in) ** -0.5, rel=0.02)
    assert np.abs(conv.kernel).max() <= fan_in ** -0.5 and not np.any(conv.bias)


def test_layers_of_one_shape_do_not_start_alike():
    layers = [Conv(4, 3) for _ in range(2)] + [Conv(4, 3, rdft=True) for _ in range(2)]
    kernels = [layer(tf.ones((1, 4, 4, 3))).numpy().tobytes() for layer in layers]
    assert len(set(kernels)) == 4


# Transposed convolution -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("filters", [3, 5], ids=["narrow", "wide"])   # computed in two ways
@pytest.mark.parametrize("kernel", [5, 3])
@pytest.mark.parametrize(("h", "w"), [(4, 3), (1, 1), (5, 6)])
def test_symmetric_deconvolution_is_the_full_one_without_its_first_pixels(h, w, kernel, filters):
    x = noise(2, h, w, 3)
    deconv, y = made(Deconv(filters, kernel), x)
    full, cut = spread(x, weight(deconv.kernel), 2), kernel // 2
    assert full.shape[1:3] == (2 * h + kernel - 2, 2 * w + kernel - 2)
    np.testing.assert_allclose(y, full[:, cut:cut + 2 * h, cut:cut + 2 * w] + weight(deconv.bias), **EXACT)


@pytest.mark.parametrize("filters", [3, 5], ids=["narrow", "wide"])
@pytest.mark.parametrize("kernel", [5, 3])
def test_same_deconvolution_is_one_pixel_off(kernel, filters):
    x = noise(2, 4, 3, 3)
    deconv, y = made(Deconv(filters, kernel, padding="same"), x)
    full, cut = spread(x, weight(deconv.kernel), 2), kernel // 2 - 1
    np.testing.assert_allclose(y, full[:, cut:cut + 8, cut:cut + 6] + weight(deconv.bias), **EXACT)


@pytest.mark.parametrize("padding", ["symmetric", "same"])
def test_deconvolution_of_stride_one_keeps_the_size(padding):
    x = noise(2, 4, 3, 3)
    deconv, y = made(Deconv(4, 3, 1, tf.nn.relu, padding), x)
    full = spread(x, weight(deconv.kernel), 1)[:, 1:-1, 1:-1] + weight(deconv.bias)
    np.testing.assert_allclose(y, np.maximum(full, 0), **EXACT)


def test_deconvolution_starts_at_the_scale_of_the_taps_that_meet_in_a_pixel():
    """A pixel sees a quarter of the 25 taps: the output keeps a third of the variance of the input."""
    deconv = Deconv(64)
    y = deconv(tf.constant(noise(1, 24, 24, 64), tf.float32))[:, 4:-4, 4:-4]
    assert np.std(y) == pytest.approx(3 ** -0.5, rel=0.1)


def test_subpixel_convolution_doubles_the_map_in_either_order():
    x = noise(1, 3, 2, 4)
    for shuffle in ("inner", "outer"):
        layer, y = made(SubpixelConv(5, shuffle), x)
        wide = layer.conv(tf.constant(x)).numpy()
        for dy in (0, 1):
            for dx in (0, 1):
                place = dy * 2 + dx
                channels = wide[..., place::4] if shuffle == "inner" else wide[..., place * 5:place * 5 + 5]
                np.testing.assert_array_equal(y[:, dy::2, dx::2], channels)


# Fourier kernels ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("side", [3, 5])
def test_stored_spectrum_is_the_real_fourier_transform_of_the_taps(side):
    conv = Conv(4, side, rdft=True)
    conv(tf.zeros((1, 8, 8, 3)))
    assert conv.kernel.shape == (2 * side * (side // 2 + 1), 3, 4)
    taps = conv.taps(tf.float64).numpy()
    spectrum = np.fft.rfft2(taps, axes=(0, 1), norm="ortho")
    stored = np.stack([spectrum.real, spectrum.imag]).reshape(conv.kernel.shape)
    np.testing.assert_allclose(conv.kernel, stored, rtol=0, atol=1e-6)   # it is stored as float32
    # It starts as the kernels that are stored as they are: see the test of their variance.
    assert np.abs(taps).max() <= (side * side * 3) ** -0.5 + 1e-6 and np.std(taps) > 0


@pytest.mark.parametrize("side", [3, 5])
def test_taps_of_a_spectrum_are_the_taps_that_it_was_made_of(side):
    conv = Conv(4, side, rdft=True)
    conv(tf.zeros((1, 8, 8, 3)))
    taps = noise(side, side, 3, 4)
    spectrum = np.fft.rfft2(taps, axes=(0, 1), norm="ortho")
    conv.kernel.assign(np.stack([spectrum.real, spectrum.imag]).reshape(conv.kernel.shape).astype(np.float32))
    np.testing.assert_allclose(conv.taps(tf.float64), taps, rtol=0, atol=1e-6)   # stored as float32
    x = noise(1, 5, 5, 3)
    np.testing.assert_allclose(conv(tf.constant(x)), correlate(x, taps, 1, (side // 2,) * 2), rtol=0, atol=1e-5)


# GDN ------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("inverse", [False, True])
@pytest.mark.parametrize("form", ["gdn", "gdn1"])
def test_gdn_is_its_formula(form, inverse):
    x = noise(2, 3, 4, 5)
    layer, y = made(GDN(inverse, form), x)
    beta = np.maximum(weight(layer.beta), (1e-6 + 2.0 ** -36) ** 0.5) ** 2 - 2.0 ** -36
    gamma = np.maximum(weight(layer.gamma), 2.0 ** -18) ** 2 - 2.0 ** -36
    assert (weight(layer.gamma) < 2.0 ** -18).any(), "the bound has something to do"
    norm = beta + np.abs(x) @ gamma if form == "gdn1" else np.sqrt(beta + x ** 2 @ gamma)
    np.testing.assert_allclose(y, x * norm if inverse else x / norm, **EXACT)


def test_gdn_starts_with_beta_one_and_a_tenth_of_the_identity():
    x = noise(1, 2, 2, 3)
    # Its weights are float32.
    np.testing.assert_allclose(GDN()(tf.constant(x)), x / np.sqrt(1 + 0.1 * x ** 2), rtol=0, atol=1e-6)


def test_gdn_stays_finite_below_its_bounds_and_can_leave_them():
    layer = GDN()
    x = tf.constant(noise(1, 4, 4, 3))
    layer(x)
    layer.beta.assign(-tf.ones(3))
    layer.gamma.assign(-tf.ones((3, 3)))
    with tf.GradientTape() as tape:
        y = layer(x)
        loss = tf.reduce_sum(y ** 2)   # falls where beta and gamma rise
    assert np.isfinite(y).all()
    np.testing.assert_allclose(y, x * 1e3, rtol=1e-3)   # beta = 1e-6, gamma = 0
    by_beta, by_gamma = tape.gradient(loss, [layer.beta, layer.gamma])
    assert (by_beta.numpy() < 0).all() and (by_gamma.numpy() < 0).all()


def test_lower_bound_passes_the_gradient_where_it_raises_what_is_below():
    x = tf.constant([-1.0, 0.5, 2.0])
    for upstream, expected in ((1.0, (0, 0, 1)), (-1.0, (-1, -1, -1))):
        with tf.GradientTape() as tape:
            tape.watch(x)
            y = arch_ops.lower_bound(x, 1.0)
        np.testing.assert_array_equal(y, (1, 1, 2))
        np.testing.assert_array_equal(tape.gradient(y, x, upstream * tf.ones(3)), expected)


# Blocks ---------------------------------------------------------------------------------------------------------------


def silence(*layers):
    """Zero weights."""
    for layer in layers:
        for v in layer.weights:
            v.assign(tf.zeros_like(v))


def pass_through(conv):
    """A 1x1 convolution that does nothing."""
    silence(conv)
    conv.kernel.assign(tf.eye(conv.kernel.shape[-1])[None, None])


def test_leaky_relu_has_pytorchs_slope():
    np.testing.assert_allclose(arch_ops.leaky_relu(tf.constant([-2.0, 3.0])), (-0.02, 3))


def leaky(x):
    return np.where(x < 0, float(np.float32(0.01)) * x, x)   # TensorFlow keeps the slope as float32


def test_residual_block_is_two_activated_convolutions_and_its_input():
    x = noise(1, 5, 4, 3)
    block, y = made(arch_ops.ResidualBlock(), x)
    inner = leaky(correlate(x, weight(block.conv1.kernel), 1, (1, 1)) + weight(block.conv1.bias))
    inner = leaky(correlate(inner, weight(block.conv2.kernel), 1, (1, 1)) + weight(block.conv2.bias))
    np.testing.assert_allclose(y, x + inner, **EXACT)


def test_residual_block_with_stride_is_a_normalised_branch_plus_a_sliced_skip():
    x = noise(1, 6, 4, 3)
    block, y = made(arch_ops.ResidualBlockWithStride(5), x)
    inner = leaky(correlate(x, weight(block.conv1.kernel), 2, (1, 1)) + weight(block.conv1.bias))
    inner = correlate(inner, weight(block.conv2.kernel), 1, (1, 1)) + weight(block.conv2.bias)
    skip = x[:, ::2, ::2] @ weight(block.skip.kernel)[0, 0] + weight(block.skip.bias)
    np.testing.assert_allclose(y, block.gdn(tf.constant(inner)) + skip, **EXACT)
    assert not block.gdn.inverse


def test_residual_block_upsample_is_an_inversely_normalised_branch_plus_a_subpixel_skip():
    x = noise(1, 3, 4, 3)
    block, y = made(arch_ops.ResidualBlockUpsample(5), x)
    inner = leaky(block.subpel_conv(tf.constant(x)).numpy())
    inner = correlate(inner, weight(block.conv.kernel), 1, (1, 1)) + weight(block.conv.bias)
    np.testing.assert_allclose(y, block.igdn(tf.constant(inner)) + block.upsample(tf.constant(x)), **EXACT)
    assert block.igdn.inverse


def test_identity_enters_the_convolutional_half_of_a_conv_trans_block_twice():
    """With both branches silent the first half is 1 (around all) + 2 (inside and around the residual block) times x."""
    x = noise(1, 8, 8, 8)
    block, _ = made(arch_ops.ConvTransBlock(head_dim=2, window=4, shifted=True), x)
    pass_through(block.conv1_1)
    pass_through(block.conv1_2)
    silence(block.conv_block, block.trans_block)
    np.testing.assert_allclose(block(tf.constant(x)), x * np.repeat([3, 2], 4), **EXACT)


def test_conv_trans_block_convolves_the_first_half_and_attends_in_the_second():
    x = noise(1, 8, 8, 8)
    block, y = made(arch_ops.ConvTransBlock(head_dim=2, window=4, shifted=True), x)
    mixed = x @ weight(block.conv1_1.kernel)[0, 0] + weight(block.conv1_1.bias)
    conv, trans = mixed[..., :4], mixed[..., 4:]
    conv = block.conv_block(tf.constant(conv)).numpy() + conv
    both = np.concatenate([conv, block.trans_block(tf.constant(trans))], -1)
    np.testing.assert_allclose(y, x + both @ weight(block.conv1_2.kernel)[0, 0] + weight(block.conv1_2.bias), **EXACT)
    assert (block.trans_block.attn.heads, block.trans_block.attn.shift) == (2, 2)
    unshifted, _ = made(arch_ops.ConvTransBlock(head_dim=2, window=4, shifted=False), x)
    assert unshifted.trans_block.attn.shift == 0


def test_conv_trans_block_refuses_heads_that_do_not_fit():
    with pytest.raises(ValueError, match="heads of 3"):
        arch_ops.ConvTransBlock(head_dim=3, window=4, shifted=False)(tf.zeros((1, 8, 8, 8)))


@pytest.mark.parametrize("final_relu", [False, True])
def test_residual_bottleneck_is_half_as_wide_inside(final_relu):
    x = noise(1, 5, 4, 6)
    block, y = made(arch_ops.ResidualBottleneck(final_relu), x)
    assert block.conv2.kernel.shape == (3, 3, 3, 3)
    inner = np.maximum(x @ weight(block.conv1.kernel)[0, 0] + weight(block.conv1.bias), 0)
    inner = np.maximum(correlate(inner, weight(block.conv2.kernel), 1, (1, 1)) + weight(block.conv2.bias), 0)
    expected = x + inner @ weight(block.conv3.kernel)[0, 0] + weight(block.conv3.bias)
    np.testing.assert_allclose(y, np.maximum(expected, 0) if final_relu else expected, **EXACT)


def logistic(x):
    return 1 / (1 + np.exp(-x))


@pytest.mark.parametrize("unit_relu", [False, True])
def test_attention_block_adds_a_gated_trunk_to_its_input(unit_relu):
    x = noise(1, 4, 4, 6)
    block, y = made(arch_ops.AttentionBlock(unit_relu), x)
    a, b = block.conv_a(tf.constant(x)).numpy(), block.conv_b(tf.constant(x)).numpy()
    np.testing.assert_allclose(y, x + a * logistic(b), **EXACT)
    assert len(block.conv_a.layers) == 3 and len(block.conv_b.layers) == 4
    assert (a.min() >= 0) == unit_relu and b.min() < 0


def test_swatten_gates_around_the_narrow_part_only():
    x = noise(1, 9, 8, 12)
    block, y = made(arch_ops.SWAtten(8, 4, 8), x)
    t = x @ weight(block.in_conv.kernel)[0, 0] + weight(block.in_conv.bias)
    a = block.conv_a(tf.constant(t)).numpy()
    b = block.conv_b(block.non_local_block(tf.constant(t))).numpy()
    expected = (a * logistic(b) + t) @ weight(block.out_conv.kernel)[0, 0] + weight(block.out_conv.bias)
    np.testing.assert_allclose(y, expected, **EXACT)
    assert [b.attn.shift for b in block.non_local_block.blocks.layers] == [0, 4]
    assert {b.attn.heads for b in block.non_local_block.blocks.layers} == {2}
    silence(block.out_conv)
    assert not np.any(block(tf.constant(x))), "there is no skip from the wide input"


def test_convolution_stack_activates_all_but_its_last_layer():
    x = noise(1, 5, 5, 3)
    stack, y = made(arch_ops.conv_stack((4, 6, 2), (3, 5, 1), tf.nn.relu), x)
    for layer, side, last in zip(stack.layers, (3, 5, 1), (False, False, True)):
        x = correlate(x, weight(layer.kernel), 1, (side // 2,) * 2) + weight(layer.bias)
        x = x if last else np.maximum(x, 0)
    np.testing.assert_allclose(y, x, **EXACT)


# Types ----------------------------------------------------------------------------------------------------------------

LAYERS = {
    "Conv": lambda: Conv(4, 3, 2),
    "Conv rdft": lambda: Conv(4, 5, 2, rdft=True),
    "Conv 1x1 / 2": lambda: Conv(4, 1, 2),
    "Deconv": lambda: Deconv(4),
    "SubpixelConv": lambda: SubpixelConv(4),
    "GDN": lambda: GDN(),
    "IGDN1": lambda: GDN(True, "gdn1"),
    "ResidualBlockWithStride": lambda: arch_ops.ResidualBlockWithStride(8),
    "ResidualBlockUpsample": lambda: arch_ops.ResidualBlockUpsample(8),
    "ConvTransBlock": lambda: arch_ops.ConvTransBlock(2, 4, True),
    "AttentionBlock": lambda: arch_ops.AttentionBlock(),
    "SWAtten": lambda: arch_ops.SWAtten(8, 4, 8),
    "conv_stack": lambda: arch_ops.conv_stack((8, 4), (3, 3), tf.nn.relu),
}


@pytest.mark.parametrize("name", LAYERS)
def test_layer_computes_in_the_type_of_its_input_from_float32_weights(name):
    x = noise(1, 6, 6, 8)
    layer, y = made(LAYERS[name](), x)
    assert all(v.dtype == tf.float32 for v in layer.weights)
    assert y.dtype == np.float64
    single = layer(tf.constant(x, tf.float32))
    half = layer(tf.constant(x, tf.bfloat16))
    assert single.dtype == tf.float32 and half.dtype == tf.bfloat16
    # float32 has 24 bits, bfloat16 8: errors of 2^-24 and 2^-8 of the largest value, grown over a dozen layers.
    size = np.abs(y).max()
    np.testing.assert_allclose(single, y, rtol=0, atol=2.0 ** -24 * 100 * size)
    np.testing.assert_allclose(tf.cast(half, tf.float64), y, rtol=0, atol=2.0 ** -8 * 20 * size)


@pytest.mark.parametrize("name", LAYERS)
def test_layer_computes_in_float64_all_the_way(name):
    """A step through float32 anywhere inside would round a change of 1e-9 away, or to a multiple of 6e-8."""
    x, direction = noise(1, 6, 6, 8), noise(1, 6, 6, 8, seed=3)
    layer, y = made(LAYERS[name](), x)
    once, twice = (layer(tf.constant(x + n * 1e-9 * direction)).numpy() - y for n in (1, 2))
    assert np.abs(once).max() > 1e-11
    np.testing.assert_allclose(twice, 2 * once, rtol=0, atol=1e-4 * np.abs(once).max())


def test_sequential_does_not_cast():
    layer = Sequential([lambda x: x + tf.constant(1e-12, x.dtype)])
    assert layer(tf.ones((1,), tf.float64)).numpy()[0] == 1 + 1e-12
