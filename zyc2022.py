"""SwinT-ChARM: Zhu, Yang, Cohen, "Transformer-Based Transform Coding", ICLR 2022.

The four models of section 3: transforms of Swin blocks or of convolutions with GDN, each with the channel-wise
autoregressive context (ChARM, Minnen & Singh 2020) or with the hyperprior alone. Presets: swint-charm (the paper's),
swint-charm-tbtc, swint-hyperprior, conv-charm, conv-hyperprior (as TBTC), nano (bundled), tiny (for tests).

    python zyc2022.py compress picture.png
    python zyc2022.py train --preset conv-charm --train_glob 'pictures/**/*.jpg'
"""

from __future__ import annotations

if __name__ == "__main__":  # before TensorFlow is imported, so that --help answers at once
    from lic.cli import main
    main("zyc2022")

import tensorflow as tf

from arch_ops import GDN, Conv, Deconv, conv_stack
from config import ZYCPreset
from lic.context import ChannelContext, Context, HyperContext
from lic.model import LatentCodec
from swin_transformers_tf import BasicLayer, Layer, PatchMerging, PatchSplitting, Sequential


def _stage(p: ZYCPreset, width: int, depth: int, window: int, resample: Layer | None) -> BasicLayer:
    """Swin blocks, then the resampling that ends the stage."""
    return BasicLayer(depth, p.heads or width // p.head_dim, window, p.head_dim, resample)


def _down(p: ZYCPreset, widths, depths, window: int, gain: float = 1.0) -> Sequential:
    """Patch embedding and stages of Swin blocks with patch merging between them (figure 2).

    `gain` scales the initial output. A latent that starts below half a step rounds to zero, and LayerNorm at zero
    multiplies gradients by 316 a layer: with Adam at 1e-3 such a start ended in a constant picture.
    """
    gains = [1.0] * (len(widths) - 2) + [gain]
    merge = [PatchMerging(n, p.conventions.patch_merge, g, p.resample_norm) for n, g in zip(widths[1:], gains)] + [None]
    return Sequential([Conv(widths[0], 2, 2), *(_stage(p, *s) for s in zip(
        widths, depths, [window] * len(depths), merge))])


def _up(p: ZYCPreset, widths, depths, window: int, out: int) -> Sequential:
    """Stages of Swin blocks, each followed by patch splitting (figure 2)."""
    c, last = p.conventions, len(widths) - 1
    split = [PatchSplitting(n, c.patch_split, c.pixel_shuffle, last=i == last, norm=p.resample_norm)
             for i, n in enumerate([*widths[1:], out])]
    return Sequential([_stage(p, *s) for s in zip(widths, depths, [window] * len(depths), split)])


def _conv_down(p: ZYCPreset) -> Sequential:
    """g_a of Conv-ChARM: four 5x5 convolutions of stride 2 with GDN between them."""
    c, layers = p.conventions, []
    for _ in range(3):
        layers += [Conv(p.conv_width, 5, 2, padding=c.padding), GDN(form=c.gdn)]
    return Sequential([*layers, Conv(p.latent_depth, 5, 2, padding=c.padding)])


def _conv_up(p: ZYCPreset) -> Sequential:
    """g_s of Conv-ChARM: four transposed 5x5 convolutions with inverse GDN between them."""
    c, layers = p.conventions, []
    for _ in range(3):
        layers += [Deconv(p.conv_width, padding=c.padding), GDN(inverse=True, form=c.gdn)]
    return Sequential([*layers, Deconv(3, padding=c.padding)])


def _conv_hyper_down(p: ZYCPreset) -> Sequential:
    n, padding = p.hyper_depth, p.conventions.padding
    return Sequential([Conv(n, 3, activation=tf.nn.relu), Conv(n, 5, 2, tf.nn.relu, padding),
                       Conv(n, 5, 2, padding=padding)])


def _conv_hyper_up(p: ZYCPreset) -> Sequential:
    n, padding = p.hyper_depth, p.conventions.padding
    return Sequential([Deconv(n, activation=tf.nn.relu, padding=padding),
                       Deconv(n, activation=tf.nn.relu, padding=padding), Conv(2 * p.latent_depth, 3)])


class HyperSynthesis(Layer):
    """h_s: z_hat -> latent means and latent scales, (b, h, w, M) each, from one network."""

    def __init__(self, network: Layer, scales_first: bool, **kwargs):
        super().__init__(**kwargs)
        self.network, self.scales_first = network, scales_first

    def call(self, z_hat):
        first, second = tf.split(self.network(z_hat), 2, -1)
        return (second, first) if self.scales_first else (first, second)


class SliceParameters(Layer):
    """Mean and sigma of slice k from its own latent means and scales and the slices before (appendix A.1)."""

    def __init__(self, k: int, depth: int, hidden: tuple[int, int], **kwargs):
        super().__init__(**kwargs)
        self.own = slice(k * depth, (k + 1) * depth)
        self.mean, self.scale = (conv_stack((*hidden, depth), (3, 3, 3), tf.nn.relu) for _ in range(2))

    def call(self, hyper, support):
        means, scales = (h[..., self.own] for h in hyper)
        seen = tf.concat([means, *support], -1)
        return self.mean(seen), self.scale(tf.concat([scales, *support], -1)), seen


def context(p: ZYCPreset) -> Context:
    """ChARM without latent residual prediction, or nothing but the hyperprior."""
    if p.entropy == "hyperprior":
        return HyperContext([p.latent_depth], p.conventions.sigma)
    depth = p.latent_depth // p.num_slices
    return ChannelContext(
        [depth] * p.num_slices, p.conventions.sigma, max_support_slices=p.max_support_slices,
        parameters=[SliceParameters(k, depth, p.slice_hidden[k]) for k in range(p.num_slices)])


class ZYC2022(LatentCodec):
    """Any of the four models; see `lic.model.LatentCodec` for what it does."""

    def __init__(self, preset: ZYCPreset, **kwargs):
        super().__init__(preset, **kwargs)
        hyper_widths = (preset.hyper_depth,) * 2
        if preset.transforms == "conv":
            self.g_a, self.g_s, self.h_a = _conv_down(preset), _conv_up(preset), _conv_hyper_down(preset)
            h_s = _conv_hyper_up(preset)
        else:
            self.g_a = _down(preset, preset.dims, preset.depths, preset.windows[0], gain=5.0)
            self.g_s = _up(preset, preset.dims[::-1], preset.depths[::-1], preset.windows[0], 3)
            self.h_a = _down(preset, hyper_widths, preset.hyper_depths, preset.windows[1])
            h_s = _up(preset, hyper_widths, preset.hyper_depths[::-1], preset.windows[1], 2 * preset.latent_depth)
        self.h_s = HyperSynthesis(h_s, preset.conventions.hyper_order == "scales_first")
        self.context = context(preset)

    @staticmethod
    def can_start_linear(preset):
        return preset.transforms == "conv" or not preset.resample_norm


Model = ZYC2022
