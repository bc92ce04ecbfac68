"""The report as a page of HTML that stands alone beside its pictures: no script, nothing from elsewhere."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape

from lic.evaluation import tables
from lic.evaluation.measuring import CROP
from lic.evaluation.results import Results

_STYLE = """
body { font: 15px/1.45 Georgia, serif; color: #222; max-width: 1380px; margin: 2em auto; padding: 0 1em; }
h1, h2 { font-weight: normal; }
table { border-collapse: collapse; font-size: 13px; margin: 0.6em 0 1.4em; }
thead th { border-top: 1.5px solid #222; border-bottom: 1px solid #222; }
tbody tr:last-child > * { border-bottom: 1.5px solid #222; }
th, td { padding: 0.15em 0.8em; text-align: right; font-weight: normal; font-variant-numeric: tabular-nums;
  white-space: nowrap; }
th:first-child, td:first-child { text-align: left; padding-left: 0; }
.scroll { overflow-x: auto; }
.plots { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(480px, 100%), 1fr)); gap: 10px; }
.plots img { width: 100%; }
.views { display: grid; grid-template-columns: repeat(auto-fill, minmax(min(260px, 45%), 1fr)); gap: 10px;
  margin-bottom: 1.6em; }
figure { margin: 0; }
figure img { width: 100%; image-rendering: pixelated; display: block; }
figcaption, .note { font-size: 12px; color: #555; overflow-wrap: anywhere; }
"""


def page(results: Results, plots: Sequence[str], views: Iterable[Sequence[tuple[tuple[str, str], str]]]) -> str:
    """The page.

    Args:
      plots: the names of the plots' files.
      views: for each picture, the captions and names of the files to show side by side.
    """
    title = escape(results.title)
    return "\n".join([
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">',
        f'<meta name="viewport" content="width=device-width, initial-scale=1">\n<title>{title}</title>',
        f"<style>{_STYLE}</style>\n</head>\n<body>\n<h1>{title}</h1>", *_about(results),
        '<p class="plots">', *(f'<img src="{escape(name)}" alt="{escape(name)}">' for name in plots), "</p>",
        *_deltas(results), "<h2>Averages</h2>",
        _table(tables.AVERAGE_HEADS, tables.average_rows(results.averages)), *_pictures(views), "</body>\n</html>\n"])


def _about(results: Results) -> Iterable[str]:
    yield ("<p>Rates are those of whole files. PSNR is over RGB and averaged over pictures; MS-SSIM is averaged over "
           "pictures and then expressed in dB. Every file was decoded again. Each row of each picture stands in "
           '<a href="results.csv">results.csv</a> and <a href="results.json">results.json</a>.</p>')
    if results.measured.failed:
        yield _note("Left out, since they failed: " + ", ".join(results.measured.failed))
    yield from (_note(f"{m['curve']}: model {m['weights_id']} of {m['script']}, preset {m['preset']}"
                      + (", variable rate" if m["variable_rate"] else "")) for m in results.models)
    yield from (_note(f"{title}: {about}") for title, about in results.codecs.items())
    yield _note(", ".join(f"{name} {version}" for name, version in results.versions.items()))


def _deltas(results: Results) -> Iterable[str]:
    for measure, found in results.deltas.items():
        if found:
            yield f"<h2>{escape(tables.delta_title(measure))}</h2>"
            yield _table(*tables.delta_table(found))
            yield from map(_note, tables.reasons(found))


def _pictures(views: Iterable[Sequence[tuple[tuple[str, str], str]]]) -> Iterable[str]:
    yield (f"<h2>Side by side</h2>\n<p>The {CROP} x {CROP} pixels with the most detail, enlarged, at the rate "
           "nearest to the middle rate of the first codec.</p>")
    for picture in views:
        yield '<div class="views">'
        for (name, figures), file in picture:
            yield (f'<figure><img src="{escape(file)}" alt="{escape(name)}"><figcaption>{escape(name)}<br>'
                   f"{escape(figures)}</figcaption></figure>")
        yield "</div>"


def _table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    return "\n".join([
        '<div class="scroll"><table>', f"<thead>{table_row(heads, 'th')}</thead>", "<tbody>",
        *(table_row(row, "td") for row in rows), "</tbody>", "</table></div>"])


def table_row(cells: Iterable[str], tag: str) -> str:
    """A row of a table of HTML, of "td" or "th"."""
    return "<tr>" + "".join(f"<{tag}>{escape(cell)}</{tag}>" for cell in cells) + "</tr>"


def _note(text: str) -> str:
    return f'<div class="note">{escape(text)}</div>'
