"""Patches without TensorFlow: the same for a seed and a step, from pictures and from packed files."""

from __future__ import annotations

import itertools
import os

import numpy as np
import pytest
from PIL import Image

from lic.errors import DataError, UsageError
from lic.pjrt import pictures


def coded(number: int, height: int = 40, width: int = 50) -> np.ndarray:
    """Pixels that tell where they come from: (row, column, number of the picture)."""
    rows, columns = np.mgrid[:height, :width]
    return np.stack([rows, columns, np.full_like(rows, number)], -1).astype(np.uint8)


@pytest.fixture
def folder(tmp_path):
    """Five PNGs, one of them grey."""
    for n in range(5):
        Image.fromarray(coded(n)).save(tmp_path / f"{n}.png")
    Image.fromarray(np.full((40, 50), 5, np.uint8)).save(tmp_path / "5.png")
    return tmp_path


def of(folder, side: int = 32):
    return pictures.open_source(f"{folder}/*.png", side)


def taken(source, start: int, count: int, side: int = 32, seed: int = 3) -> np.ndarray:
    batches = pictures.batches(source, 2, side, seed, start, threads=3)
    return np.stack(list(itertools.islice(batches, count)))


def test_batches_of_a_step_are_the_same_however_the_run_was_interrupted(folder):
    whole = taken(of(folder), 0, 9)
    assert whole.shape == (9, 2, 32, 32, 3) and whole.dtype == np.uint8
    for start in (1, 4, 8):
        np.testing.assert_array_equal(taken(of(folder), start, 9 - start), whole[start:])
    assert not np.array_equal(taken(of(folder), 0, 9, seed=4), whole)


def test_every_picture_comes_once_a_round_in_another_order(folder):
    seen = taken(of(folder), 0, 9)[:, :, 0, 0, 2].reshape(3, 6)
    assert all(sorted(turn) == [0, 1, 2, 3, 4, 5] for turn in seen)
    assert len({tuple(turn) for turn in seen}) > 1


def test_patches_are_whole_pieces_some_of_them_flipped(folder):
    flipped = []
    for patch in taken(of(folder), 0, 60).reshape(-1, 32, 32, 3):
        if patch[0, 0, 2] == 5:
            continue   # the grey one
        rows, columns = np.diff(patch[:, 0, 0].astype(int)), np.diff(patch[0, :, 1].astype(int))
        assert (rows == 1).all() and len(set(columns)) == 1
        flipped.append(columns[0] == -1)
    assert 0.3 < np.mean(flipped) < 0.7


def test_places_reach_all_corners(folder):
    patches = taken(of(folder), 0, 300).reshape(-1, 32, 32, 3)
    patches = patches[patches[:, 0, 0, 2] < 5]
    assert set(patches[:, 0, 0, 0]) == set(range(9))                       # 40 - 32 + 1 rows
    assert set(patches[:, 0, :, 1].min(1)) == set(range(19))


def test_picture_that_cannot_be_decoded_is_replaced_and_named_once(folder, capsys):
    whole = taken(of(folder), 0, 30)
    broken = bytearray((folder / "2.png").read_bytes())
    broken[60:-20] = bytes(len(broken) - 80)   # it has its beginning and its end
    (folder / "2.png").write_bytes(broken)
    patches = taken(of(folder), 0, 30)
    was_broken = whole[..., 0, 0, 2] == 2
    np.testing.assert_array_equal(patches[~was_broken], whole[~was_broken])
    assert not (patches[..., 0, 0, 2] == 2).any()
    assert capsys.readouterr().err == f"'{folder / '2.png'}' can't be decoded: other pictures take its place\n"


def test_pictures_that_all_break_are_one_line(tmp_path):
    class Broken:
        count = 3

        def pixels(self, number):
            return None

    with pytest.raises(DataError, match="too many pictures in a row can't be decoded"):
        taken(Broken(), 0, 1)


