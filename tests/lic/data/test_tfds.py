"""Training pictures of TensorFlow Datasets, on its own fake data and on ours."""

from __future__ import annotations

import time

import pytest
from PIL import Image

from lic import data
from lic.data import tfds as pictures
from lic.errors import DataError


def test_data_set_that_cannot_be_had_is_one_line(monkeypatch, settings):
    tfds = pytest.importorskip("tensorflow_datasets")

    def refuse(*_, **__):
        raise ConnectionError("no network\nsecond line")

    monkeypatch.setattr(tfds, "data_source", refuse)
    with pytest.raises(DataError) as error:
        data.patches(settings("", train_glob=""))
    assert "no network" in str(error.value) and "--train_glob" in str(error.value) and "\n" not in str(error.value)


def test_data_set_gives_patches_of_its_large_enough_pictures(monkeypatch, tmp_path, settings, take, coordinates):
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


def test_network_that_does_not_answer_is_told_of_at_once():
    start = time.monotonic()
    with pytest.raises(OSError, match="no answer from localhost:1: "):
        pictures._ask_for("http://localhost:1/clic.zip")
    assert time.monotonic() - start < 5


def test_data_set_of_small_or_broken_pictures_is_one_line(settings, monkeypatch):
    tfds = pytest.importorskip("tensorflow_datasets")
    monkeypatch.setattr(tfds, "data_source", lambda *_, **__: [{"image": b"no picture"}] * 3)
    with pytest.raises(DataError, match="none of the 3 pictures of 'clic' is at least 32x32: give a smaller"):
        data.patches(settings("", train_glob=""))


@pytest.mark.parametrize("name", ["clic", "div2k/bicubic_x4"])   # `image`; and `lr`, `hr`
def test_fake_pictures_of_tfds_become_patches(settings, take, name):
    tfds = pytest.importorskip("tensorflow_datasets")
    with tfds.testing.mock_data(num_examples=4):
        patches = take(3, settings("", train_glob="", tfds=name, patchsize=16))
    assert patches.shape == (3, 3, 16, 16, 3) and len({patch.tobytes() for patch in patches.reshape(9, -1)}) == 9


@pytest.mark.parametrize(("name", "words"), [
    ("no_such_set", "'no_such_set' of TFDS can't be had \\(Dataset no_such_set not found"),
    ("glue/cola", "'glue/cola' of TFDS has no pictures, only ")])
def test_set_that_is_unknown_or_has_no_pictures_is_one_line(settings, name, words):
    pytest.importorskip("tensorflow_datasets")
    with pytest.raises(DataError, match=words) as error:
        data.patches(settings("", train_glob="", tfds=name))
    assert "\n" not in str(error.value)
