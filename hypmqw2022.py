"""ELIC: He et al., "ELIC: Efficient Learned Image Compression with Unevenly Grouped Space-Channel Contextual Adaptive
Coding", CVPR 2022.

The model of section 4: residual bottleneck blocks and attention in the transforms, and a context that goes over
unevenly sized groups of channels and, in each, over the two colours of a checkerboard. Presets: elic (the published
TensorFlow form), elic-official and elic-chandelier (CompressAI's two), nano (bundled), tiny (for tests).

    python hypmqw2022.py compress picture.png
    python hypmqw2022.py train --preset elic --train_glob 'pictures/**/*.jpg'
"""

from __future__ import annotations

if __name__ == "__main__":  # before TensorFlow is imported, so that --help answers at once
    from lic.cli import main
    main("hypmqw2022")

import tensorflow as tf

from arch_ops import AttentionBlock, Conv, Deconv, ResidualBottleneck, conv_stack
from config import ELICPreset
from lic.checkerboard import CrossConv
from lic.context import SpaceChannelContext
from lic.model import LatentCodec
from swin_transformers_tf import Sequential


def _units(p: ELICPreset) -> list[ResidualBottleneck]:
    return [ResidualBottleneck() for _ in range(p.num_units)]


def _latent_attention(p: ELICPreset) -> list[AttentionBlock]:
    return [AttentionBlock(p.conventions.unit_relu)] if p.latent_attention else []


def analysis(p: ELICPreset) -> Sequential:
    """g_a: (b, h, w, 3) -> (b, h/16, w/16, M) (figure 3)."""
    padding, relu = p.conventions.padding, p.conventions.unit_relu
    return Sequential([
        Conv(p.N[0], 5, 2, padding=padding), *_units(p),
        Conv(p.N[1], 5, 2, padding=padding), *_units(p), AttentionBlock(relu),
        Conv(p.N[2], 5, 2, padding=padding), *_units(p),
        Conv(p.latent_depth, 5, 2, padding=padding), *_latent_attention(p)])


def synthesis(p: ELICPreset) -> Sequential:
    """g_s: (b, h, w, M) -> (b, 16h, 16w, 3) (figure 3)."""
    padding, relu = p.conventions.padding, p.conventions.unit_relu
    return Sequential([
        *_latent_attention(p), Deconv(p.N[2], padding=padding), *_units(p),
        Deconv(p.N[1], padding=padding), AttentionBlock(relu), *_units(p),
        Deconv(p.N[0], padding=padding), *_units(p), Deconv(3, padding=padding)])


def hyper_analysis(p: ELICPreset) -> Sequential:
    """h_a: y -> z, a quarter of its size."""
    (n1, n2), padding = p.hyper_hidden[0], p.conventions.padding
    return Sequential([
        Conv(n1, 3, activation=tf.nn.relu, rdft=p.hyper_rdft),
        Conv(n2, 5, 2, tf.nn.relu, padding, rdft=p.hyper_rdft),
        Conv(p.hyper_depth, 5, 2, padding=padding, use_bias=p.hyper_bias, rdft=p.hyper_rdft)])


def hyper_synthesis(p: ELICPreset) -> Sequential:
    """h_s: z_hat -> what the parameter networks see of it, (b, h, w, hyper_out)."""
    (n1, n2), padding = p.hyper_hidden[1], p.conventions.padding
    activation = tf.nn.relu if p.hyper_relu else None
    last = Deconv(p.hyper_out, 3, 1, activation, padding) if p.hyper_last_transposed else Conv(
        p.hyper_out, 3, activation=activation)
    return Sequential([Deconv(n1, activation=tf.nn.relu, padding=padding),
                       Deconv(n2, activation=tf.nn.relu, padding=padding), last])


def context(p: ELICPreset) -> SpaceChannelContext:
    """Uneven groups, each in two passes of a checkerboard (section 4.2, figures 5 and 6)."""
    kernels = (5, 5, p.channel_kernel)
    return SpaceChannelContext(
        p.groups, p.conventions.sigma,
        spatial=[CrossConv(2 * g, p.spatial_kernel, p.conventions.anchors == "odd") for g in p.groups],
        channel=[conv_stack((*p.channel_hidden, 2 * g), kernels, tf.nn.relu) for g in p.groups[1:]],
        parameters=[conv_stack((*hidden, 2 * g), (1, 1, 1), tf.nn.relu)
                    for g, hidden in zip(p.groups, p.parameter_hidden)],
        anchors=p.conventions.anchors, means_first=p.conventions.hyper_order == "means_first",
        channel_first=p.context_order == "channel_first", support=p.channel_context)


class ELIC(LatentCodec):
    """The whole model; see `lic.model.LatentCodec` for what it does."""

    def __init__(self, preset: ELICPreset, **kwargs):
        super().__init__(preset, **kwargs)
        self.g_a, self.g_s = analysis(preset), synthesis(preset)
        self.h_a, self.h_s = hyper_analysis(preset), hyper_synthesis(preset)
        self.context = context(preset)


Model = ELIC
