"""Classical codecs are shown at the size of the model's file."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from lic import metrics
from lic.demo import compare
from lic.evaluation import classical
from lic.evaluation.classical import CODECS


@pytest.fixture(scope="module")
def pixels(picture):
    return picture(192, 256)[0].astype(np.uint8)


@pytest.mark.parametrize("name", ["jpeg", "webp", "avif", "jpeg2000"])
def test_file_of_a_classical_codec_is_the_nearest_in_size(name, pixels):
    codec, = classical.chosen([name])
    least, most = (len(codec.encode(pixels, codec.qualities[end])) for end in (0, -1))
    size = round((least * most) ** 0.5)
    passed = compare.through_classical(codec, "photo.png", pixels, size)
    neighbours = [len(codec.encode(pixels, passed.row.quality + step)) for step in (-1, 1)]
    assert passed.row.bytes == len(passed.data) and abs(passed.row.bytes - size) < 0.1 * size
    assert abs(np.log(passed.row.bytes / size)) <= max(0.01, min(abs(np.log(np.array(neighbours) / size))))
    np.testing.assert_array_equal(passed.restored, codec.decode(passed.data))
    assert passed.row.psnr == metrics.psnr(pixels, passed.restored)


def test_size_out_of_reach_gives_the_end_of_the_ladder(pixels):
    assert compare.quality_of_size(CODECS["jpeg"], pixels, 10) == CODECS["jpeg"].qualities[0]
    assert compare.quality_of_size(CODECS["jpeg"], pixels, 10 ** 7) == CODECS["jpeg"].qualities[-1]


def test_search_encodes_no_quality_twice_and_at_most_nine(pixels, monkeypatch):
    asked = []

    def options(quality):
        asked.append(quality)
        return CODECS["jpeg"].options(quality)

    compare.quality_of_size(dataclasses.replace(CODECS["jpeg"], options=options), pixels, 9000)
    assert 1 < len(asked) <= 9 and len(set(asked)) == len(asked)


def test_model_is_measured_on_its_own_file(fake, pixels):
    codec = fake("lsk2023", "nano", "aa", variable=True)
    passed = compare.through_model(codec, "photo.png", pixels, 60)
    assert passed.data == codec.compress_pixels(pixels, quality=60) and passed.row.bytes == len(passed.data)
    assert (passed.row.codec, passed.row.model, passed.row.quality) == ("lsk2023 nano", "aa", 60)
    assert passed.row.psnr == metrics.psnr(pixels, codec.decompress(passed.data))
