"""BD-rate against figures of the field, against closed forms, and where there is none."""

from __future__ import annotations

import numpy as np
import pytest

from lic.bd_rate import bd_rate
from lic.errors import DataError
from lic.evaluation import published

KODAK = published.kodak()


def _against_vtm(name: str) -> float:
    return bd_rate(KODAK["VTM 9.1"].points("psnr"), KODAK[name].points("psnr"))


@pytest.mark.parametrize(("name", "percent"), [("TCM large", -11.73), ("TCM small", -6.69), ("ELIC", -7.02)])
def test_published_models_have_the_bd_rate_that_is_told_of_them(name, percent):
    assert _against_vtm(name) == pytest.approx(percent, abs=0.005)


@pytest.mark.parametrize(("name", "percent"), [("AV1", 16), ("WebP", 79), ("JPEG", 209)])
def test_classical_codecs_have_the_bd_rate_that_is_told_of_them(name, percent):
    assert _against_vtm(name) == pytest.approx(percent, abs=0.6)


def _exponential(qualities, factor: float = 1.0) -> list[tuple[float, float]]:
    """A curve whose rate is 10 times as high every 20 dB: a line in the plane of BD-rate."""
    return [(factor * 10 ** ((q - 40) / 20), q) for q in qualities]


def test_same_curve_gives_zero():
    points = KODAK["JPEG"].points("psnr")
    assert bd_rate(points, points) == 0


@pytest.mark.parametrize(("factor", "percent"), [(2, 100), (0.5, -50), (1.25, 25)])
def test_factor_of_the_rate_is_found_whatever_qualities_the_points_have(factor, percent):
    found = bd_rate(_exponential(np.linspace(25, 40, 7)), _exponential([27.1, 30, 33.3, 38, 44.4], factor))
    assert found == pytest.approx(percent, abs=1e-9)


def test_order_of_the_points_does_not_matter():
    anchor, test = _exponential(range(25, 40)), KODAK["JPEG"].points("psnr")
    assert bd_rate(anchor, test) == bd_rate(anchor[::-1], test[::-1])


def test_qualities_that_one_curve_lacks_do_not_count():
    anchor, low, high = _exponential([25, 28, 31, 34]), [22, 25, 28, 31, 34, 37], [40, 43, 46]
    dearer_at_the_top = _exponential(low, 2) + _exponential(high, 50)
    assert bd_rate(anchor, dearer_at_the_top) == pytest.approx(100)


@pytest.mark.parametrize(("test", "reason"), [
    (_exponential([25, 30, 35]), "4 rates"),
    ([], "4 rates"),
    (_exponential([38, 42, 46, 50]), "share too little"),
    (_exponential([50, 52, 54, 56]), "share too little"),
    ([(0.1, 25), (0.2, 28), (0.3, 27.9), (0.4, 35)], "does not rise"),
    ([(0.1, 25), (0.2, 28), (0.2, 29), (0.4, 35)], "does not rise"),
    ([(0.1, 25), (0.2, 28), (0.3, 30), (0.4, np.inf)], "finite"),
    ([(0, 25), (0.2, 28), (0.3, 30), (0.4, 33)], "finite"),
])
def test_no_figure_where_curves_do_not_support_one(test, reason):
    anchor = _exponential([25, 30, 35, 40])
    for pair in ((anchor, test), (test, anchor)):
        with pytest.raises(DataError, match=reason):
            bd_rate(*pair)
