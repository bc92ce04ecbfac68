"""Training pictures of a folder: what is found, what is left out, and what is said of it."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from lic import data
from lic.errors import DataError, UsageError


def test_small_and_unreadable_pictures_are_left_out_with_a_line(folder, capsys, settings, take):
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


def test_folder_stands_for_all_pictures_in_it(folder, tmp_path):
    assert data.find(str(folder), 32) == data.find(f"{folder}/**/*", 32)
    (tmp_path / "[1]").mkdir()
    Image.new("RGB", (40, 40)).save(tmp_path / "[1]" / "a.png")
    assert data.find(str(tmp_path / "[1]"), 32) == [str(tmp_path / "[1]" / "a.png")]


def test_empty_folder_is_a_wrong_flag_and_a_closed_one_is_told_of(tmp_path, monkeypatch):
    (tmp_path / "empty").mkdir()
    with pytest.raises(UsageError, match="matches no JPEG, PNG or BMP picture"):
        data.find(str(tmp_path / "empty"), 32)

    def closed(_):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("os.listdir", closed)   # the superuser may read everything
    for pattern in (tmp_path / "empty", tmp_path / "empty" / "**" / "*.jpg", tmp_path / "empty" / "*"):
        with pytest.raises(DataError, match=r"the folder '.*empty' can't be read: permission denied"):
            data.find(str(pattern), 32)
