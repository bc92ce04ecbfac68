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

    `components` is (4c, k), orthonormal, rows in the order row, column, channel; `mean` (c,) is of the input.
    """

    components: np.ndarray
    mean: np.ndarray


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
        found.append(Stage(vectors[:, ::-1][:, :width], mean))
        x = blocks @ found[-1].components
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