def test_small_and_unreadable_pictures_are_left_out_and_counted(folder, capsys):
    Image.fromarray(coded(0, 31, 90)).save(folder / "6.png")
    (folder / "7.png").write_bytes(b"no picture")
    os.mkfifo(folder / "8.png")
    (folder / "9.png").write_bytes((folder / "0.png").read_bytes()[:-20])   # its end is missing
    assert of(folder).count == 6
    assert capsys.readouterr().err == "4 of 10 pictures left out: unreadable, or smaller than 32x32\n"
    with pytest.raises(DataError, match=r"none of the 10 pictures of '.*' can be read and is at least 64x64"):
        of(folder, 64)
    with pytest.raises(UsageError, match=r"--pictures '.*' matches no picture"):
        pictures.open_source(f"{folder}/*.txt", 32)


def test_folder_stands_for_all_pictures_in_it_and_below(folder):
    below = folder / "more [of them]"
    below.mkdir()
    Image.fromarray(coded(0)).save(below / "6.png")
    assert pictures.open_source(str(folder), 32).count == 7
    assert pictures.open_source(str(below), 32).count == 1
    (below / "6.png").unlink()
    with pytest.raises(UsageError, match=r"--pictures '.*' matches no picture"):
        pictures.open_source(str(below), 32)


def test_folder_that_is_closed_is_told_of(tmp_path, monkeypatch):
    def closed(_):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("os.listdir", closed)   # the superuser may read everything
    with pytest.raises(DataError, match=r"--pictures: the folder '.*' can't be read: permission denied"):
        pictures.open_source(f"{tmp_path}/*.png", 32)


# Packed files --------------------------------------------------------------------------------------------------------

def test_packed_file_holds_the_squares_of_all_pictures(folder):
    target = str(folder / "packed.npy")
    assert pictures.pack(f"{folder}/*.png", target, 20) == 6 * 2 * 2
    packed = np.load(target)
    assert packed.shape == (24, 20, 20, 3) and packed.dtype == np.uint8
    np.testing.assert_array_equal(packed[7], coded(1)[20:, 20:40])
    assert sorted(os.listdir(folder)) == [*(f"{n}.png" for n in range(6)), "packed.npy"]


def test_patches_of_a_packed_file_are_cut_and_flipped_like_those_of_pictures(folder):
    target = str(folder / "packed.npy")
    pictures.pack(f"{folder}/*.png", target, 40)
    source = pictures.open_source(target, 32)
    assert source.count == 6
    patches = taken(source, 0, 30).reshape(-1, 32, 32, 3)
    assert set(patches[:, 0, 0, 2]) == set(range(6)) and len(np.unique(patches[:, 0, 0, 0])) == 9
    np.testing.assert_array_equal(taken(source, 11, 3), taken(source, 0, 14)[11:])


def test_pictures_are_kept_as_far_as_there_is_room(folder):
    for room, kept in ((0, False), (1 << 20, True)):
        source = pictures.Pictures(f"{folder}/*.png", 32, room)
        assert (source.pixels(0) is source.pixels(0)) == kept


def test_packed_file_of_another_kind_is_one_line(tmp_path):
    for name, array, words in (
            ("small", np.zeros((4, 16, 16, 3), np.uint8), "are 16x16, and the step was exported for 32x32"),
            ("float", np.zeros((4, 32, 32, 3)), "is no array of uint8"), ("empty", np.zeros((0, 32, 32, 3), np.uint8),
                                                                          "is no array of uint8"),
            ("flat", np.zeros((4, 32, 32), np.uint8), "is no array of uint8")):
        np.save(tmp_path / f"{name}.npy", array)
        with pytest.raises(DataError, match=words):
            pictures.open_source(str(tmp_path / f"{name}.npy"), 32)
    (tmp_path / "text.npy").write_text("no array")
    for name in ("text.npy", "nowhere.npy"):
        with pytest.raises(DataError, match="can't be read as packed patches"):
            pictures.open_source(str(tmp_path / name), 32)


def test_packing_that_fails_leaves_nothing(folder):
    before = sorted(os.listdir(folder))
    with pytest.raises(DataError, match="can't be written"):
        pictures.pack(f"{folder}/*.png", str(folder / "nowhere" / "packed.npy"), 20)
    with pytest.raises(DataError, match="none of the 6 pictures"):
        pictures.pack(f"{folder}/*.png", str(folder / "packed.npy"), 200)
    assert sorted(os.listdir(folder)) == before
