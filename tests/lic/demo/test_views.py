"""What the page shows: numbers as they are, names without HTML of their own, parts that lie inside the picture."""

from __future__ import annotations

import base64
import io
import re

import numpy as np
import pytest
from PIL import Image

from lic.demo import compare, views


@pytest.fixture(scope="module")
def pixels(picture):
    return picture(170, 200)[0].astype(np.uint8)


def test_table_has_the_figures_of_each_codec(fake, pixels):
    found = [compare.through_model(fake(script, "nano", "aa"), "a.png", pixels, None) for script in ("one", "<two>")]
    rows = re.findall("<tr>(.*?)</tr>", views.table(found))
    cells = [re.findall("<t[hd]>(.*?)</t[hd]>", row) for row in rows]
    row = found[0].row
    assert cells[1][:5] == ["one nano", f"{row.bytes:,}", f"{row.bpp:.4f}", f"{row.psnr:.2f} dB", f"{row.ms_ssim:.4f}"]
    assert cells[1][5] == "" and cells[2][0] == "&lt;two&gt; nano" and len(cells) == 3


def test_codec_that_misses_the_size_is_told_of(fake, pixels):
    found = [compare.through_model(fake("x", "y", "aa"), "a.png", pixels, None)]
    small, large = (found[0]._replace(row=found[0].row._replace(codec=name, bytes=size)) for name, size in (
        ("Little", found[0].row.bytes // 2), ("Large", found[0].row.bytes * 2)))
    assert "Large has no smaller file here." in views.table([*found, large])
    assert "Little has no larger file here." in views.table([*found, small])
    assert "here" not in views.table(found * 2)


def test_similarity_that_is_not_defined_is_told_of(fake, pixels):
    passed = compare.through_model(fake("x", "y", "aa"), "a.png", pixels[:100], None)
    assert "not defined where a side is under 161 pixels" in views.table([passed])


@pytest.mark.parametrize(("x", "y", "corner"), [(100, 80, (32, 52)), (0, 0, (0, 0)), (199, 169, (74, 104))])
def test_part_lies_inside_the_picture(x, y, corner):
    rows, columns = views.part_around(x, y, 170, 200)
    assert (rows.start, columns.start) == corner
    assert (rows.stop - rows.start, columns.stop - columns.start) == (views.PART, views.PART)


def test_part_of_a_picture_that_is_smaller_is_all_of_it():
    rows, columns = views.part_around(30, 2, 5, 40)
    assert np.zeros((5, 40))[rows, columns].shape == (5, 40)


def test_enlarged_parts_are_the_pixels_themselves(fake, pixels):
    passed = compare.through_model(fake("x", "y", "aa"), "a.png", pixels, None)
    part = views.part_around(100, 80, 170, 200)
    shown = [np.asarray(Image.open(io.BytesIO(base64.b64decode(data))))
             for data in re.findall('base64,(.*?)"', views.crops(pixels, [passed], part))]
    np.testing.assert_array_equal(shown, [pixels[part], passed.restored[part]])


def test_large_picture_is_shown_smaller_and_a_small_one_as_it_is(pixels):
    assert views.on_screen(pixels) is pixels
    assert views.on_screen(np.zeros((300, 4000, 3), np.uint8)).shape == (120, views.SCREEN, 3)
    assert views.on_screen(np.zeros((4000, 1, 3), np.uint8)).shape == (views.SCREEN, 1, 3)


def test_what_is_said_is_text():
    assert "<b>" not in views.error("<b>") + views.line("<b>")
