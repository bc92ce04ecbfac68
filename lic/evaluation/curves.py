"""Rate-distortion curves: what plots and BD-rate tables are made of, whoever measured them."""

from __future__ import annotations

from typing import NamedTuple

# The measures of distortion, as fields of a `Curve` and of averages, and as axes and tables name them.
MEASURES = {"psnr": "PSNR (dB)", "ms_ssim_db": "MS-SSIM (dB)"}
MODEL, CLASSICAL = "model", "codec"


class Curve(NamedTuple):
    """Averages over the pictures of a set, a value a rate, in rising order of the rate.

    Attributes:
      name: as tables and legends show it.
      kind: MODEL for a learned one, CLASSICAL otherwise.
      published: taken from a publication, not measured here.
      bpp: bits per pixel of the file.
      psnr: dB over RGB.
      ms_ssim_db: -10 log10(1 - MS-SSIM); empty where it is not known.
    """

    name: str
    kind: str
    published: bool
    bpp: tuple[float, ...]
    psnr: tuple[float, ...]
    ms_ssim_db: tuple[float, ...]

    def points(self, measure: str) -> list[tuple[float, float]]:
        """(bits per pixel, quality) of each rate; none where the measure is not known."""
        return list(zip(self.bpp, getattr(self, measure)))
