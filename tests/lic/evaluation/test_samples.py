"""Which pictures are shown, and which rates side by side."""

from __future__ import annotations

import numpy as np

from lic.evaluation import samples
from lic.evaluation.measuring import Row, Sample

PIXELS = np.zeros((4, 4, 3), np.uint8)


def _view(codec: str, bpp: float):
    return Row("p", codec, "", None, 1, bpp, 30.0, None, None, 0, 0), PIXELS


def test_each_codec_is_shown_at_the_rate_nearest_to_the_middle_of_the_first():
    found = [_view("ours", bpp) for bpp in (0.8, 0.1, 0.3)] + [_view("jpeg", bpp) for bpp in (0.1, 0.2, 0.5, 3)]
    captions = [view.caption for view in samples.views(Sample("p", PIXELS, found))]
    assert captions == [("original", "p"), ("ours", "0.300 bpp, 30.00 dB"), ("jpeg", "0.200 bpp, 30.00 dB")]


def test_a_few_pictures_of_many_are_shown_evenly():
    assert samples.evenly([str(i) for i in range(24)]) == ["0", "3", "6", "9", "12", "15", "18", "21"]
    assert samples.evenly(["a", "b"]) == ["a", "b"] and samples.evenly([]) == []
    assert len(set(samples.evenly([str(i) for i in range(11)]))) == samples.MOST
