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
      drawn: the curves that were measured, then published ones where the pictures are Kodak's.
      deltas: BD-rates by measure, one of `curves.MEASURES`.
      models, codecs, versions: what made the files.
    """

    title: str
    measured: Measured
    averages: list[Average]
    drawn: list[Curve]
    deltas: dict[str, list[Delta]]
    models: list[dict]
    codecs: dict[str, str]
    versions: dict[str, str]


def results(measured: Measured, models: list[dict], codecs: Sequence[Classical]) -> Results:
    """What follows from what was measured."""
    found = averages.averages(measured.rows)
    ours = averages.curves(found)
    theirs = published.kodak() if published.is_kodak(measured.sizes) else {}
    anchors = [c for c in ours if c.kind == CLASSICAL] + [c for n, c in theirs.items() if n in published.ANCHORS]
    drawn = ours + [c for name, c in theirs.items() if name not in published.TABLES_ONLY]
    deltas = {measure: tables.deltas([*ours, *theirs.values()], anchors, measure) for measure in MEASURES}
    return Results(_title(len(measured.sizes), bool(theirs)), measured, found, drawn, deltas, models,
                   {codec.title: codec.about for codec in codecs}, _versions())


def _title(number: int, kodak: bool) -> str:
    return f"{'Kodak, average' if kodak else 'Average'} of {number} picture{'s' if number > 1 else ''}"


def _versions() -> dict[str, str]:
    """Versions of what encodes, since the sizes of files hang on them."""
    found = {name: features.version(name) for name in _LIBRARIES}
    return {"Pillow": PIL.__version__, **{name: str(version) for name, version in found.items() if version}}
