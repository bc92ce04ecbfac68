"""What the page shows, as HTML and as pictures of a size for the screen; everything stands in the text itself."""

from __future__ import annotations

import base64
import math
from collections.abc import Iterable, Sequence
from html import escape

import numpy as np
from PIL import Image

from lic import images
from lic.demo import heat
from lic.evaluation.measuring import Passed, Row
from lic.evaluation.page import table_row
from lic.metrics import MS_SSIM_MIN_SIDE

PART = 96       # side of the part that is shown enlarged, in pixels
SCREEN = 1600   # pixels of the longer side of a whole picture that is shown; what is coded keeps its size
_HEADS = ("", "bytes", "bits per pixel", "PSNR", "MS-SSIM", "quality", "encode", "decode")

STYLE = f"""
.html-container {{ padding: 0 !important; }}
.lic-line {{ font-size: 14px; opacity: 0.75; overflow-wrap: anywhere; }}
.lic-error {{ border-left: 4px solid #c8102e; padding: 0.5em 0.8em; font-size: 15px; overflow-wrap: anywhere; }}
.lic-scroll {{ overflow-x: auto; }}
.lic-table {{ border-collapse: collapse; font-size: 14px; width: 100%; margin-bottom: 0.6em; }}
.lic-table th, .lic-table td {{ padding: 0.3em 0.6em; text-align: right; white-space: nowrap; font-weight: normal;
  font-variant-numeric: tabular-nums; border-bottom: 1px solid var(--border-color-primary); }}
.lic-table th:first-child, .lic-table td:first-child {{ text-align: left; padding-left: 0; white-space: normal; }}
.lic-table tbody tr:first-child td {{ font-weight: 600; }}
.lic-crops {{ display: grid; grid-template-columns: repeat(auto-fit, minmax({1.5 * PART:g}px, 1fr)); gap: 10px; }}
.lic-crops figure {{ margin: 0; max-width: {3 * PART}px; }}
.lic-crops img {{ width: 100%; display: block; image-rendering: pixelated; }}
.lic-crops figcaption {{ font-size: 13px; opacity: 0.75; }}
.lic-bar {{ height: 12px; margin-bottom: 2px; }}
.lic-ends {{ display: flex; justify-content: space-between; font-size: 13px; }}
"""


def line(text: str) -> str:
    """A quiet line."""
    return f'<div class="lic-line">{escape(text)}</div>'


def error(text: str) -> str:
    """The one line that says what is wrong."""
    return f'<div class="lic-error" role="alert">{escape(text)}</div>'


def table(found: Sequence[Passed]) -> str:
    """The figures, a row a codec; the model's first."""
    rows = "".join(table_row(_cells(passed.row), "td") for passed in found)
    notes = "".join(map(line, _notes([passed.row for passed in found])))
    return (f'<div class="lic-scroll"><table class="lic-table"><thead>{table_row(_HEADS, "th")}</thead>'
            f"<tbody>{rows}</tbody></table></div>{notes}")


def _cells(row: Row) -> Iterable[str]:
    yield row.codec
    yield f"{row.bytes:,}"
    yield f"{row.bpp:.4f}"
    yield "equal" if math.isinf(row.psnr) else f"{row.psnr:.2f} dB"
    yield "" if row.ms_ssim is None else f"{row.ms_ssim:.4f}"
    yield "" if row.quality is None else f"{row.quality:g}"
    yield f"{row.encode_seconds:.2f} s"
    yield f"{row.decode_seconds:.2f} s"


def _notes(rows: Sequence[Row]) -> Iterable[str]:
    mine, *others = rows
    for row in others:
        if row.bytes > 1.1 * mine.bytes:
            yield f"{row.codec} has no smaller file here."
        if row.bytes < mine.bytes / 1.1:
            yield f"{row.codec} has no larger file here."
    if mine.ms_ssim is None:
        yield f"MS-SSIM is not defined where a side is under {MS_SSIM_MIN_SIDE} pixels."


def on_screen(pixels: np.ndarray) -> np.ndarray:
    """uint8 (h, w, 3) at most SCREEN pixels a side."""
    longer = max(pixels.shape[:2])
    if longer <= SCREEN:
        return pixels
    size = [max(1, round(side * SCREEN / longer)) for side in pixels.shape[1::-1]]
    return np.asarray(Image.fromarray(pixels).resize((size[0], size[1]), Image.Resampling.LANCZOS))


def part_around(x: float, y: float, height: int, width: int) -> tuple[slice, slice]:
    """Rows and columns of the PART x PART pixels with this middle, moved to lie inside the picture."""
    left, top = (max(0, min(round(middle) - PART // 2, side - PART)) for middle, side in ((x, width), (y, height)))
    return slice(top, top + PART), slice(left, left + PART)


def crops(original: np.ndarray, found: Sequence[Passed], part: tuple[slice, slice] | None) -> str:
    """The same part of the original and of each result, large enough to see its pixels."""
    shown = [("original", original), *((f"{p.row.codec}, {p.row.psnr:.2f} dB", p.restored) for p in found)]
    return ('<div class="lic-crops">'
            + "".join(f'<figure><img src="{_source(pixels[part])}" alt="{escape(name)}"><figcaption>{escape(name)}'
                      "</figcaption></figure>" for name, pixels in shown) + "</div>")


def _source(pixels: np.ndarray) -> str:
    return "data:image/png;base64," + base64.b64encode(images.encode_png(pixels)).decode()


def legend(bits: np.ndarray) -> str:
    """What the colours of the map of bits say."""
    most = heat.top_of(bits) / heat.SIDE ** 2
    return (f'<div class="lic-bar" style="background: {heat.gradient()}"></div><div class="lic-ends">'
            f"<span>0</span><span>{most / 2:.2f}</span><span>{most:.2f} bits per pixel and more</span></div>")
