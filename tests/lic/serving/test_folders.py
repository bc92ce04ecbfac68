"""Which folders are meant by the words of the command line, and which versions they hold."""

from __future__ import annotations

import pytest

from lic import resources
from lic.errors import DataError, UsageError
from lic.serving import folders


def _exported(path):
    path.mkdir(parents=True)
    (path / "saved_model.pb").write_bytes(b"graph")
    return path


@pytest.fixture
def base(tmp_path):
    """Versions 1, 9 and 10, and what is none."""
    for name in ("1", "9", "10", "draft", "2.0", "-3"):
        _exported(tmp_path / "base" / name)
    (tmp_path / "base" / "11").mkdir()
    (tmp_path / "base" / "12").write_text("a file")
    return tmp_path / "base"


def test_versions_are_folders_with_a_number_and_a_graph(base):
    assert folders.versions(str(base)) == {n: str(base / str(n)) for n in (1, 9, 10)}


def test_exported_model_is_a_version_of_its_own(base, tmp_path):
    assert folders.versions(str(base / "9")) == {9: str(base / "9")}
    alone = _exported(tmp_path / "alone")
    assert folders.versions(str(alone)) == {1: str(alone)}


def test_folder_that_is_not_there_has_no_versions(tmp_path):
    assert folders.versions(str(tmp_path / "nowhere")) == {}


def test_names_come_from_the_words_or_from_the_folders(base):
    assert folders.named([str(base)], "lsk2023") == {"base": str(base)}
    assert folders.named([f"mine={base}", str(base / "9")], "lsk2023") == {"mine": str(base), "base": str(base / "9")}
    assert folders.named(["zyc2022"], "lsk2023") == {"zyc2022": resources.bundled("zyc2022")}
    assert folders.named([], "lsk2023") == {"lsk2023": resources.bundled("lsk2023")}
    assert folders.named(["it=zyc2022"], "lsk2023") == {"it": resources.bundled("zyc2022")}


def test_names_that_no_address_can_hold_or_that_two_models_have_are_refused(base):
    for words, says in ((["a/b=" + str(base)], "no name for a model"), (["=" + str(base)], "no name for a model"),
                        ([str(base), f"base={base}"], "two models are called 'base'")):
        with pytest.raises(UsageError, match=says):
            folders.named(words, "lsk2023")


def test_folder_without_a_model_is_refused(tmp_path):
    for word in (str(tmp_path), f"x={tmp_path / 'nowhere'}"):
        with pytest.raises(DataError, match="no model in"):
            folders.named([word], "lsk2023")


def test_fingerprint_changes_with_what_is_written(base):
    before = folders.fingerprint(str(base / "1"))
    assert folders.fingerprint(str(base / "1")) == before
    (base / "1" / "variables").write_bytes(b"more")
    assert folders.fingerprint(str(base / "1")) != before
