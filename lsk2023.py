"""TCM: Liu, Sun, Katto, "Learned Image Compression with Mixed Transformer-CNN Architectures", CVPR 2023.

The model of section 3: ConvTransBlocks in every transform (3.1), a channel-wise context with SWAtten (3.2) and latent
residual prediction. Presets: large (N = 128, the paper's), medium, small, nano (bundled), tiny (for tests).

    python lsk2023.py compress picture.png
    python lsk2023.py train --preset small --train_glob 'pictures/**/*.jpg'
"""

from __future__ import annotations

if __name__ == "__main__":  # before TensorFlow is imported, so that --help answers at once
    from lic.cli import main
    main("lsk2023")

import tensorflow as tf

from arch_ops import (
    Conv,
    ConvTransBlock,
    ResidualBlockUpsample,
    ResidualBlockWithStride,
    SubpixelConv,
    SWAtten,
    conv_stack,
)
from config import TCMPreset
from lic.context import ChannelContext
from lic.model import LatentCodec
from swin_transformers_tf import Layer, Sequential
from swin_transformers_tf.blocks import gelu


def _stage(depth: int, head_dim: int, window: int) -> list[Layer]:
    """ConvTransBlocks whose windows are in turn unshifted and shifted."""
    return [ConvTransBlock(head_dim, window, shifted=i % 2 == 1) for i in range(depth)]


def analysis(p: TCMPreset) -> Sequential:
    """g_a: (b, h, w, 3) -> (b, h/16, w/16, M) (figure 3)."""
    c, layers = p.conventions, []
    for n, head_dim, depth in zip(p.N, p.head_dims, p.depths):
        layers += [ResidualBlockWithStride(2 * n, c.padding, c.gdn), *_stage(depth, head_dim, p.windows[0])]
    return Sequential([*layers, Conv(p.latent_depth, 3, 2, padding=c.padding)])


def synthesis(p: TCMPreset) -> Sequential:
    """g_s: (b, h, w, M) -> (b, 16h, 16w, 3) (figure 3)."""
    c, layers = p.conventions, []
    for n, head_dim, depth in zip(p.N[::-1], p.head_dims[::-1], p.depths[::-1]):
        layers += [ResidualBlockUpsample(2 * n, c.pixel_shuffle, c.gdn), *_stage(depth, head_dim, p.windows[0])]
    return Sequential([*layers, SubpixelConv(3, c.pixel_shuffle)])


def hyper_analysis(p: TCMPreset) -> Sequential:
    """h_a: y -> z, a quarter of its size."""
    c = p.conventions
    return Sequential([
        ResidualBlockWithStride(2 * p.hyper_N, c.padding, c.gdn),
        *_stage(p.hyper_depths, p.hyper_head_dim, p.windows[1]),
        Conv(p.hyper_depth, 3, 2, padding=c.padding)])


class HyperSynthesis(Layer):
    """h_s: z_hat -> latent means and latent scales, (b, h, w, M) each, by two networks of one form."""

    def __init__(self, p: TCMPreset, **kwargs):
        super().__init__(**kwargs)
        self.mean, self.scale = self._network(p), self._network(p)

    @staticmethod
    def _network(p: TCMPreset) -> Sequential:
        c = p.conventions
        return Sequential([
            ResidualBlockUpsample(2 * p.hyper_N, c.pixel_shuffle, c.gdn),
            *_stage(p.hyper_depths, p.hyper_head_dim, p.windows[1]),
            SubpixelConv(p.latent_depth, c.pixel_shuffle)])

    def call(self, z_hat):
        return self.mean(z_hat), self.scale(z_hat)


class SliceParameters(Layer):
    """Mean and sigma of one slice from all latent means or scales and the slices before (section 3.2, figure 4).

    Also returns the mean support after its attention, which the latent residual prediction sees.
    """

    def __init__(self, p: TCMPreset, depth: int, **kwargs):
        super().__init__(**kwargs)
        attention = (p.attention_width, p.attention_head_dim, p.attention_window, p.conventions.unit_relu)
        self.atten_mean, self.atten_scale = SWAtten(*attention), SWAtten(*attention)
        kernels = (p.slice_kernel, 3, 3)
        self.cc_mean, self.cc_scale = (conv_stack((*p.slice_hidden, depth), kernels, gelu) for _ in range(2))

    def call(self, hyper, support):
        means, scales = hyper
        mean_support = self.atten_mean(tf.concat([means, *support], -1))
        scale_support = self.atten_scale(tf.concat([scales, *support], -1))
        return self.cc_mean(mean_support), self.cc_scale(scale_support), mean_support


def context(p: TCMPreset) -> ChannelContext:
    """The channel-wise context with latent residual prediction (section 3.2; Minnen & Singh 2020)."""
    depth = p.latent_depth // p.num_slices
    return ChannelContext(
        [depth] * p.num_slices, p.conventions.sigma,
        parameters=[SliceParameters(p, depth) for _ in range(p.num_slices)],
        refine=[conv_stack((*p.slice_hidden, depth), (p.slice_kernel, 3, 3), gelu) for _ in range(p.num_slices)],
        max_support_slices=p.max_support_slices)


class TCM(LatentCodec):
    """The whole model; see `lic.model.LatentCodec` for what it does."""

    def __init__(self, preset: TCMPreset, **kwargs):
        super().__init__(preset, **kwargs)
        self.g_a, self.g_s = analysis(preset), synthesis(preset)
        self.h_a, self.h_s = hyper_analysis(preset), HyperSynthesis(preset)
        self.context = context(preset)


Model = TCM
