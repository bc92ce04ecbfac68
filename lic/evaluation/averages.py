"""Averages over pictures, a line for each rate of each codec, and the curves that they make.

PSNR is averaged over pictures, as papers do. So is MS-SSIM, and its average is then expressed in dB: an average of dB
would be another number, and not the one of the published curves.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from lic.evaluation.curves import CLASSICAL, MODEL, Curve
from lic.evaluation.measuring import Row
from lic.metrics import ms_ssim_db


class Average(NamedTuple):
    """The means of rows over pictures; the fields of the CSV. MS-SSIM is None where a picture has none."""

    codec: str
    model: str
    quality: float | None
    bpp: float
    psnr: float
    ms_ssim: float | None
    ms_ssim_db: float | None
    encode_seconds: float
    decode_seconds: float


def averages(rows: Iterable[Row]) -> list[Average]:
    """Codecs in the order of the rows, the rates of each from low to high."""
    groups: dict[tuple, list[Row]] = {}
    for row in rows:
        groups.setdefault((row.codec, row.model, row.quality), []).append(row)
    found = [_average(group) for group in groups.values()]
    codecs = list(dict.fromkeys(average.codec for average in found))
    return sorted(found, key=lambda average: (codecs.index(average.codec), average.bpp))


def curves(found: Sequence[Average]) -> list[Curve]:
    """The curve of each codec."""
    return [_curve(name, [a for a in found if a.codec == name]) for name in dict.fromkeys(a.codec for a in found)]


def _average(rows: Sequence[Row]) -> Average:
    bpp, psnr, encode, decode = (_mean([getattr(row, name) for row in rows])
                                 for name in ("bpp", "psnr", "encode_seconds", "decode_seconds"))
    known = [row.ms_ssim for row in rows if row.ms_ssim is not None]
    similarity = _mean(known) if len(known) == len(rows) else None
    first = rows[0]
    return Average(first.codec, first.model, first.quality, bpp, psnr, similarity,
                   None if similarity is None else ms_ssim_db(similarity), encode, decode)


def _mean(values: Sequence[float]) -> float:
    return math.fsum(values) / len(values)


def _curve(name: str, points: Sequence[Average]) -> Curve:
    similarities = tuple(p.ms_ssim_db for p in points if p.ms_ssim_db is not None)
    return Curve(name, MODEL if points[0].model else CLASSICAL, False, tuple(p.bpp for p in points),
                 tuple(p.psnr for p in points), similarities if len(similarities) == len(points) else ())
