"""Whole pictures, measured and shown."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from lic import metrics
from lic.errors import DataError, UsageError
from lic.training.validation import Validation
from lic.training.validation import pictures as pictures_of
from tests.lic.training.runs import run_of, smooth


def test_validation_that_cannot_be_read_is_told_of_before_the_training(settings, tmp_path):
    with pytest.raises(UsageError, match=r"--validation_glob '.*' matches no file"):
        run_of(settings(validation_glob=f"{tmp_path}/*.png"))
    (tmp_path / "a.png").write_bytes(b"no picture")
    with pytest.raises(DataError, match=r"a\.png"):
        run_of(settings(validation_glob=f"{tmp_path}/*.png"))
    assert not (tmp_path / "run").exists()


def test_folder_stands_for_the_pictures_in_it_and_a_glob_for_any_file(tmp_path):
    (tmp_path / "below").mkdir()
    Image.fromarray(smooth(0)).save(tmp_path / "below" / "a.png")
    (tmp_path / "notes.txt").write_text("no picture")
    assert pictures_of(str(tmp_path)) == [str(tmp_path / "below" / "a.png")] and pictures_of("") == []
    with pytest.raises(DataError, match=r"notes\.txt"):
        pictures_of(f"{tmp_path}/*")


class Darker:
    """A model that makes each picture darker by three, for a bit a pixel."""

    def estimate(self, x):
        bits = tf.cast(tf.size(x[..., 0]), tf.float32)[None]
        return SimpleNamespace(x_hat=x - 3.2, bits_y=0.75 * bits, bits_z=0.25 * bits)


def test_figures_are_means_and_the_middles_of_two_pictures_are_shown(tmp_path):
    pixels = [smooth(n, 300, 280 + 4 * n) // 2 + 50 for n in range(3)]
    for n in range(3):
        Image.fromarray(pixels[n]).save(tmp_path / f"{n}.png")
    figures, pictures = Validation(pictures_of(f"{tmp_path}/*.png"), Darker())()
    assert figures["validation/bpp"] == 1 and figures["validation/psnr"] == pytest.approx(metrics.psnr(
        pixels[0], pixels[0] - 3), abs=1e-3)
    similarities = [metrics.ms_ssim(p, p - 3) for p in pixels]
    assert figures["validation/ms_ssim"] == pytest.approx(np.mean(similarities))
    assert len(pictures) == 2
    middle = pixels[1][22:278, 14:270]
    np.testing.assert_array_equal(pictures["validation 2: original | reconstruction"][0],
                                  np.concatenate([middle, middle - 3], 1))


def test_similarity_is_left_out_where_a_picture_is_too_small_for_it(tmp_path):
    for n, side in enumerate((160, 170)):
        Image.fromarray(smooth(n, side, side) // 2 + 50).save(tmp_path / f"{n}.png")
    figures, _ = Validation(pictures_of(f"{tmp_path}/*.png"), Darker())()
    assert set(figures) == {"validation/bpp", "validation/psnr"}
