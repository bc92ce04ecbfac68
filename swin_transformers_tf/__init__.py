"""Swin transformer blocks for feature maps of any size, in the forms that learned image compression uses."""

from swin_transformers_tf.attention import WindowAttention
from swin_transformers_tf.blocks import MLP, BasicLayer, SwinBlock
from swin_transformers_tf.layers import Dense, Layer, LayerNorm, Sequential
from swin_transformers_tf.patches import PatchMerging, PatchSplitting, pixel_shuffle

__all__ = [
    "MLP", "BasicLayer", "Dense", "Layer", "LayerNorm", "PatchMerging", "PatchSplitting", "Sequential", "SwinBlock",
    "WindowAttention", "pixel_shuffle",
]
