"""A whole run in one process, with a handler that is no model."""

from __future__ import annotations

import json

import pytest
from apache_beam.ml.inference.base import ModelHandler
from apache_beam.transforms.environments import EmbeddedPythonEnvironment, SubprocessSDKEnvironment

from lic.corpus import pipeline, steps, storage
from lic.corpus.handlers import Failed, Made
from lic.corpus.records import Job, Task


class Voice:
    """A model."""

    shout = staticmethod(str.upper)


class Shouter(ModelHandler):
    """Text in capitals; fails at what has none."""

    def load_model(self):
        return Voice()

    def run_inference(self, batch, model, inference_args=None):
        assert len(batch) <= 2 and len({len(text) for text in batch}) == 1, batch
        return [Made(model.shout(text.decode()).encode(), {"width": len(text), "height": 1}) if text.isalpha()
                else Failed("no letters") for text in batch]


def length(path: str) -> tuple[int, int]:
    return len(storage.read(path)), 1


@pytest.fixture
def corpus(tmp_path):
    """Texts of two sizes, one of them bad; and what runs them."""
    texts = {"in/a": "abc", "in/b": "de", "in/deep/c": "fgh", "in/deep/er/d": "ijk", "in/e": "123", "in/f.not": "x"}
    for name, text in texts.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)

    def run(label="shout"):
        task, work = Task(str(tmp_path / "out"), ".up", label), pipeline.Work(Shouter(), length, storage.read)
        return pipeline.run(f"{tmp_path}/in/**/?", task, work, 2, pipeline.engine_of("DirectRunner", 1, []))

    run.folder = tmp_path
    return run


def lines(path) -> list[dict]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_corpus_is_done_once_and_then_only_what_changed(corpus):
    out = corpus.folder / "out"
    assert corpus() == {"written": 4, "failed": 1, "bytes": 11, "pixels": 11}
    assert (out / "deep" / "er" / "d.up").read_text() == "IJK"
    assert sorted(row["path"] for row in lines(out / "manifest.jsonl")) == ["a.up", "b.up", "deep/c.up", "deep/er/d.up"]
    assert [(row["path"], row["reason"]) for row in lines(out / "failed.jsonl")] == [("e", "no letters")]

    (corpus.folder / "in" / "e").write_text("now")
    (out / "b.up").write_text("damaged")
    (out / "deep" / "c.up").unlink()
    assert corpus() == {"done before": 2, "written": 3, "bytes": 8, "pixels": 8}
    assert [(out / name).read_text() for name in ("b.up", "deep/c.up", "e.up")] == ["DE", "FGH", "NOW"]
    assert len(lines(out / "manifest.jsonl")) == 5 and not (out / "failed.jsonl").read_text()

    assert corpus() == {"done before": 5} and len(lines(out / "manifest.jsonl")) == 5
    assert corpus("shout louder")["written"] == 5


def test_input_that_can_not_be_read_and_output_that_can_not_be_written_are_told(corpus):
    (corpus.folder / "in" / "a").unlink()
    (corpus.folder / "in" / "a").mkdir()   # Beam matches folders, too
    (corpus.folder / "out").mkdir()
    (corpus.folder / "out" / "deep").write_text("in the way")
    assert corpus()["written"] == 1
    reasons = {row["path"]: row["reason"] for row in lines(corpus.folder / "out" / "failed.jsonl")}
    assert reasons["deep/c"].startswith("cannot write ") and reasons["e"] == "no letters"


@pytest.mark.parametrize(("glob", "patterns"), [
    ("a/*.jpg", ["a/*.jpg"]), ("a/**/*.jpg", ["a/**/*.jpg", "a/*.jpg"]),
    ("**/b/**/c", ["**/b/**/c", "b/**/c", "**/b/c", "b/c"])])
def test_two_stars_are_any_number_of_folders(glob, patterns):
    assert pipeline.patterns_of(glob) == patterns


@pytest.mark.parametrize(("glob", "base"), [
    ("a/b/*.jpg", "a/b/"), ("a/b*/c.jpg", "a/"), ("a/b.jpg", "a/"), ("*.jpg", ""), ("gs://x/y/**/z?.jpg", "gs://x/y/"),
    ("a/[bc]/d", "a/")])
def test_names_begin_behind_the_folder_that_the_glob_begins_with(glob, base):
    assert pipeline.base_of(glob) == base


def test_batches_have_fewer_inputs_where_they_are_large():
    jobs = [Job(str(number), "", 0, 0) for number in range(5)]
    assert [len(batch) for batch in steps.batches(((10, 10), jobs), 3)] == [3, 2]
    assert [len(batch) for batch in steps.batches(((4096, 2048), jobs), 3)] == [2, 2, 1]
    assert [len(batch) for batch in steps.batches(((60000, 60000), jobs), 3)] == [1] * 5
    assert [len(batch) for batch in steps.batches(((0, 0), jobs), 9)] == [5]


@pytest.mark.parametrize(("workers", "kind"), [(1, EmbeddedPythonEnvironment), (3, SubprocessSDKEnvironment)])
def test_several_workers_are_several_processes(workers, kind):
    runner, options = pipeline.engine_of("DirectRunner", workers, [])
    assert options.get_all_options()["direct_num_workers"] == workers
    assert isinstance(runner._default_environment, kind)


def test_flags_of_another_engine_reach_it():
    runner, options = pipeline.engine_of("FlinkRunner", 1, ["--flink_master=host:8081"])
    told = options.get_all_options()
    assert (runner, told["runner"], told["flink_master"]) == (None, "FlinkRunner", "host:8081")
