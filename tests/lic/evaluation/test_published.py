"""The published curves that stand in the project, and when they may stand beside a measurement."""

from __future__ import annotations

import json

import pytest

from lic import resources
from lic.evaluation import published

SIZES = {f"kodim{n:02}": (768, 512) if n in (4, 9, 10, 17, 18, 19) else (512, 768) for n in range(1, 25)}


def test_every_curve_names_its_source_and_has_a_quality_for_each_rate():
    with open(resources.path("anchors", "kodak.json"), encoding="utf-8") as file:
        stored = json.load(file)["curves"]
    assert stored.keys() == published.kodak().keys() >= {*published.ANCHORS, "TCM large", "ELIC", "JPEG"}
    for name, curve in published.kodak().items():
        assert stored[name]["source"]
        assert len(curve.bpp) == len(curve.psnr) and len(curve.ms_ssim_db) in (0, len(curve.bpp))


def test_published_curves_rise_and_say_that_they_are_published():
    for curve in published.kodak().values():
        assert curve.published and curve.name.endswith("(published)")
        for values in (curve.bpp, curve.psnr, curve.ms_ssim_db):
            assert list(values) == sorted(set(values))


def test_kodak_is_known_by_its_names_and_sizes():
    assert published.is_kodak(SIZES)
    assert published.is_kodak({name.upper(): size for name, size in SIZES.items()})


@pytest.mark.parametrize("change", [
    lambda sizes: sizes.pop("kodim07"),
    lambda sizes: sizes.update(kodim25=(512, 768)),
    lambda sizes: sizes.update(kodim07=(512, 512)),
    lambda sizes: sizes.update(kodim07=(1024, 1536)),
    lambda sizes: sizes.clear(),
])
def test_other_pictures_are_not_kodak(change):
    sizes = dict(SIZES)
    change(sizes)
    assert not published.is_kodak(sizes)
