"""Convolutions, normalisation, residual and attention blocks that the transforms of all papers are built from.

All maps are (b, h, w, c). Layers compute in the type of their input; weights are float32.
"""

from __future__ import annotations

from functools import cache
from typing import Callable

import numpy as np
import tensorflow as tf

from swin_transformers_tf import BasicLayer, Layer, Sequential, SwinBlock, pixel_shuffle, products
from swin_transformers_tf.patches import shuffled

Activation = Callable[[tf.Tensor], tf.Tensor]
_SMALL = 0.002   # of weights that shall begin as nearly nothing; at zero no gradient would reach those before them


def leaky_relu(x: tf.Tensor) -> tf.Tensor:
    """Slope 0.01, as in PyTorch (TensorFlow's default is 0.2)."""
    return tf.nn.leaky_relu(x, alpha=0.01)


def lower_bound(x: tf.Tensor, bound: float) -> tf.Tensor:
    """max(x, bound), whose gradient also passes below the bound where it would raise x (Balle et al. 2018)."""

    @tf.custom_gradient
    def bounded(x):
        def grad(dy):
            return tf.where(tf.logical_or(x >= bound, dy < 0), dy, tf.zeros_like(dy))
        return tf.maximum(x, tf.cast(bound, x.dtype)), grad

    return bounded(x)


