"""The classical codecs: real files of theirs, in the form that the report says, the same in every run."""

from __future__ import annotations

import dataclasses
import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from lic import metrics
from lic.errors import DataError, UsageError
from lic.evaluation import classical
from lic.evaluation.classical import CODECS


@pytest.fixture(scope="module")
def pixels() -> np.ndarray:
    """A part of a photograph: noise has other curves."""
    with Image.open(Path(__file__).parents[3] / "res" / "eval" / "kodim23.png") as image:
        return np.asarray(image)[100:292, 100:356]


@pytest.fixture(params=CODECS)
def codec(request):
    return classical.chosen([request.param])[0]


def test_ladder_goes_from_low_to_high_rates_and_qualities(codec, pixels):
    made = [codec.encode(pixels, quality) for quality in codec.qualities]
    sizes = [len(data) for data in made]
    psnr = [metrics.psnr(pixels, codec.decode(data)) for data in made]
    assert sizes == sorted(set(sizes)) and psnr == sorted(set(psnr))
    assert sizes[-1] > 10 * sizes[0] and psnr[0] < 27 and psnr[-1] > 39


def test_same_picture_gives_the_same_bytes(codec, pixels):
    assert codec.encode(pixels, codec.qualities[3]) == codec.encode(pixels, codec.qualities[3])


def test_settings_are_the_codec_at_each_quality(codec, pixels):
    settings = classical.settings([codec])
    assert [s.quality for s in settings] == list(codec.qualities) and {s.codec for s in settings} == {codec.title}
    assert settings[2].encode(pixels) == codec.encode(pixels, codec.qualities[2])
    assert settings[2].decode(settings[2].encode(pixels)).shape == pixels.shape


def test_jpeg_is_progressive_with_halved_chroma(pixels):
    with Image.open(io.BytesIO(CODECS["jpeg"].encode(pixels, 50))) as image:
        assert image.info["progressive"] and image.layer[0][1:3] == (2, 2) and image.layer[1][1:3] == (1, 1)


def test_jpeg_2000_transforms_colours(pixels):
    plain = dataclasses.replace(CODECS["jpeg2000"], options=lambda q: {
        "quality_mode": "rates", "quality_layers": [q], "irreversible": True})
    ours, theirs = (metrics.psnr(pixels, c.decode(c.encode(pixels, 48))) for c in (CODECS["jpeg2000"], plain))
    assert ours > theirs + 1


def test_names_are_taken_once_and_in_their_order():
    assert [codec.title for codec in classical.chosen(["webp", "jpeg", "webp"])] == ["WebP", "JPEG"]
    assert classical.chosen([]) == []


def test_unknown_codec_is_refused_with_the_known_ones():
    with pytest.raises(UsageError, match="no codec 'bpg': choose from jpeg, webp, avif, jpeg2000, jxl"):
        classical.chosen(["jpeg", "bpg"])


@pytest.mark.parametrize("changed", [{"format": "NONE"}, {"format": "NONE", "plugin": "no_such_plugin"},
                                     {"options": lambda q: 1 / 0}])
def test_codec_that_is_not_installed_names_what_installs_it(monkeypatch, changed):
    absent = dataclasses.replace(CODECS["jxl"], **changed)
    monkeypatch.setattr(classical, "CODECS", {"jxl": absent})
    with pytest.raises(UsageError, match="JPEG XL is not installed: pip install pillow-jxl-plugin"):
        classical.chosen(["jxl"])


def test_file_that_cannot_be_read_is_told_in_one_line():
    with pytest.raises(DataError, match=r"^JPEG can't read its file: [^\n]+$"):
        CODECS["jpeg"].decode(b"no picture")


def test_picture_that_a_format_cannot_hold_is_told_in_one_line():
    with pytest.raises(DataError, match=r"^WebP can't write it: [^\n]+$"):
        CODECS["webp"].encode(np.zeros((1, 20000, 3), np.uint8), 50)
