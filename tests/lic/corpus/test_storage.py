"""Files of this machine and of a file system that only Beam knows."""

from __future__ import annotations

import os

import pytest
from apache_beam.io.localfilesystem import LocalFileSystem

from lic.corpus import storage
from lic.errors import DataError


class Shelf(LocalFileSystem):
    """shelf://path: folders of this machine, as if they were an object store."""

    full = False

    @classmethod
    def scheme(cls):
        return "shelf"

    def open(self, path, *arguments, **options):
        return super().open(inner(path), *arguments, **options)

    def create(self, path, *arguments, **options):
        return super().create(inner(path), *arguments, **options)

    def rename(self, sources, targets):
        if Shelf.full:
            raise OSError("the shelf is full")
        super().rename([*map(inner, sources)], [*map(inner, targets)])

    def exists(self, path):
        return super().exists(inner(path))


def inner(path: str) -> str:
    return path.removeprefix("shelf:/")


@pytest.fixture(params=["", "shelf:/"])
def place(request, tmp_path) -> str:
    return f"{request.param}{tmp_path}"


def test_file_comes_back_and_is_replaced(place, tmp_path):
    path = f"{place}/deep/er/x.gz"   # which is not unpacked on the way
    for data in (b"first", b"\x1f\x8b second"):
        storage.write(path, data)
        assert storage.exists(path) and storage.read(path) == data and storage.read(path, 3) == data[:3]
    assert os.listdir(tmp_path / "deep" / "er") == ["x.gz"]


def test_missing_file_is_one_line(place):
    assert not storage.exists(f"{place}/x")
    with pytest.raises(DataError, match=rf"^cannot read {place}/x: [^\n]+$"):
        storage.read(f"{place}/x")


def test_remote_file_appears_under_its_name_only_when_it_is_whole(tmp_path, monkeypatch):
    monkeypatch.setattr(Shelf, "full", True)
    with pytest.raises(DataError, match=r"^cannot write shelf:/.*/x: the shelf is full$"):
        storage.write(f"shelf:/{tmp_path}/x", b"contents")
    assert not (tmp_path / "x").exists()


def test_unknown_kind_of_place_is_one_line():
    with pytest.raises(DataError, match=r"^cannot read nowhere://x/y: [^\n]+$"):
        storage.read("nowhere://x/y")


def test_glob_matches_or_not(tmp_path):
    (tmp_path / "x.jpg").write_bytes(b"x")
    assert storage.matches([f"{tmp_path}/*.png", f"{tmp_path}/*.jpg"]) and not storage.matches([f"{tmp_path}/*.png"])
