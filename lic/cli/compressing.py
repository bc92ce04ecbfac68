"""One job of `compress`: from a picture to the bytes of a file."""

from __future__ import annotations

import argparse
import math
from typing import TYPE_CHECKING

import numpy as np

from lic import files, images, memory, overlap, rate_control
from lic.cli.finishing import Decoded, Finish
from lic.cli.progress import Bar
from lic.cli.stopwatch import Stopwatch
from lic.errors import UsageError

if TYPE_CHECKING:
    from lic.codec import Codec


class Compression:
    """Compresses pictures with a codec, as the arguments of the command say.

    Raises:
      UsageError: the model can't do what they wish.
    """

    def __init__(self, codec: Codec, a: argparse.Namespace):
        if not codec.variable and (a.quality or a.bpp or a.psnr):
            raise UsageError("the model has one rate: --quality, --bpp and --psnr go with models of many rates")
        codec.check_effort(a.effort)
        self._codec, self._a, self._room = codec, a, overlap.Room(memory.budget())

    def need_of(self, source: str) -> float | None:
        """Bytes of memory that a picture takes, where its beginning tells."""
        size = images.size_told_by(files.beginning(source))
        return self._codec.memory_of(*size, self._a.effort) if size else None

    def __call__(self, source: str, target: str, bar: Bar) -> Finish:
        """Compresses a picture; the file is written when what comes back is called."""
        a, watch = self._a, Stopwatch()
        with self._room.of(self.need_of(source) or math.inf):   # the pixels of what waits would be no small part of it
            with watch("read"):
                picture = images.read(source)
            quality, missed = self._quality_of(picture.pixels, watch)
            with watch("compress"):
                data = self._codec.compress_pixels(picture.pixels, a.tile, a.verify, bar("compressing"), quality,
                                                   a.effort)
            decoded = self._decoded(data, picture.pixels, bar, watch) if a.verbose else None
        return Finish(source, target, data, len(data), watch, (*picture.notes, *missed), decoded)

    def _quality_of(self, pixels: np.ndarray, watch: Stopwatch) -> tuple[float | None, list[str]]:
        """The quality that is asked for or meets the wish, and a line where none comes near that."""
        if not (self._a.bpp or self._a.psnr):
            return self._a.quality, []
        with watch("choose the quality"):
            return self._nearest_quality(pixels)

    def _nearest_quality(self, pixels: np.ndarray) -> tuple[float, list[str]]:
        a = self._a
        wish, target, unit = ("bpp", a.bpp, "bits per pixel") if a.bpp else ("psnr", a.psnr, "dB")
        choice = rate_control.choose(self._codec, pixels, wish, target)
        return choice.quality, [] if choice.met else [
            f"{target:g} {unit} can't be reached: the nearest is about {choice.value:.4g}, with quality "
            f"{choice.quality:g}"]

    def _decoded(self, data: bytes, pixels: np.ndarray, bar: Bar, watch: Stopwatch) -> Decoded:
        with watch("decompress"):
            restored = self._codec.decompress(data, progress=bar("decompressing"))
        return Decoded(restored.shape[:2], restored, pixels)
