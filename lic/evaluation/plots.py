"""Rate-distortion plots as papers have them: quality in dB over bits per pixel, one line a codec."""

from __future__ import annotations

import io
import math
from collections.abc import Sequence

import numpy as np

from lic.evaluation.curves import CLASSICAL, MEASURES, Curve

_MODEL_COLOURS = ("#c8102e", "#0057b8", "#00843d", "#e87722", "#6f2c91", "#00a3ad")
_MODEL_MARKERS = "osD^vP"
_CLASSICAL_COLOURS = ("#444444", "#8c6d31", "#5f7d95", "#8a8a8a", "#b08ca8")
_PUBLISHED_COLOURS = ("#000000", "#7f7f7f", "#d98c8c", "#e3a6c7", "#eec39a", "#8fbf9f", "#8fb3d9")
_STYLE = {"font.family": "serif", "mathtext.fontset": "dejavuserif", "font.size": 9, "axes.linewidth": 0.7,
          "legend.fontsize": 7.5, "svg.hashsalt": "lic"}   # the salt makes an SVG's ids the same in every run


def draw(curves: Sequence[Curve], measure: str, title: str) -> dict[str, bytes]:
    """A plot of the curves that know a measure, as the bytes of files: "png" and "svg".

    Args:
      curves: all of a report, so that a curve looks the same in each of its plots.
      measure: a field of `Curve`, one of `curves.MEASURES`.
    """
    import matplotlib
    matplotlib.use("Agg")
    from matplotlib import pyplot
    with pyplot.rc_context(_STYLE):
        figure, axes = pyplot.subplots(figsize=(8.0, 4.8), layout="constrained")
        _lines(axes, curves, measure)
        axes.set(xlabel="bits per pixel", ylabel=MEASURES[measure], title=title, **_window(curves, measure))
        axes.grid(True, linewidth=0.4, alpha=0.5)
        axes.legend(loc="center left", bbox_to_anchor=(1.0, 0.5), frameon=False)   # clear of the curves
        drawn = {kind: _saved(figure, kind) for kind in ("png", "svg")}
        pyplot.close(figure)
    return drawn


def _lines(axes, curves: Sequence[Curve], measure: str) -> None:
    for curve, style in zip(curves, _styles(curves)):
        points = _finite(curve, measure)
        if points:
            axes.plot(*zip(*points), label=curve.name, **style)


def _styles(curves: Sequence[Curve]) -> list[dict]:
    """Models that were measured stand out, published curves stand back."""
    styles, seen = [], {"model": 0, "classical": 0, "published": 0}
    for curve in curves:
        role = "published" if curve.published else "classical" if curve.kind == CLASSICAL else "model"
        number, seen[role] = seen[role], seen[role] + 1
        styles.append({
            "model": dict(color=_of(_MODEL_COLOURS, number), marker=_of(_MODEL_MARKERS, number), linestyle="-",
                          linewidth=1.6, markersize=4.5, zorder=3),
            "classical": dict(color=_of(_CLASSICAL_COLOURS, number), linestyle="--", linewidth=1.1, zorder=2),
            "published": dict(color=_of(_PUBLISHED_COLOURS, number), marker=".", linestyle="-", linewidth=0.8,
                              markersize=3.5, zorder=1),
        }[role])
    return styles


def _of(choices: Sequence, number: int):
    return choices[number % len(choices)]


def _window(curves: Sequence[Curve], measure: str) -> dict:
    """The part of the plane where the models are: rates to a little beyond theirs, at least to 1 bit per pixel."""
    rates = [bpp for c in curves if c.kind != CLASSICAL and not c.published for bpp, _ in _finite(c, measure)]
    right = max(1.0, 1.1 * max(rates, default=0.0))
    seen = [quality for c in curves for quality in _up_to(right, _finite(c, measure))]
    margin = 0.03 * (max(seen) - min(seen)) if seen else 0
    return {"xlim": (0, right), "ylim": (min(seen) - margin, max(seen) + margin) if margin else None}


def _up_to(right: float, points: list[tuple[float, float]]) -> list[float]:
    """The qualities of a curve up to a rate, its own at that rate among them."""
    inside = [quality for bpp, quality in points if bpp <= right]
    rates, qualities = np.array(points).reshape(-1, 2).T
    return [*inside, float(np.interp(right, rates, qualities))] if inside else []


def _finite(curve: Curve, measure: str) -> list[tuple[float, float]]:
    return [point for point in curve.points(measure) if math.isfinite(point[1])]


def _saved(figure, kind: str) -> bytes:
    buffer = io.BytesIO()
    metadata = {"svg": {"Date": None}, "png": {"Software": None}}[kind]   # else the same plot has other bytes each time
    figure.savefig(buffer, format=kind, dpi=150, metadata=metadata)
    return buffer.getvalue()
