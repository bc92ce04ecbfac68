"""Training patches: a function of seed and step, from every picture in turn, whatever its kind."""

from __future__ import annotations

import dataclasses
import itertools

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from config import Training
from lic import data
from lic.errors import DataError, UsageError


def settings(folder, **kwargs) -> Training:
    return dataclasses.replace(Training(), **{
        "train_glob": f"{folder}/**/*", "patchsize": 32, "batchsize": 3, "preprocess_threads": 2, **kwargs})


def take(count, made_of, start_step=0) -> np.ndarray:
    return np.stack(list(itertools.islice(data.patches(made_of, start_step).as_numpy_iterator(), count)))


def coordinates(height, width, number) -> np.ndarray:
    """A picture that says of each pixel where it was: (row, column, which picture)."""
    rows, columns = np.mgrid[:height, :width]
    return np.stack([rows, columns, np.full((height, width), number)], -1).astype(np.uint8)


@pytest.fixture
def folder(tmp_path):
    """Seven pictures (PNG: nothing is lost) of different sizes, some in a folder below."""
    (tmp_path / "below").mkdir()
    for n in range(7):
        where = tmp_path / ("below" if n % 2 else ".") / f"{n}.png"
        Image.fromarray(coordinates(32 + 9 * n, 100 - 8 * n, n)).save(where)
    return tmp_path


def test_batches_are_a_function_of_seed_and_step(folder):
    whole = take(9, settings(folder))
    assert whole.shape == (9, 3, 32, 32, 3) and whole.dtype == np.uint8
    np.testing.assert_array_equal(whole, take(9, settings(folder)))
    for start in (1, 5):
        np.testing.assert_array_equal(whole[start:], take(9 - start, settings(folder), start))
    np.testing.assert_array_equal(whole, take(9, settings(folder, preprocess_threads=1)))
    assert not np.array_equal(whole, take(9, settings(folder, seed=1)))


def test_batchsize_only_cuts_the_same_row_of_patches(folder):
    rows = [take(12 // b, settings(folder, batchsize=b)).reshape(12, 32, 32, 3) for b in (3, 4)]
    np.testing.assert_array_equal(*rows)


def test_every_picture_is_visited_once_a_round_in_another_order(folder):
    numbers = take(14, settings(folder, batchsize=2))[:, :, 0, 0, 2].reshape(4, 7)
    for each_round in numbers:
        assert sorted(each_round) == list(range(7))
    assert len({tuple(each_round) for each_round in numbers}) == 4


def test_patches_are_cut_whole_from_everywhere_and_flipped_every_other_time(folder):
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


def test_small_and_unreadable_pictures_are_left_out_with_a_line(folder, capsys):
    Image.new("RGB", (31, 400)).save(folder / "narrow.png")
    (folder / "broken.jpg").write_bytes(b"no picture")
    (folder / "empty.png").write_bytes(b"")
    (folder / "notes.txt").write_text("not even by its name")
    assert len(data.find(f"{folder}/**/*", 32)) == 7
    said = capsys.readouterr().err
    assert said == "3 of 10 pictures left out: unreadable, or smaller than 32x32\n"
    take(3, settings(folder))


@pytest.mark.parametrize("name", ["a.jpg", "a.png", "a.bmp"])
def test_picture_that_breaks_off_is_left_out_before_it_can_stop_a_run(folder, name):
    grain = np.random.default_rng(0).integers(0, 255, (64, 64, 3)).astype(np.uint8)
    Image.fromarray(grain).save(folder / name)
    whole = (folder / name).read_bytes()
    assert len(data.find(f"{folder}/**/*", 32)) == 8
    for length in (len(whole) // 2, len(whole) - 40):
        (folder / name).write_bytes(whole[:length])
        assert len(data.find(f"{folder}/**/*", 32)) == 7
    (folder / name).write_bytes(whole + b"what some cameras append")
    assert len(data.find(f"{folder}/**/*", 32)) == 8


def test_nothing_is_said_where_nothing_is_left_out(folder, capsys):
    paths = data.find(f"{folder}/**/*.png", 32)
    assert paths == sorted(paths) and len(paths) == 7 and capsys.readouterr().err == ""


def test_grey_and_other_kinds_of_pictures_become_three_channels(tmp_path):
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


def test_patch_of_a_jpeg_is_the_patch_of_the_decoded_picture(tmp_path):
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


def test_glob_that_matches_no_picture_is_a_wrong_flag(tmp_path):
    (tmp_path / "notes.txt").write_text("hello")
    for pattern in (f"{tmp_path}/*.png", f"{tmp_path}/*", f"{tmp_path}/nowhere/**/*.jpg"):
        with pytest.raises(UsageError) as error:
            data.find(pattern, 32)
        assert pattern in str(error.value) and "\n" not in str(error.value)


def test_pictures_that_are_all_too_small_are_one_line_that_says_what_to_do(tmp_path):
    Image.new("RGB", (40, 40)).save(tmp_path / "small.png")
    with pytest.raises(DataError, match=r"none of the 1 pictures .* 64x64: give larger ones, or a smaller --patchsize"):
        data.find(f"{tmp_path}/*", 64)


def test_picture_of_exactly_a_patch_is_used_whole(tmp_path):
    Image.fromarray(coordinates(32, 32, 5)).save(tmp_path / "a.png")
    for patch in take(2, settings(tmp_path)).reshape(-1, 32, 32, 3):
        assert np.array_equal(patch, coordinates(32, 32, 5)) or np.array_equal(patch, coordinates(32, 32, 5)[:, ::-1])


def test_single_picture_can_be_trained_on_and_long_runs_start_anywhere(tmp_path):
    Image.fromarray(coordinates(64, 64, 5)).save(tmp_path / "a.png")
    far = take(1, settings(tmp_path), start_step=2_000_000)
    assert not np.array_equal(far, take(1, settings(tmp_path)))


def test_data_set_that_cannot_be_had_is_one_line(monkeypatch):
    tfds = pytest.importorskip("tensorflow_datasets")

    def refuse(*_, **__):
        raise ConnectionError("no network\nsecond line")

    monkeypatch.setattr(tfds, "data_source", refuse)
    with pytest.raises(DataError) as error:
        data.patches(settings("", train_glob=""))
    assert "no network" in str(error.value) and "--train_glob" in str(error.value) and "\n" not in str(error.value)


def test_data_set_gives_patches_of_its_large_enough_pictures(monkeypatch, tmp_path):
    tfds = pytest.importorskip("tensorflow_datasets")
    pictures = []
    for n, side in enumerate((40, 20, 50)):
        Image.fromarray(coordinates(side, side, n)).save(tmp_path / "a.png")
        pictures.append({"image": (tmp_path / "a.png").read_bytes()})
    monkeypatch.setattr(tfds, "data_source", lambda *_, **__: pictures)
    patches = take(4, settings("", train_glob="", batchsize=2))
    assert patches.shape == (4, 2, 32, 32, 3)
    for batch in patches:
        assert sorted(batch[:, 0, 0, 2]) == [0, 2]
