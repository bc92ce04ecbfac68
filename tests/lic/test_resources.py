"""Where models lie, and what is said where there is none."""

from __future__ import annotations

import json
import os

import pytest

import config
from lic import resources
from lic.errors import DataError


@pytest.fixture
def shelf(tmp_path, monkeypatch):
    """shelf(folder, **about) puts a model.json among the bundled models, which are no others."""
    monkeypatch.setattr(resources, "_FOLDERS", (str(tmp_path / "absent"), str(tmp_path)))

    def put(name, text):
        (tmp_path / name).mkdir()
        (tmp_path / name / "model.json").write_text(text)
        return str(tmp_path / name)

    return put


@pytest.mark.parametrize("script", config.PRESETS)
def test_bundled_model_is_the_nano_of_its_script(shelf, script):
    folder = shelf(f"{script}-nano", "{}")
    assert resources.bundled(script) == resources.locate(script) == folder


def test_missing_bundled_model_is_one_line_that_says_what_to_do(shelf):
    with pytest.raises(DataError, match=r"of lsk2023 is missing: install again, or give the folder of a model$"):
        resources.locate("lsk2023")


def test_name_of_a_model_is_said_so_that_every_folder_understands_it(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert resources.from_anywhere("lsk2023") == "lsk2023"
    assert resources.from_anywhere("mine") == str(tmp_path / "mine")


def test_model_is_found_by_the_id_in_a_file(shelf):
    shelf("a", json.dumps({"weights_id": "00000001"}))
    wanted = shelf("b", json.dumps({"weights_id": "0000000a"}))
    assert resources.find(bytes([0, 0, 0, 10])) == wanted
    assert resources.find(b"none") is None


@pytest.mark.parametrize("text", ["", "{", "[]", "null", "7"])
def test_broken_neighbour_does_not_hide_a_model(shelf, text):
    shelf("a", text)
    wanted = shelf("b", json.dumps({"weights_id": "00000001"}))
    assert resources.find(bytes([0, 0, 0, 1])) == wanted


@pytest.mark.parametrize("mark", [resources.MODEL, resources.RUN, resources.SAVED_MODEL])
def test_folder_is_a_model_by_any_of_its_marks(tmp_path, mark):
    with pytest.raises(DataError, match=r"no model in .*: it has no model\.json, run\.json or saved_model\.pb"):
        resources.locate(str(tmp_path))
    (tmp_path / mark).write_text("")
    assert resources.locate(str(tmp_path)) == str(tmp_path)


def test_folder_that_is_not_there_is_said_so_in_one_line(tmp_path):
    with pytest.raises(DataError) as error:
        resources.locate(str(tmp_path / "line\nbreak"))
    assert "there is no such folder" in str(error.value) and "\n" not in str(error.value)


def test_resource_is_found_or_its_absence_said_in_one_line():
    assert os.path.getsize(resources.path("anchors", "kodak.json")) > 0
    with pytest.raises(DataError, match=r"^anchors/none.json is missing: install again$"):
        resources.path("anchors", "none.json")
