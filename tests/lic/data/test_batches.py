"""Batches: a function of seed and step, from every picture in turn, past those that break."""

from __future__ import annotations

import numpy as np
from PIL import Image

from lic import data


def test_batches_are_a_function_of_seed_and_step(folder, settings, take):
    whole = take(9, settings(folder))
    assert whole.shape == (9, 3, 32, 32, 3) and whole.dtype == np.uint8
    np.testing.assert_array_equal(whole, take(9, settings(folder)))
    for start in (1, 5):
        np.testing.assert_array_equal(whole[start:], take(9 - start, settings(folder), start))
    np.testing.assert_array_equal(whole, take(9, settings(folder, preprocess_threads=1)))
    assert not np.array_equal(whole, take(9, settings(folder, seed=1)))


def test_batchsize_only_cuts_the_same_row_of_patches(folder, settings, take):
    rows = [take(12 // b, settings(folder, batchsize=b)).reshape(12, 32, 32, 3) for b in (3, 4)]
    np.testing.assert_array_equal(*rows)


def test_shares_of_several_machines_are_the_rows_of_one(folder, settings, take):
    whole = take(4, settings(folder, batchsize=6), start_step=2)
    for parts in (1, 2, 3):
        shares = [np.stack([*data.open_source(settings(folder, batchsize=6)).batches(2, data.Share(n, parts)).take(4)])
                  for n in range(parts)]
        np.testing.assert_array_equal(np.concatenate(shares, 1), whole)


def test_every_picture_is_visited_once_a_round_in_another_order(folder, settings, take):
    numbers = take(14, settings(folder, batchsize=2))[:, :, 0, 0, 2].reshape(4, 7)
    for each_round in numbers:
        assert sorted(each_round) == list(range(7))
    assert len({tuple(each_round) for each_round in numbers}) == 4


def test_single_picture_can_be_trained_on_and_long_runs_start_anywhere(tmp_path, settings, take, coordinates):
    Image.fromarray(coordinates(64, 64, 5)).save(tmp_path / "a.png")
    far = take(1, settings(tmp_path), start_step=2_000_000)
    assert not np.array_equal(far, take(1, settings(tmp_path)))


def broken_png(path, pixels):
    """A PNG with its beginning and its end that no one can decode."""
    Image.fromarray(pixels).save(path)
    whole = bytearray(path.read_bytes())
    whole[len(whole) // 2] ^= 0xFF
    path.write_bytes(whole)


def test_picture_that_breaks_in_its_middle_is_replaced_and_named_once_and_others_stay(settings, take, tmp_path, capfd):
    rng = np.random.default_rng(0)
    pixels = [np.full((64, 64, 3), 40 * n, np.uint8) + rng.integers(0, 9, (64, 64, 3), np.uint8) for n in range(5)]
    for n in range(5):
        Image.fromarray(pixels[n]).save(tmp_path / f"{n}.png")
    made_of = settings(tmp_path, batchsize=2)
    whole = take(10, made_of)
    broken_png(tmp_path / "3.png", pixels[3])
    capfd.readouterr()
    patches = take(10, made_of)
    was_broken = (whole[:, :, 0, 0, 0] // 40) == 3
    assert was_broken.sum() == 4
    np.testing.assert_array_equal(patches[~was_broken], whole[~was_broken])
    assert not (patches[:, :, 0, 0, 0] // 40 == 3).any()
    assert capfd.readouterr().err == f"'{tmp_path / '3.png'}' can't be decoded: other pictures take its place\n"


def test_picture_that_breaks_is_named_once_by_whoever_reads_the_same_source_again(settings, tmp_path, capfd):
    Image.fromarray(np.zeros((64, 64, 3), np.uint8)).save(tmp_path / "sound.png")
    broken_png(tmp_path / "broken.png", np.random.default_rng(0).integers(0, 255, (64, 64, 3), np.uint8))
    source = data.open_source(settings(tmp_path))
    for _ in range(2):
        list(source.batches(0).take(2))
    assert capfd.readouterr().err.count("broken.png") == 1
