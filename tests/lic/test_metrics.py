"""MSE, PSNR, MS-SSIM, bits per pixel: against numbers worked out by hand; MS-SSIM against TensorFlow's."""

from __future__ import annotations

import math

import numpy as np
import pytest

from lic import metrics
from lic.errors import DataError


def scene(h: int, w: int, seed: int = 0) -> np.ndarray:
    """Smooth waves with some noise; another in each channel."""
    y, x = np.mgrid[:h, :w]
    waves = np.stack([127 + 100 * np.sin(x / (7.0 + c)) * np.cos(y / (11.0 - c)) for c in range(3)], axis=-1)
    noise = np.random.default_rng(seed).normal(0, 6, waves.shape)
    return np.clip(np.round(waves + noise), 0, 255).astype(np.uint8)


def spoiled(picture: np.ndarray, by: float, seed: int = 1) -> np.ndarray:
    noise = np.random.default_rng(seed).normal(0, by, picture.shape)
    return np.clip(np.round(picture + noise), 0, 255).astype(np.uint8)


def test_mse_is_the_mean_over_all_samples_without_overflow():
    black, white = np.zeros((40, 50, 3), np.uint8), np.full((40, 50, 3), 255, np.uint8)
    assert metrics.mse(black, white) == metrics.mse(white, black) == 65025
    one_off = black.copy()
    one_off[39, 49, 2] = 3
    assert metrics.mse(black, one_off) == 9 / 6000


def test_mse_of_a_wide_picture_counts_every_row():
    a = np.zeros((3, 70_000, 3), np.uint8)  # wider than a strip
    assert metrics.mse(a, a + np.uint8(2)) == 4


def test_psnr_has_the_peak_255_over_rgb():
    a = np.full((8, 8, 3), 100, np.uint8)
    assert metrics.psnr(a, a + np.uint8(1)) == pytest.approx(48.1308, abs=1e-4)
    only_red = a.copy()
    only_red[..., 0] += 1
    assert metrics.psnr(a, only_red) == pytest.approx(48.1308 + 10 * math.log10(3), abs=1e-4)


def test_equal_pictures_have_infinite_psnr_and_ms_ssim_of_exactly_one():
    a = scene(176, 161)
    assert metrics.psnr(a, a) == math.inf
    assert metrics.ms_ssim(a, a) == 1.0
    assert metrics.ms_ssim_db(1.0) == math.inf


@pytest.mark.parametrize("size", [(192, 256), (161, 203), (250, 175)])
@pytest.mark.parametrize("noise", [3, 30])
def test_ms_ssim_is_that_of_tensorflow(size, noise):
    tf = pytest.importorskip("tensorflow")
    a = scene(*size)
    b = spoiled(a, noise)
    theirs = float(tf.image.ssim_multiscale(tf.constant(a), tf.constant(b), max_val=255))
    assert metrics.ms_ssim(a, b) == pytest.approx(theirs, abs=2e-6)


def test_ms_ssim_is_that_of_tensorflow_where_a_term_is_negative():
    tf = pytest.importorskip("tensorflow")
    a = scene(192, 192)
    b = a.copy()
    b[..., 1] = 255 - b[..., 1]  # green against its negative: that channel counts 0, and is no NaN
    theirs = float(tf.image.ssim_multiscale(tf.constant(a), tf.constant(b), max_val=255))
    assert metrics.ms_ssim(a, b) == pytest.approx(theirs, abs=2e-6) == pytest.approx(2 / 3, abs=1e-6)


def test_ms_ssim_does_not_depend_on_the_strips(monkeypatch):
    a = scene(180, 200)
    b = spoiled(a, 20)
    whole = metrics.ms_ssim(a, b)
    monkeypatch.setattr(metrics, "_STRIP_PIXELS", 1000)
    assert metrics.ms_ssim(a, b) == pytest.approx(whole, abs=1e-12)


def test_ms_ssim_is_undefined_under_161_pixels():
    a = scene(161, 170)
    assert metrics.ms_ssim(a, a) == 1
    assert metrics.ms_ssim(a[:160], a[:160]) is None
    assert metrics.ms_ssim(a[:, :160], a[:, :160]) is None
    assert metrics.ms_ssim(a[:1, :1], a[:1, :1]) is None


def test_ms_ssim_in_db():
    assert metrics.ms_ssim_db(0.9) == pytest.approx(10)
    assert metrics.ms_ssim_db(0.99) == pytest.approx(20)
    assert metrics.ms_ssim_db(0.0) == 0


def test_bits_per_pixel():
    assert metrics.bits_per_pixel(768 * 512 // 8, 512, 768) == 1
    assert metrics.bits_per_pixel(25, 10, 100) == 0.2


@pytest.mark.parametrize("measure", [metrics.mse, metrics.psnr, metrics.ms_ssim])
def test_pictures_of_two_sizes_or_kinds_are_refused_in_one_line(measure):
    a = np.zeros((20, 30, 3), np.uint8)
    for other in (a[:, :20], a.astype(np.float32), a[..., :1], a[..., 0], a[:0]):
        with pytest.raises(DataError) as refusal:
            measure(a, other)
        assert "\n" not in str(refusal.value)
    with pytest.raises(DataError, match="30x20 and 20x20"):
        measure(a, a[:, :20])
