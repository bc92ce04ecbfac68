"""What is measured is what the bytes decode to; what fails counts for no codec."""

from __future__ import annotations

import os
import shutil

import numpy as np
import pytest
from PIL import Image
from tqdm import tqdm

from lic import metrics
from lic.errors import DataError
from lic.evaluation import measuring
from lic.evaluation.setting import Setting


def _measure(paths, settings, sampled=(), told=None):
    tell = (lambda *_: None) if told is None else lambda *failure: told.append(failure)
    with open(os.devnull, "w") as nowhere, tqdm(total=len(paths) * len(settings), file=nowhere) as bar:
        measured = measuring.measure(paths, settings, sampled, bar, tell)
        assert bar.n == bar.total
    return measured


def test_row_says_what_the_file_has_and_decodes_to(photos, ladder):
    measured = _measure(photos[:1], ladder)
    pixels = np.asarray(Image.open(photos[0]))
    for row, setting in zip(measured.rows, ladder):
        data = setting.encode(pixels)
        restored = setting.decode(data)
        assert (row.picture, row.codec, row.model, row.quality) == (
            "photo0", setting.codec, setting.model, setting.quality)
        assert row.bytes == len(data) and row.bpp == 8 * len(data) / (170 * 200)
        assert row.psnr == metrics.psnr(pixels, restored) and row.ms_ssim == metrics.ms_ssim(pixels, restored)
        assert row.ms_ssim_db == metrics.ms_ssim_db(row.ms_ssim)
        assert row.encode_seconds > 0 and row.decode_seconds > 0
    assert len(measured.rows) == len(ladder) == 6


def test_every_picture_goes_through_every_setting(photos, ladder):
    measured = _measure(photos, ladder)
    assert len({(row.picture, row.codec, row.quality) for row in measured.rows}) == 3 * 6
    assert measured.sizes == {"photo0": (170, 200), "photo1": (200, 170), "photo2": (180, 300)}


def test_unreadable_picture_is_told_of_and_the_rest_goes_on(photos, ladder, tmp_path):
    broken, told = tmp_path / "broken.png", []
    broken.write_bytes(b"no picture")
    measured = _measure([photos[0], str(broken), photos[1]], ladder, told=told)
    assert measured.failed == ["broken"] and set(measured.sizes) == {"photo0", "photo1"}
    assert [path for path, _ in told] == [str(broken)] and "broken.png" in str(told[0][1])


def test_picture_that_one_codec_cannot_do_counts_for_none(photos, ladder):
    def refuse(pixels):
        if pixels.shape[1] == 300:
            raise DataError("too wide")
        return b"1"

    picky = Setting("picky", "", 1, refuse, lambda data: np.zeros((170, 200, 3), np.uint8))
    measured = _measure([photos[2], photos[0]], [*ladder, picky])
    assert measured.failed == ["photo2"] and {row.picture for row in measured.rows} == {"photo0"}


def test_no_picture_at_all_is_an_error(photos, ladder, tmp_path):
    with pytest.raises(DataError, match="no picture could be measured"):
        _measure([str(tmp_path / "absent.png")], ladder)


def test_small_picture_has_no_ms_ssim(tmp_path, ladder, picture):
    path = str(tmp_path / "small.png")
    Image.fromarray(picture(40, 60)[0].astype(np.uint8)).save(path)
    measured = _measure([path], ladder, [path])
    assert all(row.ms_ssim is None and row.ms_ssim_db is None for row in measured.rows)
    assert measured.samples[0].original.shape == (40, 60, 3)


def test_sample_is_the_same_part_of_the_original_and_of_what_was_decoded(tmp_path, ladder):
    pixels = np.full((500, 500, 3), 128, np.uint8)
    pixels[330:350, 330:350] = np.random.default_rng(0).integers(0, 256, (20, 20, 3))
    path = str(tmp_path / "corner.png")
    Image.fromarray(pixels).save(path)
    sample, = _measure([path], ladder, [path]).samples
    assert sample.original.shape == (160, 160, 3) and sample.original.std() > 5   # the noise is in it
    part = measuring.detail(pixels)
    assert (sample.original == pixels[part]).all()
    for (_, shown), setting in zip(sample.views, ladder):
        assert (shown == setting.decode(setting.encode(pixels))[part]).all()


def test_pictures_of_one_name_are_told_apart_by_their_folders(photos, ladder, tmp_path):
    (tmp_path / "other").mkdir()
    twin = shutil.copy(photos[0], tmp_path / "other")
    assert measuring.names_of([photos[0], photos[1]]) == ["photo0", "photo1"]
    assert measuring.names_of([photos[0], str(twin)]) == [photos[0], str(twin)]


def test_name_that_no_page_can_hold_is_escaped():
    assert measuring.names_of(["a/\udcff.png", "b.png"]) == ["\\udcff", "b"]
