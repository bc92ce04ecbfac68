"""Averages over pictures, and the curves that they make."""

from __future__ import annotations

import math

import pytest

from lic import metrics
from lic.evaluation.averages import averages, curves
from lic.evaluation.measuring import Row


def _row(picture, codec, quality, bpp, psnr, ms_ssim=0.9, model="") -> Row:
    db = None if ms_ssim is None else metrics.ms_ssim_db(ms_ssim)
    return Row(picture, codec, model, quality, 1, bpp, psnr, ms_ssim, db, 0.1, 0.2)


def test_psnr_is_the_mean_over_pictures_and_ms_ssim_is_averaged_before_it_becomes_db():
    found, = averages([_row("a", "x", 1, 0.2, 30, 0.9), _row("b", "x", 1, 0.4, 40, 0.99)])
    assert (found.bpp, found.psnr) == (pytest.approx(0.3), 35)
    assert found.ms_ssim == pytest.approx(0.945) and found.ms_ssim_db == pytest.approx(-10 * math.log10(0.055))
    assert (found.encode_seconds, found.decode_seconds) == (pytest.approx(0.1), pytest.approx(0.2))


def test_codecs_keep_their_order_and_rates_rise():
    rows = [_row("a", codec, q, bpp, 30) for codec, q, bpp in (
        ("z", None, 0.5), ("y", 8, 3.0), ("y", 240, 0.1), ("y", 24, 1.0))]
    assert [(a.codec, a.quality) for a in averages(rows)] == [("z", None), ("y", 240), ("y", 24), ("y", 8)]


def test_models_of_one_rate_are_points_of_one_curve_in_the_order_of_their_rates():
    rows = [_row("a", "lsk2023 nano", None, bpp, psnr, model=m) for m, bpp, psnr in (
        ("mm", 0.8, 33), ("kk", 0.2, 28), ("ll", 0.5, 31))]
    curve, = curves(averages(rows))
    assert (curve.bpp, curve.psnr, curve.kind, curve.published) == ((0.2, 0.5, 0.8), (28, 31, 33), "model", False)
    assert [a.model for a in averages(rows)] == ["kk", "ll", "mm"]


def test_measure_that_one_picture_lacks_is_not_averaged():
    found, = averages([_row("a", "x", 1, 0.2, 30), _row("b", "x", 1, 0.4, 40, None)])
    assert found.ms_ssim is None and found.ms_ssim_db is None and found.psnr == 35
    assert curves([found])[0].ms_ssim_db == () and curves([found])[0].kind == "codec"
