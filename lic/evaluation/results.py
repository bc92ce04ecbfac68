"""All that a report says, as data; `report.py` and `page.py` write it down."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import PIL
from PIL import features

from lic.evaluation import averages, published, tables
from lic.evaluation.averages import Average
from lic.evaluation.classical import Classical
from lic.evaluation.curves import CLASSICAL, MEASURES, Curve
from lic.evaluation.measuring import Measured
from lic.evaluation.tables import Delta

_LIBRARIES = ("libjpeg_turbo", "jpg", "webp", "avif", "jpg_2000")   # as `PIL.features` names them


class Results(NamedTuple):
    """What was measured and what follows from it.

    Attributes:
      title: of what set of pictures.
      averages: a line for each rate of each codec.
      curves: those measured, then the published ones where the pictures are Kodak's.
      deltas: BD-rates by measure, one of `curves.MEASURES`.
      models, codecs, versions: what made the files.
    """

    title: str
    measured: Measured
    averages: list[Average]
    curves: list[Curve]
    deltas: dict[str, list[Delta]]
    models: list[dict]
    codecs: dict[str, str]
    versions: dict[str, str]


def results(measured: Measured, models: list[dict], codecs: Sequence[Classical]) -> Results:
    """What follows from what was measured."""
    found = averages.averages(measured.rows)
    curves = averages.curves(found)
    anchors = [curve for curve in curves if curve.kind == CLASSICAL]
    number, kodak = len(measured.sizes), published.is_kodak(measured.sizes)
    if kodak:
        theirs = published.kodak()
        curves += theirs.values()
        anchors += [theirs[name] for name in published.ANCHORS]
    title = f"{'Kodak, average of ' if kodak else 'Average of '}{number} picture{'s' if number > 1 else ''}"
    return Results(title, measured, found, curves, {m: tables.deltas(curves, anchors, m) for m in MEASURES}, models,
                   {codec.title: codec.about for codec in codecs}, _versions())


def _versions() -> dict[str, str]:
    """Versions of what encodes, since the sizes of files hang on them."""
    found = {name: features.version(name) for name in _LIBRARIES}
    return {"Pillow": PIL.__version__, **{name: str(version) for name, version in found.items() if version}}
