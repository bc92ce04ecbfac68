"""The tables of a report as text: averages, and BD-rate of every curve against the codecs that one compares with."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from lic.bd_rate import bd_rate
from lic.errors import DataError
from lic.evaluation.averages import Average
from lic.evaluation.curves import MEASURES, Curve

AVERAGE_HEADS = ("codec", "quality", "bpp", "PSNR (dB)", "MS-SSIM", "MS-SSIM (dB)", "encode (s)", "decode (s)")


class Delta(NamedTuple):
    """BD-rate of a curve against an anchor: in percent, or None and why there is none."""

    codec: str
    anchor: str
    percent: float | None
    reason: str


def deltas(curves: Sequence[Curve], anchors: Sequence[Curve], measure: str) -> list[Delta]:
    """BD-rate of each curve against each anchor.

    Args:
      measure: a field of `Curve`, one of `curves.MEASURES`. A curve that lacks it is left out.
    """
    known = [curve for curve in curves if curve.points(measure)]
    return [_delta(curve, anchor, measure) for curve in known for anchor in anchors if anchor.points(measure)]


def _delta(curve: Curve, anchor: Curve, measure: str) -> Delta:
    try:
        return Delta(curve.name, anchor.name, bd_rate(anchor.points(measure), curve.points(measure)), "")
    except DataError as error:
        return Delta(curve.name, anchor.name, None, str(error))


def delta_table(found: Sequence[Delta]) -> tuple[list[str], list[list[str]]]:
    """Heads and rows: a row a curve, a column an anchor."""
    anchors = list(dict.fromkeys(d.anchor for d in found))
    by_codec: dict[str, list[str]] = {}
    for d in found:
        by_codec.setdefault(d.codec, []).append("-" if d.percent is None else f"{d.percent:+.1f} %")
    return ["codec", *anchors], [[codec, *cells] for codec, cells in by_codec.items()]


def reasons(found: Iterable[Delta]) -> list[str]:
    """Why figures are missing, a line for each reason of a codec."""
    anchors: dict[tuple[str, str], list[str]] = {}
    for d in found:
        if d.reason:
            anchors.setdefault((d.codec, d.reason), []).append(d.anchor)
    return [f"{codec} against {', '.join(names)}: {reason}" for (codec, reason), names in anchors.items()]


def delta_title(measure: str) -> str:
    """The title of a table of BD-rates."""
    return f"BD-rate over {MEASURES[measure]}, of a row against a column (below 0: fewer bits)"


def average_rows(found: Iterable[Average]) -> list[list[str]]:
    """Rows for AVERAGE_HEADS."""
    return [[a.codec, "-" if a.quality is None else f"{a.quality:g}", f"{a.bpp:.4f}", f"{a.psnr:.2f}",
             _maybe(a.ms_ssim, ".4f"), _maybe(a.ms_ssim_db, ".2f"), f"{a.encode_seconds:.3f}",
             f"{a.decode_seconds:.3f}"] for a in found]


def _maybe(value: float | None, form: str) -> str:
    return "-" if value is None else format(value, form)


def markdown(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table whose columns are aligned, so that it reads as it stands: names left, figures right."""
    widths = [max(len(row[i]) for row in (heads, *rows)) for i in range(len(heads))]
    rule = ["-" * widths[0], *("-" * (width - 1) + ":" for width in widths[1:])]
    lines = ([row[0].ljust(widths[0]), *(cell.rjust(width) for cell, width in zip(row[1:], widths[1:]))]
             for row in (heads, rule, *rows))
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)
