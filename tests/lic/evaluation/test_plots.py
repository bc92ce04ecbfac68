"""Plots: the curves that are given, in the window where the models are, the same bytes in every run."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

from lic.evaluation import plots, published
from lic.evaluation.curves import Curve

RATES = (0.1, 0.3, 0.6, 1.4)
OURS = Curve("ours <&>", "model", False, RATES, (27, 30, 33, 36), (9, 12, 15, 18))
THEIRS = Curve("JPEG", "codec", False, (0.2, 0.5, 1.0, 4.0), (25, 29, 33, 60), (8, 11, 14, 22))


def test_plot_is_a_png_and_an_svg_that_are_the_same_in_every_run():
    drawn = plots.draw([OURS, THEIRS], "psnr", "title")
    assert drawn == plots.draw([OURS, THEIRS], "psnr", "title") and set(drawn) == {"png", "svg"}
    pixels = np.asarray(Image.open(io.BytesIO(drawn["png"])).convert("RGB"))
    assert pixels.shape == (720, 1200, 3) and 5 < pixels.std() < 80
    assert b"<svg" in drawn["svg"] and b"dc:date" not in drawn["svg"]


def test_window_reaches_a_little_beyond_the_models_and_holds_all_that_lies_in_it():
    window = plots._window([OURS, THEIRS], "psnr")
    assert window["xlim"] == (0, pytest.approx(1.1 * 1.4))
    at_the_edge = 33 + (60 - 33) * (1.54 - 1) / 3   # of JPEG
    assert window["ylim"][0] < 25 and at_the_edge < window["ylim"][1] < 39


def test_window_of_low_rates_reaches_to_one_bit():
    assert plots._window([OURS._replace(bpp=(0.1, 0.15, 0.2, 0.3))], "psnr")["xlim"] == (0, 1)


def test_infinite_quality_and_a_single_point_can_be_drawn():
    point = Curve("point", "model", False, (0.2,), (30,), ())
    lossless = THEIRS._replace(psnr=(25, 29, float("inf"), float("inf")))
    assert plots._window([point, lossless], "psnr")["ylim"][1] < 31
    assert plots.draw([point, lossless], "psnr", "title")["png"]
    assert plots.draw([point], "psnr", "title")["png"]


def test_every_line_is_told_from_the_others():
    models = [OURS._replace(name=str(i)) for i in range(3)]
    classical = [THEIRS._replace(name=str(i)) for i in range(5)]
    theirs = [curve for name, curve in published.kodak().items() if name not in published.TABLES_ONLY]
    styles = plots._styles([*models, *classical, *theirs])
    looks = [(s["color"], s.get("marker"), s["linestyle"]) for s in styles]
    assert len(set(looks)) == len(looks)
