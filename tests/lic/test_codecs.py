"""The codec that a file or a name asks for, loaded once."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace

import pytest

from lic import bitstream, loading, resources
from lic.bitstream import Arithmetic
from lic.codecs import HELD, Codecs
from lic.errors import DataError


class Fake:
    """A codec that knows the name of its folder, which is its weights id."""

    def __init__(self, folder: str):
        self.folder, self.weights_id = folder, folder.rsplit("/", 1)[-1]


@pytest.fixture
def loaded(monkeypatch):
    """(folder, switches) of each codec that was loaded; all are fakes."""
    calls = []
    monkeypatch.setattr(loading, "load", lambda folder, runtime: calls.append((folder, runtime)) or Fake(folder))
    return calls


@pytest.fixture
def folders(tmp_path) -> list[str]:
    """Of models with the weights ids 00000000, 00000001, ..., one more than are held."""
    made = [tmp_path / f"{number:08x}" for number in range(HELD + 1)]
    for folder in made:
        folder.mkdir()
        (folder / "model.json").write_text("{}")
    return list(map(str, made))


def header(weights_id: str, arithmetic=Arithmetic.PORTABLE) -> bitstream.Header:
    return bitstream.Header(arithmetic, 0x14, 0, bytes.fromhex(weights_id), 9, 7, None, 2)


@pytest.mark.parametrize(("arithmetic", "switches"), [
    (Arithmetic.PORTABLE, ("portable", False)), (Arithmetic.FLOAT32, ("float32", False)),
    (Arithmetic.TF32, ("float32", True))])
def test_file_gets_the_model_and_the_arithmetic_that_it_names(arithmetic, switches, loaded, folders):
    assert Codecs(folders).that_made(header("00000001", arithmetic)).folder == folders[1]
    assert {(runtime.arithmetic, runtime.tf32) for _, runtime in loaded} == {switches}


def test_file_of_a_bundled_model_needs_no_folder(monkeypatch, folders):
    folder = resources.bundled("lsk2023")
    weights_id = json.loads(Path(folder, "model.json").read_text())["weights_id"]
    monkeypatch.setattr(loading, "load", lambda name, runtime: SimpleNamespace(folder=name, weights_id=weights_id))
    assert Codecs(folders).that_made(header(weights_id)).folder == folder


def test_file_of_an_unknown_model_says_what_to_do(loaded, folders):
    with pytest.raises(DataError, match=r"by model deadbeef of lsk2023 tiny, which is not bundled: ask its maker$"):
        Codecs(folders, "ask its maker").that_made(header("deadbeef"))


def test_codecs_of_the_last_models_are_kept(loaded, folders):
    known = Codecs()
    for folder in [*folders, *folders[1:], folders[0]]:
        assert known.named(folder).folder == folder
    assert [folder for folder, _ in loaded] == [*folders, folders[0]]
