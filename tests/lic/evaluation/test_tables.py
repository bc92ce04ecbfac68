"""Tables of BD-rates, with the reason where there is none, and their text."""

from __future__ import annotations

import pytest

from lic.bd_rate import bd_rate
from lic.evaluation import tables
from lic.evaluation.averages import Average
from lic.evaluation.curves import Curve

RATES, PSNR = (0.1, 0.2, 0.4, 0.8, 1.6), (26, 29, 32, 35, 38)
JPEG = Curve("JPEG", "codec", False, RATES, PSNR, ())
HALF = Curve("half", "model", False, tuple(r / 2 for r in RATES), PSNR, (8.0, 10.0, 12.0, 14.0, 16.0))
POINT = Curve("point", "model", False, (0.3,), (30,), (9,))


def test_curve_of_half_the_rate_is_better_by_half():
    delta, = tables.deltas([HALF], [JPEG], "psnr")
    assert (delta.codec, delta.anchor, delta.reason) == ("half", "JPEG", "")
    assert delta.percent == bd_rate(JPEG.points("psnr"), HALF.points("psnr")) == pytest.approx(-50)


def test_missing_figure_has_its_reason_once():
    found = tables.deltas([POINT, HALF], [JPEG, HALF], "psnr")
    heads, rows = tables.delta_table(found)
    assert heads == ["codec", "JPEG", "half"]
    assert rows == [["point", "-", "-"], ["half", "-50.0 %", "+0.0 %"]]
    assert tables.reasons(found) == ["point against JPEG, half: it takes 4 rates of each codec, one has 1"]


def test_curve_without_the_measure_is_left_out():
    found = tables.deltas([JPEG, HALF], [JPEG, HALF], "ms_ssim_db")
    assert [(d.codec, d.anchor) for d in found] == [("half", "half")]
    assert tables.deltas([JPEG], [JPEG], "ms_ssim_db") == []


def test_averages_are_shown_with_a_dash_for_what_is_not_there():
    assert tables.average_rows([Average("x", "aa", None, 0.12345, 30.126, None, None, 0.12345, 1.0)]) == [
        ["x", "-", "0.1235", "30.13", "-", "-", "0.123", "1.000"]]
    assert tables.average_rows([Average("x", "", 50.0, 1.0, 30.0, 0.98765, 19.083, 0, 0)])[0][1:6] == [
        "50", "1.0000", "30.00", "0.9877", "19.08"]


def test_markdown_is_aligned():
    assert tables.markdown(["codec", "bpp"], [["a", "0.25"], ["longer name", "-"]]) == (
        "| codec       |  bpp |\n| ----------- | ---: |\n| a           | 0.25 |\n| longer name |    - |")
