"""A start of the transforms that is a good linear transform already: principal components, stage by stage.

A chain of convolutions of stride 2 can hold, in two by two of its taps, the principal components of the 2 x 2 blocks
that it sees, and a chain of transposed ones their inverse. With everything residual made small, such a model begins
where transform coding with fixed bases ends, and training adds what is not linear. From random weights small models
need long to represent fine detail at all, and high rates suffer most.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np


class Stage(NamedTuple):
    """What one halving does: 2 x 2 blocks of c channels -> k components.

    `components` is (4c, k), orthonormal, rows in the order row, column, channel; `mean` (c,) is of the input; `least`
    (k,) is what nearly all values of an output exceed.
    """

    components: np.ndarray
    mean: np.ndarray
    least: np.ndarray


def start(g_a, g_s, patches: np.ndarray, lmbda: float) -> None:
    """Makes analysis and synthesis begin as principal components and their inverse.

    The layers of both that resample have a method `hold`, which makes them a given linear transform, those that add to
    what they get a method `soften` (`arch_ops`, `swin_transformers_tf`).

    Args:
      g_a, g_s: sequences of layers, also in stages that end in a resampling.
      patches: as of `stages`.
      lmbda: of the loss; decides how fine the latent begins.
    """
    for layer in (*g_a.layers, *g_s.layers):
        if hasattr(layer, "soften"):
            layer.soften()
    downs, ups = _resampling(g_a), _resampling(g_s)[::-1]
    for i, (components, mean, least) in enumerate(stages(patches, [down.filters for down in downs])):
        last = i == len(downs) - 1
        scale = scale_of(lmbda) if last else 1.0
        # The latent is centred: what the mean of a stage's input gives is taken off there, and put back.
        offset = -scale * np.tile(mean, 4) @ components if last else np.zeros(components.shape[1])
        downs[i].hold(scale * components, offset, scale * least)
        ups[i].hold(components.T / scale, mean if last else np.zeros(len(mean)))


def _resampling(transform) -> list:
    layers = (getattr(layer, "resample", layer) for layer in transform.layers)
    return [layer for layer in layers if hasattr(layer, "hold")]


def stages(patches: np.ndarray, widths: Sequence[int]) -> list[Stage]:
    """The principal components of each halving.

    Args:
      patches: (n, h, w, 3) in 0..1, sides multiples of 2 ** len(widths); some hundred of them.
      widths: channels after each halving; where there are more than components, the rest stays free.
    """
    found, x = [], patches
    for width in widths:
        mean, blocks = x.reshape(-1, x.shape[-1]).mean(0), _blocks(x)
        _, vectors = np.linalg.eigh(np.cov(blocks.reshape(-1, blocks.shape[-1]).T))   # from the smallest variance
        components = vectors[:, ::-1][:, :width]
        x = blocks @ components
        found.append(Stage(components, mean, np.quantile(x.reshape(-1, x.shape[-1]), 0.001, 0)))
    return found


def _blocks(x: np.ndarray) -> np.ndarray:
    """(n, h, w, c) -> (n, h/2, w/2, 4c)."""
    n, h, w, c = x.shape
    return x.reshape(n, h // 2, 2, w // 2, 2, c).transpose(0, 1, 3, 2, 4, 5).reshape(n, h // 2, w // 2, 4 * c)


def scale_of(lmbda: float) -> float:
    """The factor after which a step of 1 is the best uniform quantiser of an orthonormal transform of 0..1.

    At high rates three samples a pixel cost 3/2 log2(1 / D) bits at a distortion D, and a step s gives D = s^2 / 12;
    the slope of bits + lambda * D (0..255) is zero at s = sqrt(18 / (lambda ln 2)).
    """
    return 255 * math.sqrt(lmbda * math.log(2) / 18)
