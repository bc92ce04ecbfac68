"""The files of a report, and the folder that holds them.

    index.html                    the page
    results.csv  averages.csv     a row a picture, codec and quality; a row a codec and quality
    results.json                  both, BD-rates, and what made the files
    psnr.png, .svg  ms_ssim.*     the plots
    pictures/                     the parts that the page shows side by side

Everything but seconds and versions is the same when the same is measured again; seconds stand in columns of their own.
"""

from __future__ import annotations

import csv
import io
import json
import math
import os
from collections.abc import Iterable, Iterator, Sequence

from lic import drafts, files, images
from lic.errors import DataError, UsageError
from lic.evaluation import plots, samples, tables
from lic.evaluation.averages import Average
from lic.evaluation.curves import MEASURES
from lic.evaluation.measuring import Row
from lic.evaluation.page import page
from lic.evaluation.results import Results

_MARK = "lic evaluation"
_PLOTS = {"psnr": "psnr", "ms_ssim_db": "ms_ssim"}
_NAMES = {"index.html", "results.csv", "averages.csv", "results.json", "pictures",
          *(f"{name}.{kind}" for name in _PLOTS.values() for kind in ("png", "svg"))}
_DIGITS = {"bpp": 6, "psnr": 5, "ms_ssim": 7, "ms_ssim_db": 5, "encode_seconds": 4, "decode_seconds": 4}


def write(results: Results, folder: str) -> None:
    """Writes a report; the folder appears, or takes the place of an older report, only when it is whole.

    Raises:
      UsageError: as `check_target`.
      DataError: it can't be written.
    """
    check_target(folder)
    contents = dict(_files(results))
    folder = os.path.realpath(folder)
    try:
        os.makedirs(os.path.dirname(folder), exist_ok=True)
        with drafts.beside(folder, drafts.new_folder) as (draft, _):
            fresh, old = os.path.join(draft, "fresh"), os.path.join(draft, "old")
            for name, data in contents.items():
                os.makedirs(os.path.dirname(os.path.join(fresh, name)), exist_ok=True)
                files.write_atomically(os.path.join(fresh, name), data)
            _replace(folder, fresh, old)
    except OSError as error:
        raise DataError(f"cannot write {files.shown(folder)}: {error.strerror}") from None


def _replace(folder: str, fresh: str, old: str) -> None:
    """Puts a fresh folder where an old one may be, which can't be done at one go where there are files in it."""
    if os.path.isdir(folder):
        os.rename(folder, old)
    try:
        os.rename(fresh, folder)
    except BaseException:
        if os.path.isdir(old):
            os.rename(old, folder)
        raise


def check_target(folder: str) -> None:
    """Raises a UsageError where no report can be written: something else than an older report is there, or no way."""
    if not folder:
        raise UsageError("--out '' names no folder")
    place = os.path.realpath(folder)   # where it will be written: 'nowhere/../photos' is 'photos'
    if not os.path.lexists(place):
        _check_way(os.path.dirname(place))
        return
    if not os.path.isdir(place):
        raise UsageError(f"'{files.shown(folder)}' is not a folder: give another --out")
    names = set(os.listdir(place))
    if names and not (names <= _NAMES and _is_ours(os.path.join(place, "results.json"))):
        raise UsageError(f"'{files.shown(folder)}' holds other things than a report: give a new folder")


def _check_way(folder: str) -> None:
    """Raises a UsageError where a folder neither exists nor can be made; better now than after all the measuring."""
    while not os.path.lexists(folder):
        folder = os.path.dirname(folder)
    if not os.path.isdir(folder) or not os.access(folder, os.W_OK):
        raise UsageError(f"cannot write into '{files.shown(folder)}': give another --out")


def summary(results: Results) -> str:
    """The tables as text."""
    parts = [results.title, "", tables.markdown(tables.AVERAGE_HEADS, tables.average_rows(results.averages))]
    for measure, found in results.deltas.items():
        if found:
            parts += ["", tables.delta_title(measure), "", tables.markdown(*tables.delta_table(found)), "",
                      *tables.reasons(found)]
    return "\n".join([*parts, ""])


def _is_ours(path: str) -> bool:
    try:
        with open(path, encoding="utf-8") as file:
            return json.load(file)["made_by"] == _MARK
    except (OSError, ValueError, KeyError, TypeError):
        return False


def _files(results: Results) -> Iterator[tuple[str, bytes]]:
    """The name and bytes of each file of a report."""
    yield "results.csv", _csv(Row._fields, results.measured.rows)
    yield "averages.csv", _csv(Average._fields, results.averages)
    yield "results.json", _json(results)
    drawn = dict(_plots(results))
    yield from drawn.items()
    shown = [list(_views(number, sample)) for number, sample in enumerate(results.measured.samples, 1)]
    yield from ((name, images.encode(view.pixels, ".webp")) for views in shown for name, view in views)
    captions = [[(view.caption, name) for name, view in views] for views in shown]
    svgs = [name for name in drawn if name.endswith(".svg")]
    yield "index.html", page(results, svgs, captions).encode()


def _plots(results: Results) -> Iterator[tuple[str, bytes]]:
    for measure, name in _PLOTS.items():
        if any(curve.points(measure) for curve in results.drawn if not curve.published):
            for kind, data in plots.draw(results.drawn, measure, results.title).items():
                yield f"{name}.{kind}", data


def _views(number: int, sample) -> Iterator[tuple[str, samples.View]]:
    for place, view in enumerate(samples.views(sample)):
        yield f"pictures/{number}-{place}.webp", view


def _csv(fields: Sequence[str], rows: Iterable[tuple]) -> bytes:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(fields)
    writer.writerows(_rounded(fields, row).values() for row in rows)
    return text.getvalue().encode()


def _json(results: Results) -> bytes:
    """JSON with a line for each row: readable, and no longer than it has to be."""
    entries = {
        "made_by": _MARK, "title": results.title, "pictures": list(results.measured.sizes),
        "failed": results.measured.failed, "models": results.models, "codecs": results.codecs,
        "versions": results.versions,
        "averages": [_finite(_rounded(Average._fields, a)) for a in results.averages],
        "bd_rate": [{"measure": measure, **d._asdict()} for measure in MEASURES for d in results.deltas[measure]],
        "rows": [_finite(_rounded(Row._fields, row)) for row in results.measured.rows]}
    return ("{\n" + ",\n".join(f"{json.dumps(name)}: {_lines(entry)}" for name, entry in entries.items())
            + "\n}\n").encode()


def _lines(entry) -> str:
    if isinstance(entry, list) and entry and isinstance(entry[0], dict):
        return "[\n" + ",\n".join(json.dumps(item) for item in entry) + "\n]"
    return json.dumps(entry)


def _rounded(fields: Sequence[str], row: tuple) -> dict:
    return {name: round(value, _DIGITS[name]) if name in _DIGITS and value is not None else value
            for name, value in zip(fields, row)}


def _finite(entry: dict) -> dict:
    """JSON has no infinity, as the PSNR of a picture that came back whole."""
    return {name: None if isinstance(value, float) and math.isinf(value) else value for name, value in entry.items()}
