"""A wish for bits per pixel or PSNR is met with few probes."""

from __future__ import annotations

import math

import pytest

from lic.rate_control import PROBES, choose, nearest


class Pretended:
    """A codec whose estimate is a formula."""

    def __init__(self, bpp=lambda q: 0.08 * 15 ** (q / 100), psnr=lambda q: 26 + 0.12 * q):
        self.bpp, self.psnr, self.asked = bpp, psnr, []

    def probe(self, pixels, quality):
        self.asked.append(quality)
        return self.bpp(quality), self.psnr(quality)


CURVES = {
    "straight": lambda q: 0.08 * 15 ** (q / 100),
    "bent up": lambda q: 0.05 + 0.02 * math.exp(q / 22),
    "bent down": lambda q: 0.1 + 1.1 * math.sqrt(q / 100),
    "stepped": lambda q: 0.1 * 1.3 ** (q // 10),
}


@pytest.mark.parametrize("curve", CURVES)
@pytest.mark.parametrize("share", [0.02, 0.3, 0.5, 0.77, 0.98])
def test_rate_is_met_as_near_as_half_a_quality_allows(curve, share):
    codec = Pretended(CURVES[curve])
    target = codec.bpp(1) ** (1 - share) * codec.bpp(100) ** share
    choice = choose(codec, None, "bpp", target)
    assert len(codec.asked) == len(set(codec.asked)) <= PROBES
    distances = [abs(math.log(codec.bpp(q / 2) / target)) for q in range(2, 201)]
    assert abs(math.log(choice.value / target)) <= max(0.02, min(distances) + 1e-9)
    assert choice.value == pytest.approx(codec.bpp(choice.quality)) and (2 * choice.quality) % 1 == 0


@pytest.mark.parametrize("target", [26.5, 30.0, 34.0, 37.9])
def test_psnr_is_met(target):
    codec = Pretended()
    choice = choose(codec, None, "psnr", target)
    assert choice.met and choice.value == pytest.approx(target, abs=0.06) and len(codec.asked) <= PROBES


@pytest.mark.parametrize("wish, target, end", [
    ("bpp", 1e-4, 1), ("bpp", 24.0, 100), ("psnr", 3.0, 1), ("psnr", 77.0, 100)])
def test_what_cannot_be_reached_gives_the_nearest_and_says_so(wish, target, end):
    codec = Pretended()
    choice = choose(codec, None, wish, target)
    assert (choice.quality, choice.met) == (end, False)
    assert len(codec.asked) <= 3, "nothing is probed beyond the ends"


def test_measure_that_does_not_rise_still_ends():
    asked = []
    quality, value = nearest(lambda q: asked.append(q) or 1.0, 2.0, 0.02, 0.003)
    assert value == 1.0 and quality in asked and len(asked) <= PROBES


def test_picture_without_any_bits_is_no_error():
    assert choose(Pretended(bpp=lambda q: 0.0), None, "bpp", 0.3).met is False
    assert choose(Pretended(psnr=lambda q: math.inf), None, "psnr", 40.0).met is False
