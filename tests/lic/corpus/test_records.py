"""What holds a record up, and what makes a file be made again."""

from __future__ import annotations

import json

import pytest

from lic.corpus.records import Job, Task
from lic.errors import DataError


@pytest.fixture
def task(tmp_path) -> Task:
    return Task(str(tmp_path), ".tfci", "compress 01020304")


JOB = Job("photos/a/x.jpg", "a/x.jpg", 1000, 12.5)


def test_record_stands_beside_a_whole_file_and_says_what_it_is(task, tmp_path):
    record = task.keep(JOB, b"contents", {"width": 9})
    assert (tmp_path / "a" / "x.jpg.tfci").read_bytes() == b"contents"
    assert record["path"] == "a/x.jpg.tfci" and record["bytes"] == 8 and record["width"] == 9
    assert task.done(JOB) == record


def test_nothing_is_done_without_a_record(task, tmp_path):
    assert task.done(JOB) is None
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "x.jpg.tfci").write_bytes(b"contents")
    assert task.done(JOB) is None


@pytest.mark.parametrize("other", [JOB._replace(bytes=1001), JOB._replace(modified=13.0), JOB._replace(path="b/x.jpg")])
def test_changed_input_is_done_again(task, other):
    task.keep(JOB, b"contents", {})
    assert task.done(JOB) and task.done(other) is None


def test_other_model_or_quality_is_done_again(task):
    task.keep(JOB, b"contents", {})
    assert task._replace(label="compress 01020304 quality 7").done(JOB) is None


@pytest.mark.parametrize("damage", [
    lambda folder: (folder / "a/x.jpg.tfci").write_bytes(b"contentz"),
    lambda folder: (folder / "a/x.jpg.tfci").unlink(),
    lambda folder: (folder / ".corpus/a/x.jpg.json").write_text("{"),
    lambda folder: (folder / ".corpus/a/x.jpg.json").write_text("[]"),
    lambda folder: (folder / ".corpus/a/x.jpg.json").write_text(json.dumps({"source": JOB.path}))])
def test_file_that_is_not_what_was_written_is_done_again(task, tmp_path, damage):
    task.keep(JOB, b"contents", {})
    damage(tmp_path)
    assert task.done(JOB) is None


def test_file_that_can_not_be_written_has_no_record(task, tmp_path):
    (tmp_path / "a").write_text("in the way")
    with pytest.raises(DataError, match=r"cannot write .*x\.jpg\.tfci"):
        task.keep(JOB, b"contents", {})
    assert not (tmp_path / ".corpus").exists()
