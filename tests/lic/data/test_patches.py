"""Patches: cut whole from everywhere, flipped, whatever the kind of picture; or out of a smaller one."""

from __future__ import annotations

import numpy as np
import tensorflow as tf
from PIL import Image


def test_patches_are_cut_whole_from_everywhere_and_flipped_every_other_time(folder, settings, take, coordinates):
    patches = take(40, settings(folder, batchsize=7)).reshape(-1, 32, 32, 3).astype(int)
    flipped = patches[:, 0, 0, 1] > patches[:, 0, 1, 1]
    assert 0.4 < flipped.mean() < 0.6            # 280 coins: 0.1 is more than three deviations
    upright = np.where(flipped[:, None, None, None], patches[:, :, ::-1], patches)
    first = upright[:, :1, :1]
    expected = coordinates(32, 32, 0).astype(int) + first
    np.testing.assert_array_equal(upright, expected)
    for n in range(7):
        for axis, side in ((0, 32 + 9 * n), (1, 100 - 8 * n)):
            corners = set(first[first[:, 0, 0, 2] == n][:, 0, 0, axis])
            last = side - 32                     # 40 corners in 0..last: far from all alike, and up to the end
            assert min(corners) >= 0 and max(corners) <= last
            assert len(corners) > min(12, last / 2) and min(corners) <= 0.2 * last and max(corners) >= 0.8 * last


def test_grey_and_other_kinds_of_pictures_become_three_channels(tmp_path, settings, take, coordinates):
    grey = coordinates(40, 40, 0)[..., 0] * 4
    kinds = {
        "grey.jpg": Image.fromarray(grey), "grey.png": Image.fromarray(grey),
        "alpha.png": Image.fromarray(coordinates(40, 40, 9)).convert("RGBA"),
        "palette.png": Image.fromarray(coordinates(40, 40, 9)).convert("P"), "colour.bmp": Image.new("RGB", (40, 40)),
        "colour.jpeg": Image.fromarray(coordinates(40, 40, 99)), "UPPER.JPG": Image.new("RGB", (40, 40), (9, 99, 200)),
    }
    for name, image in kinds.items():
        image.save(tmp_path / name)
        patches = take(2, settings(tmp_path, train_glob=str(tmp_path / name)))
        assert patches.shape == (2, 3, 32, 32, 3), name
        if name.startswith("grey"):
            assert np.ptp(patches, -1).max() == 0 and np.ptp(patches) > 50
        if name == "UPPER.JPG":   # one colour: JPEG rounds it by a few
            np.testing.assert_allclose(patches - [9.0, 99, 200], 0, atol=4)


def test_patch_of_a_jpeg_is_the_patch_of_the_decoded_picture(tmp_path, settings, take):
    """Only the blocks under the patch are decoded; what comes out is the same."""
    rng = np.random.default_rng(0)
    smooth = np.cumsum(np.cumsum(rng.normal(size=(90, 120, 3)), 0), 1)
    smooth = np.uint8(255 * (smooth - smooth.min()) / np.ptp(smooth))
    Image.fromarray(smooth).save(tmp_path / "a.jpg", quality=95, subsampling=0)
    decoded = tf.io.decode_jpeg(tf.io.read_file(str(tmp_path / "a.jpg"))).numpy()
    windows = np.lib.stride_tricks.sliding_window_view(decoded, (32, 32), (0, 1))
    for patch in take(2, settings(tmp_path)).reshape(-1, 32, 32, 3):
        places = [np.argwhere((windows == np.moveaxis(p, -1, 0)).all((2, 3, 4))) for p in (patch, patch[:, ::-1])]
        assert sum(map(len, places)) == 1


def test_picture_of_exactly_a_patch_is_used_whole(tmp_path, settings, take, coordinates):
    Image.fromarray(coordinates(32, 32, 5)).save(tmp_path / "a.png")
    for patch in take(2, settings(tmp_path)).reshape(-1, 32, 32, 3):
        assert np.array_equal(patch, coordinates(32, 32, 5)) or np.array_equal(patch, coordinates(32, 32, 5)[:, ::-1])


def test_resizing_makes_pictures_smaller_by_every_factor_until_they_are_a_patch(settings, take, coordinates, tmp_path):
    """A ramp of rows and columns says by its slope how much smaller its picture was made."""
    Image.fromarray(coordinates(128, 160, 5)).save(tmp_path / "a.png")
    patches = take(40, settings(tmp_path, resize=True)).reshape(-1, 32, 32, 3).astype(float)
    slopes = (patches[:, 28, 16, 0] - patches[:, 4, 16, 0]) / 24
    across = np.abs(patches[:, 16, 28, 1] - patches[:, 16, 4, 1]) / 24
    np.testing.assert_allclose(slopes, across, atol=0.1)       # alike in both directions
    assert (patches[..., 2] == 5).all()                        # nothing of an edge rings in
    assert slopes.min() >= 0.95 and slopes.max() <= 4.05
    logarithms = np.log(slopes) / np.log(4)                    # uniform in 0..1: 120 of them
    assert abs(logarithms.mean() - 0.5) < 0.1 and logarithms.min() < 0.1 and logarithms.max() > 0.9
    again = take(3, settings(tmp_path, resize=True), 37).reshape(-1, 32, 32, 3)
    np.testing.assert_array_equal(again, patches[-9:])


def test_resizing_averages_the_noise_of_large_pictures(settings, take, tmp_path):
    rng = np.random.default_rng(0)
    Image.fromarray(rng.integers(88, 168, (256, 256, 3)).astype(np.uint8)).save(tmp_path / "a.jpg", quality=95)
    spread = [take(8, settings(tmp_path, resize=on)).std((2, 3)).mean() for on in (False, True)]
    assert spread[1] < 0.7 * spread[0]


def test_resizing_a_picture_of_exactly_a_patch_changes_nothing(settings, take, coordinates, tmp_path):
    Image.fromarray(coordinates(32, 32, 5)).save(tmp_path / "a.png")
    np.testing.assert_array_equal(take(2, settings(tmp_path, resize=True)), take(2, settings(tmp_path)))