def _paddings(kernel: int) -> list[list[int]]:
    """PyTorch's padding: kernel // 2 on both sides."""
    side = [kernel // 2, kernel // 2]
    return [[0, 0], side, side, [0, 0]]


@cache
def rdft_basis(side: int) -> np.ndarray:
    """(2 * side * (side // 2 + 1), side * side): from real and imaginary parts of a real Fourier transform to taps."""
    half = side // 2 + 1
    parts = np.zeros((2, side, half, 2 * side * half))
    parts.reshape(-1, parts.shape[-1])[:] = np.eye(2 * side * half)
    taps = np.fft.irfft2(np.moveaxis(parts[0] + 1j * parts[1], -1, 0), (side, side), norm="ortho")
    return taps.reshape(len(taps), side * side)


def fan_in_uniform():
    """Uniform of variance 1 / (3 * fan in), PyTorch's start: Glorot's makes a deep stack of residual blocks explode."""
    return tf.keras.initializers.VarianceScaling(1 / 3, "fan_in", "uniform")


class Conv(Layer):
    """Convolution with bias: (b, h, w, c) -> (b, h/stride, w/stride, filters).

    Args:
      filters, kernel, stride: as usual; odd kernels are padded, a kernel equal to the stride cuts patches.
      activation: applied last, or None.
      padding: "symmetric" (PyTorch) or "same" (TensorFlow); they differ only where stride > 1.
      use_bias: whether there is a bias.
      rdft: store the kernel as its real Fourier transform, which changes how Adam moves it (TFC's default).
    """

    SUMMED = (0, 1, 2)   # axes of the kernel

    def __init__(self, filters: int, kernel: int = 3, stride: int = 1, activation: Activation | None = None,
                 padding: str = "symmetric", use_bias: bool = True, rdft: bool = False, **kwargs):
        super().__init__(**kwargs)
        self.filters, self.side, self.stride, self.activation = filters, kernel, stride, activation
        self.padding, self.use_bias, self.rdft = padding, use_bias, rdft

    def build(self, shape):
        taps = (self.side, self.side, shape[-1], self.filters)
        self.kernel = self.weight("kernel", *self._stored(taps))
        self.bias = self.weight("bias", (self.filters,)) if self.use_bias else None

    def _stored(self, taps):
        if not self.rdft:
            return taps, fan_in_uniform()
        basis = rdft_basis(self.side)
        kernel = fan_in_uniform()(taps)
        spectrum = np.linalg.pinv(basis).T @ np.reshape(kernel, (self.side ** 2, -1))
        return (len(basis), *taps[2:]), lambda *_, **__: tf.reshape(
            tf.constant(spectrum, tf.float32), (len(basis), *taps[2:]))

    def taps(self, dtype) -> tf.Tensor:
        """The kernel (k, k, in, out), as it is stored or, from its transform, in the type asked for."""
        if not self.rdft:
            return self.kernel
        flat = tf.tensordot(tf.constant(rdft_basis(self.side).T, dtype), tf.cast(self.kernel, dtype), 1)
        return tf.reshape(flat, (self.side, self.side, *self.kernel.shape[1:]))

    def hold(self, matrix: np.ndarray, bias: np.ndarray, least: np.ndarray) -> None:
        """Makes a halving convolution begin as a linear transform of blocks (`lic.principal`).

        Args:
          matrix: (4c, k); the first k outputs become 2 x 2 blocks of the first c inputs, in the order row, column,
            channel, times this. The weights of other outputs stay, but small.
          bias: (k,), added to them.
          least: (k,), what nearly all of these outputs exceed; for layers that need to know.
        """
        assert self.stride == 2 and self.bias is not None
        c, k = matrix.shape[0] // 4, matrix.shape[1]
        kernel, here = 0.1 * self.kernel.numpy(), self._block_taps()
        kernel[..., :k] = 0
        kernel[here, here, :c, :k] = matrix.reshape(2, 2, c, k)
        self.kernel.assign(kernel)
        self.bias.assign(np.pad(bias, (0, self.filters - k)))

    def _block_taps(self) -> slice:
        """Of a side of its kernel, the two taps that see the blocks."""
        first = 0 if self.side == self.stride else self.side // 2 - (self.padding == "same")
        return slice(first, first + 2)

    def call(self, x):
        x = products.multiplied(self._convolve, x, self.taps(x.dtype), self.SUMMED)
        if self.bias is not None:
            x = tf.nn.bias_add(x, tf.cast(self.bias, x.dtype))
        return self.activation(x) if self.activation else x

    def _convolve(self, x, kernel):
        if self.side == 1 and self.stride > 1:
            # oneDNN's filter gradient of a strided 1x1 convolution corrupts memory in TF 2.14; this is the same. The
            # mean of one value is itself, and found seven times as quickly as by slicing.
            return tf.nn.conv2d(tf.nn.avg_pool2d(x, 1, self.stride, "VALID"), kernel, 1, "VALID")
        if self.side == self.stride:
            return tf.nn.conv2d(x, kernel, self.stride, "VALID")
        if self.stride == 1 or self.padding == "same":
            return tf.nn.conv2d(x, kernel, self.stride, "SAME")
        # Not by conv2d's own explicit padding, for whose gradients TF has no oneDNN kernel: a quarter of a step of TCM.
        return tf.nn.conv2d(tf.pad(x, _paddings(self.side)), kernel, self.stride, "VALID")


class Deconv(Layer):
    """Transposed convolution with bias: (b, h, w, c) -> (b, h * stride, w * stride, filters).

    "symmetric" is PyTorch's padding k // 2 with output padding stride - 1; "same" is TensorFlow's, one pixel off.
    The kernel is stored (k, k, out, in).
    """

    SUMMED = (0, 1, 3)   # axes of the kernel

    def __init__(self, filters: int, kernel: int = 5, stride: int = 2, activation: Activation | None = None,
                 padding: str = "symmetric", **kwargs):
        super().__init__(**kwargs)
        self.filters, self.side, self.stride = filters, kernel, stride
        self.activation, self.padding = activation, padding

    def build(self, shape):
        taps = (self.side, self.side, self.filters, shape[-1])
        # Each output pixel sees a stride-th of the taps, of all inputs.
        fan_in = max(1, shape[-1] * self.side ** 2 // self.stride ** 2)
        start = tf.keras.initializers.RandomUniform(-fan_in ** -0.5, fan_in ** -0.5)
        self.kernel = self.weight("kernel", taps, start)
        self.bias = self.weight("bias", (self.filters,))

    def hold(self, matrix: np.ndarray, bias: np.ndarray) -> None:
        """Makes a doubling begin as a linear transform to blocks: (k, 4c) of the first k inputs, plus bias (c,)."""
        k, c = matrix.shape[0], matrix.shape[1] // 4
        first = self.side // 2 - (self.padding == "same")
        kernel, here = 0.1 * self.kernel.numpy(), slice(first, first + 2)
        kernel[:, :, :c, :k] = 0
        kernel[here, here, :c, :k] = matrix.T.reshape(2, 2, c, k)
        self.kernel.assign(kernel)
        self.bias.assign(np.pad(bias, (0, self.filters - c)))

    def call(self, x):
        multiply = self._by_subpixels if self._is_narrow else self._transposed
        x = products.multiplied(multiply, x, self.kernel, self.SUMMED)
        x = tf.nn.bias_add(x, tf.cast(self.bias, x.dtype))
        return self.activation(x) if self.activation else x

    def _transposed(self, x, kernel):
        size = tf.shape(x)
        wide, high = size[2] * self.stride, size[1] * self.stride
        if self.padding == "same":
            return tf.nn.conv2d_transpose(x, kernel, (size[0], high, wide, self.filters), self.stride, "SAME")
        # Not by explicit padding, for which oneDNN has no kernel: in bfloat16 it took fifteen times as long.
        more, cut = self.side - self.stride, self.side // 2
        whole = (size[0], high + more, wide + more, self.filters)
        x = tf.nn.conv2d_transpose(x, kernel, whole, self.stride, "VALID")
        return x[:, cut:cut + high, cut:cut + wide]

    @property
    def _is_narrow(self) -> bool:
        """Whether the outputs are so few that they leave most of a vector empty: a picture's last layer."""
        return self.stride == 2 and 3 <= self.side <= 5 and self.filters <= 4

    def _by_subpixels(self, x, kernel):
        """The same by a 3x3 convolution to the four pixels of a block: 2.4 times as fast, though of more products."""
        before = (self.side - 2) // 2 if self.padding == "same" else self.side // 2   # pixels that are cut off
        ends = [2 - before, 4 - self.side + before]
        kernel = tf.pad(kernel, [ends, ends, [0, 0], [0, 0]])                         # (6, 6, out, in)
        kernel = tf.reshape(kernel, (3, 2, 3, 2, self.filters, x.shape[-1]))[::-1, :, ::-1]
        kernel = tf.reshape(tf.transpose(kernel, (0, 2, 5, 1, 3, 4)), (3, 3, x.shape[-1], 4 * self.filters))
        return tf.nn.depth_to_space(tf.nn.conv2d(x, kernel, 1, "SAME"), 2)


class SubpixelConv(Layer):
    """3x3 convolution to 4 * filters channels, then pixel shuffle: (b, h, w, c) -> (b, 2h, 2w, filters)."""

    def __init__(self, filters: int, shuffle: str = "inner", **kwargs):
        super().__init__(**kwargs)
        self.conv, self.shuffle = Conv(4 * filters, 3), shuffle

    def hold(self, matrix: np.ndarray, bias: np.ndarray) -> None:
        """As `Deconv.hold`; its middle taps do it."""
        assert self.conv.bias is not None
        k, filters = len(matrix), self.conv.filters // 4
        kernel = 0.1 * self.conv.kernel.numpy()
        kernel[:, :, :k] = 0
        kernel[1, 1, :k] = shuffled(matrix, filters, self.shuffle)
        self.conv.kernel.assign(kernel)
        self.conv.bias.assign(shuffled(np.tile(bias, 4)[None], filters, self.shuffle)[0])

    def call(self, x):
        return pixel_shuffle(self.conv(x), self.shuffle)


class GDN(Layer):
    """Generalised divisive normalisation and its inverse (Balle, Laparra, Simoncelli, ICLR 2016 and 2017).

    "gdn": x / sqrt(beta + gamma x^2); "gdn1": x / (beta + gamma |x|). Stored are p with value = max(p, bound)^2 -
    2^-36, which keeps beta >= 1e-6 and gamma >= 0. gamma is (in, out).
    """

    PEDESTAL = 2.0 ** -36

    def __init__(self, inverse: bool = False, form: str = "gdn", **kwargs):
        super().__init__(**kwargs)
        self.inverse, self.form = inverse, form

    def build(self, shape):
        c = shape[-1]
        stored = (np.sqrt(np.ones(c) + self.PEDESTAL), np.sqrt(0.1 * np.eye(c) + self.PEDESTAL))
        self.beta = self.weight("beta", (c,), lambda *_, **__: tf.constant(stored[0], tf.float32))
        self.gamma = self.weight("gamma", (c, c), lambda *_, **__: tf.constant(stored[1], tf.float32))

    def soften(self) -> None:
        """Makes it nearly the identity for values of up to some ten."""
        self.gamma.assign(np.sqrt(1e-5 * np.eye(self.gamma.shape[0]) + self.PEDESTAL))

    def _value(self, stored, minimum, dtype):
        bound = (minimum + self.PEDESTAL) ** 0.5
        return tf.square(lower_bound(tf.cast(stored, dtype), bound)) - tf.constant(self.PEDESTAL, dtype)

    def call(self, x):
        x = products.wide(x)
        wide = tf.float32 if x.dtype == tf.bfloat16 else x.dtype   # the parameters' squares need more than 8 bits
        beta, gamma = self._value(self.beta, 1e-6, wide), self._value(self.gamma, 0.0, wide)
        strength = tf.abs(x) if self.form == "gdn1" else tf.square(x)
        norm = tf.nn.conv2d(strength, tf.cast(gamma, x.dtype)[None, None], 1, "VALID")
        norm = tf.nn.bias_add(norm, tf.cast(beta, x.dtype))
        if self.form == "gdn1":
            return x * norm if self.inverse else x / norm
        return x * (tf.sqrt(norm) if self.inverse else tf.math.rsqrt(norm))


class ResidualBlock(Layer):
    """x + leaky(conv3(leaky(conv3(x)))): (b, h, w, c) -> the same (Cheng et al., CVPR 2020)."""

    def build(self, shape):
        self.conv1, self.conv2 = (Conv(shape[-1], 3, activation=leaky_relu) for _ in range(2))

    def call(self, x):
        return x + tf.cast(self.conv2(self.conv1(x)), x.dtype)


class ResidualBlockWithStride(Layer):
    """Halves the map: GDN(conv3(leaky(conv3 / 2))) plus a strided 1x1 skip (Cheng et al., CVPR 2020)."""

    def __init__(self, filters: int, padding: str = "symmetric", gdn: str = "gdn", **kwargs):
        super().__init__(**kwargs)
        self.filters = filters
        self.conv1 = Conv(filters, 3, 2, leaky_relu, padding)
        self.conv2 = Conv(filters, 3)
        self.gdn = GDN(form=gdn)
        self.skip = Conv(filters, 1, 2)

    def hold(self, matrix: np.ndarray, bias: np.ndarray, least: np.ndarray) -> None:
        """As `Conv.hold`; a bias lifts values to where the leaky ReLU is linear, and is taken off again."""
        assert self.conv2.bias is not None
        lift = np.pad(np.maximum(0, -least - bias), (0, self.filters - matrix.shape[1]))
        self.conv1.hold(matrix, bias + lift[:len(bias)], least)
        kernel = _SMALL * self.conv2.kernel.numpy()
        kernel[1, 1] += np.eye(self.filters)
        self.conv2.kernel.assign(kernel)
        self.conv2.bias.assign(-lift @ kernel.sum((0, 1)))
        self.skip.kernel.assign(_SMALL * self.skip.kernel)
        self.gdn.soften()

    def call(self, x):
        return self.gdn(self.conv2(self.conv1(x))) + self.skip(x)


class ResidualBlockUpsample(Layer):
    """Doubles the map: IGDN(conv3(leaky(subpixel conv))) plus a subpixel convolution as skip (Cheng et al. 2020)."""

    def __init__(self, filters: int, shuffle: str = "inner", gdn: str = "gdn", **kwargs):
        super().__init__(**kwargs)
        self.subpel_conv = SubpixelConv(filters, shuffle)
        self.conv = Conv(filters, 3)
        self.igdn = GDN(inverse=True, form=gdn)
        self.upsample = SubpixelConv(filters, shuffle)

    def hold(self, matrix: np.ndarray, bias: np.ndarray) -> None:
        """As `Deconv.hold`, by the skip; the other branch begins as nearly nothing."""
        self.upsample.hold(matrix, bias)
        self.conv.kernel.assign(_SMALL * self.conv.kernel)

    def call(self, x):
        return self.igdn(self.conv(leaky_relu(self.subpel_conv(x)))) + products.wide(self.upsample(x))


class ConvTransBlock(Layer):
    """TCM's block (Liu et al. 2023, section 3.1, figure 3): half the channels convolve, half attend.

    ```
    x ─ 1x1 ─┬─ first half: residual block, + identity once more ─┬─ 1x1 ─ + x
             └─ second half: Swin block ──────────────────────────┘
    ```
    The identity of the convolutional half enters twice, inside the residual block and around it, as in the authors'
    code.
    """

    def __init__(self, head_dim: int, window: int, shifted: bool, **kwargs):
        super().__init__(**kwargs)
        self.head_dim, self.window, self.shifted = head_dim, window, shifted

    def build(self, shape):
        half = shape[-1] // 2
        if half % self.head_dim:
            raise ValueError(f"{half} transformer channels do not divide into heads of {self.head_dim}")
        self.conv1_1, self.conv1_2 = Conv(shape[-1], 1), Conv(shape[-1], 1)
        self.conv_block = ResidualBlock()
        self.trans_block = SwinBlock(half // self.head_dim, self.window, self.window // 2 * self.shifted)

    def soften(self) -> None:
        """Makes what is added small, so that the block begins as nearly nothing."""
        self.conv1_2.kernel.assign(_SMALL * self.conv1_2.kernel)

    def call(self, x):
        conv, trans = tf.split(self.conv1_1(x), 2, -1)
        conv = self.conv_block(conv) + conv
        return x + tf.cast(self.conv1_2(tf.concat([conv, self.trans_block(trans)], -1)), x.dtype)


class ResidualBottleneck(Layer):
    """x + conv1(relu(conv3(relu(conv1(x))))), half as wide inside; optionally ends in a ReLU (He et al. 2022)."""

    def __init__(self, final_relu: bool = False, **kwargs):
        super().__init__(**kwargs)
        self.final_relu = final_relu

    def build(self, shape):
        half = shape[-1] // 2
        self.conv1 = Conv(half, 1, activation=tf.nn.relu)
        self.conv2 = Conv(half, 3, activation=tf.nn.relu)
        self.conv3 = Conv(shape[-1], 1)

    def soften(self) -> None:
        """Makes what is added small, so that the block begins as nearly nothing."""
        self.conv3.kernel.assign(_SMALL * self.conv3.kernel)

    def call(self, x):
        x = x + tf.cast(self.conv3(self.conv2(self.conv1(x))), x.dtype)
        return tf.nn.relu(x) if self.final_relu else x


def _trunk(unit_relu: bool) -> Sequential:
    """Three residual units."""
    return Sequential(ResidualBottleneck(unit_relu) for _ in range(3))


def _mask(width: int, unit_relu: bool) -> Sequential:
    """Three residual units and a 1x1; behind them comes a sigmoid."""
    return Sequential([*(ResidualBottleneck(unit_relu) for _ in range(3)), Conv(width, 1)])


class AttentionBlock(Layer):
    """x + a(x) * sigmoid(b(x)): trunk of three residual units, mask of three and a 1x1 (Cheng et al., CVPR 2020)."""

    def __init__(self, unit_relu: bool = True, **kwargs):
        super().__init__(**kwargs)
        self.unit_relu = unit_relu

    def build(self, shape):
        self.conv_a, self.conv_b = _trunk(self.unit_relu), _mask(shape[-1], self.unit_relu)

    def soften(self) -> None:
        """Shuts the gate nearly."""
        gate = self.conv_b.layers[-1]
        assert isinstance(gate, Conv) and gate.bias is not None
        gate.kernel.assign(_SMALL * gate.kernel)
        gate.bias.assign(tf.fill(gate.bias.shape, -6.0))

    def call(self, x):
        gate = tf.sigmoid(products.wide(self.conv_b(x)))
        return tf.cast(x, gate.dtype) + tf.cast(self.conv_a(x), gate.dtype) * gate


class SWAtten(Layer):
    """TCM's attention for the entropy parameters (Liu et al. 2023, section 3.2, figure 5): (b, h, w, c) -> the same.

    ```
    x ─ 1x1 ─ t ─┬─ a: three residual units ─────────────────────── * ─ + t ─ 1x1
                 └─ Swin blocks (W, SW) ─ b: three units, 1x1 ─ sigmoid ┘
    ```
    The sum goes around the narrow part only; there is no skip from the wide input.
    """

    def __init__(self, width: int, head_dim: int, window: int, unit_relu: bool = True, **kwargs):
        super().__init__(**kwargs)
        self.width, self.unit_relu = width, unit_relu
        self.in_conv = Conv(width, 1)
        self.non_local_block = BasicLayer(2, width // head_dim, window)

    def build(self, shape):
        self.out_conv = Conv(shape[-1], 1)
        self.conv_a, self.conv_b = _trunk(self.unit_relu), _mask(self.width, self.unit_relu)

    def call(self, x):
        t = self.in_conv(x)
        gate = tf.sigmoid(products.wide(self.conv_b(self.non_local_block(t))))
        return self.out_conv(tf.cast(self.conv_a(t), gate.dtype) * gate + tf.cast(t, gate.dtype))


def conv_stack(widths: tuple[int, ...], kernels: tuple[int, ...], activation: Activation) -> Sequential:
    """Convolutions of stride 1 with an activation after each but the last: the parameter networks of all contexts."""
    last = len(widths) - 1
    return Sequential(Conv(n, k, activation=activation if i < last else None)
                      for i, (n, k) in enumerate(zip(widths, kernels)))
