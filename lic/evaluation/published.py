"""Published rate-distortion curves on Kodak, and whether pictures are Kodak's.

`res/anchors/kodak.json` holds the points as facts, each curve with its source. They are averages over all 24 pictures,
so they stand beside a measurement only where it has exactly these.
"""

from __future__ import annotations

import json
from collections.abc import Mapping

from lic import resources
from lic.evaluation.curves import CLASSICAL, MODEL, Curve
from lic.metrics import ms_ssim_db

ANCHORS = ("VTM 9.1", "BPG 4:4:4")   # what papers measure BD-rate against
TABLES_ONLY = ("AV1", "WebP", "JPEG 2000", "JPEG", "TCM middle")   # plots have most of these as measured here
_SIDES = {512, 768}
_NAMES = frozenset(f"kodim{number:02}" for number in range(1, 25))


def is_kodak(sizes: Mapping[str, tuple[int, int]]) -> bool:
    """Whether pictures, name (without ending) to (h, w), are the 24 of Kodak: by their names and sizes."""
    return {name.lower() for name in sizes} == _NAMES and all(set(size) == _SIDES for size in sizes.values())


def kodak() -> dict[str, Curve]:
    """The published curves by their names; PSNR of all, MS-SSIM of most."""
    with open(resources.path("anchors", "kodak.json"), encoding="utf-8") as file:
        stored = json.load(file)["curves"]
    return {name: _curve(name, entry) for name, entry in stored.items()}


def _curve(name: str, entry: dict) -> Curve:
    assert entry["kind"] in (MODEL, CLASSICAL)
    similarity = tuple(map(ms_ssim_db, entry.get("ms_ssim", ())))
    return Curve(f"{name} (published)", entry["kind"], True, tuple(entry["bpp"]), tuple(entry["psnr"]), similarity)
