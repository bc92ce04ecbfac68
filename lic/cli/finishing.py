"""The end of a job: its file is written, and what there is to tell of it is told."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from lic import files, metrics
from lic.cli.notes import note
from lic.cli.stopwatch import Stopwatch


class Decoded(NamedTuple):
    """What a file decodes to.

    Attributes:
      sides: (height, width) of the whole picture.
      pixels: uint8 (h, w, 3) of it, or of a part.
      original: of the same size, where there is one to compare with.
    """

    sides: tuple[int, ...]
    pixels: np.ndarray
    original: np.ndarray | None


@dataclass(frozen=True)
class Finish:
    """What is left of a job where all is computed; it is done when it is called.

    Attributes:
      data: what is written to `target`.
      size: bytes of the .tfci, whether that is what is written or what was read.
      notes: lines about the source.
      decoded: whose figures are printed.
    """

    source: str
    target: str
    data: bytes
    size: int
    watch: Stopwatch
    notes: Sequence[str] = ()
    decoded: Decoded | None = None

    def __call__(self) -> None:
        for line in self.notes:
            note(f"{files.shown(self.source)}: {line}")
        with self.watch("write"):
            files.write_atomically(self.target, self.data)
        if self.decoded:
            self._print_figures(*self.decoded)

    def _print_figures(self, sides: tuple[int, ...], pixels: np.ndarray, original: np.ndarray | None) -> None:
        height, width = pixels.shape[:2]
        part = "" if (height, width) == sides else f" of {sides[1]} x {sides[0]}"
        print(f"{files.shown(self.source)} -> {files.shown(self.target)}: {width} x {height}{part}")
        if original is not None:
            print(f"  {_distances(original, pixels)}")
        print(f"  {self.size} bytes, {metrics.bits_per_pixel(self.size, *sides):.4f} bits per pixel of the file")
        print(f"  {self.watch}")


def _distances(original: np.ndarray, pixels: np.ndarray) -> str:
    similarity = metrics.ms_ssim(original, pixels)
    ms_ssim = (f"not defined below {metrics.MS_SSIM_MIN_SIDE} pixels" if similarity is None
               else f"{similarity:.5f} ({metrics.ms_ssim_db(similarity):.3f} dB)")
    return f"MSE {metrics.mse(original, pixels):.4f}, PSNR {metrics.psnr(original, pixels):.3f} dB, MS-SSIM {ms_ssim}"
