"""The latents of any window of a picture, out of tiles that are decoded one by one."""

from __future__ import annotations

from typing import Callable

import numpy as np

from lic.tiling import LATENT_STRIDE, STRIDE, Box, Tiling


class Latents:
    """y_hat of the windows of a picture, from tiles that are decoded when first needed and dropped after the last use.

    Args:
      tiling: the tiles; windows are asked for in their order.
      decode: number -> y_hat (h/16, w/16, M) of a tile.
    """

    def __init__(self, tiling: Tiling, decode: Callable[[int], np.ndarray]):
        self._tiling, self._decode = tiling, decode
        self._kept: dict[int, np.ndarray] = {}

    def of(self, window: Box) -> np.ndarray:
        """(h/16, w/16, M) of a window."""
        numbers = self._tiling.touching(window)
        self._kept = {n: y for n, y in self._kept.items() if n >= numbers[0]}
        for number in numbers:
            if number not in self._kept:
                self._kept[number] = self._decode(number)
        wanted = latent_box(window)
        out = np.zeros((wanted.height, wanted.width, self._kept[numbers[0]].shape[-1]), np.float32)
        for number in numbers:
            tile = latent_box(self._tiling[number])
            shared = tile.meet(wanted)
            if shared:
                out[shared.within(wanted).slices] = self._kept[number][shared.within(tile).slices]
        return out


def latent_box(box: Box) -> Box:
    """A box of pixels that begins at a multiple of 16, in latents, to the end of the last one of z."""
    height, width = (-(-side // STRIDE) * STRIDE for side in (box.height, box.width))
    return Box(*(side // LATENT_STRIDE for side in (box.top, box.left, height, width)))
