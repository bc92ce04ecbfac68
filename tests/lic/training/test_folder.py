"""The folder of a run: whose it is, and whether it can be made."""

from __future__ import annotations

import dataclasses
import json

import pytest

from lic import data, folder_lock
from lic.errors import DataError, UsageError
from tests.lic.training.runs import MICRO, SCRIPT, looked_at, run_of


def test_folder_of_another_run_is_refused_and_left_alone(settings, tmp_path):
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "run.json").write_text('{"script": "lsk2023", "preset": "tiny", "settings": {}}')
    with pytest.raises(UsageError, match="holds a run of lsk2023 tiny: give another --train_path"):
        run_of(settings())
    assert "lsk2023" in (tmp_path / "run" / "run.json").read_text()
    for text in ("", "[]", "{}", "\0"):
        (tmp_path / "run" / "run.json").write_text(text)
        with pytest.raises(DataError, match="can't be read as the description of a run"):
            run_of(settings())


@pytest.mark.parametrize(("then", "line"), [
    ({"lmbda": 0.02}, "holds a run with --lambda 0.02: give the same, or begin another"),
    ({"distortion": "ms-ssim"}, "holds a run with --distortion ms-ssim: give the same, or begin another")])
def test_run_with_another_aim_is_not_relabelled(then, line, settings, tmp_path):
    (tmp_path / "run").mkdir()
    about = {"script": SCRIPT, "preset": MICRO.name, "settings": {**dataclasses.asdict(settings()), **then}}
    (tmp_path / "run" / "run.json").write_text(json.dumps(about))
    with pytest.raises(UsageError, match=line):
        run_of(settings())
    assert json.loads((tmp_path / "run" / "run.json").read_text()) == about


def test_second_run_in_a_folder_is_refused_and_writes_nothing(settings, tmp_path):
    first = run_of(settings())
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    with pytest.raises(UsageError, match=r"another run trains in '.*run' now"):
        run_of(settings(learning_rate=0.5))
    first.close()
    with folder_lock.held(str(tmp_path / "run")), pytest.raises(UsageError, match=r"another run trains in '.*run' now"):
        first.train()
    assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == before
    assert looked_at(settings(learning_rate=0.5)).settings.learning_rate == 0.5


def test_of_two_runs_that_begin_at_the_same_time_in_a_new_folder_one_leaves_no_trace(settings, tmp_path, monkeypatch):
    """The other comes when the first has looked, found nothing, and opens its pictures."""
    first = settings()
    opened, others = data.open_source, []

    def meanwhile(made_of):
        if made_of is first:
            others.append(run_of(settings(learning_rate=0.5)))
        return opened(made_of)

    monkeypatch.setattr(data, "open_source", meanwhile)
    with pytest.raises(UsageError, match=r"another run trains in '.*run' now"):
        run_of(first)
    assert json.loads((tmp_path / "run" / "run.json").read_text())["settings"]["learning_rate"] == 0.5
    others[0].close()


def test_run_that_stands_in_a_new_folder_by_the_time_that_it_is_made_is_seen(settings, tmp_path, monkeypatch):
    opened = data.open_source

    def meanwhile(made_of):
        (tmp_path / "run").mkdir()
        (tmp_path / "run" / "run.json").write_text('{"script": "lsk2023", "preset": "tiny", "settings": {}}')
        return opened(made_of)

    monkeypatch.setattr(data, "open_source", meanwhile)
    with pytest.raises(UsageError, match="holds a run of lsk2023 tiny: give another --train_path"):
        run_of(settings())
    with folder_lock.held(str(tmp_path / "run")):
        assert "lsk2023" in (tmp_path / "run" / "run.json").read_text()


def test_model_is_saved_before_another_run_may_begin(settings, monkeypatch):
    run, refused = run_of(settings(epochs=1, steps_per_epoch=1)), []

    def save(_):
        with pytest.raises(UsageError, match="another run trains") as error:
            run_of(run.settings)
        refused.append(error)

    monkeypatch.setattr(run, "save", save)
    run.train()
    assert refused and looked_at(run.settings).resumed


@pytest.mark.parametrize("about", [
    None, "{}", json.dumps({"script": SCRIPT, "preset": MICRO.name, "run": "another"})])
@pytest.mark.parametrize("flag", ["model_path", "train_path"])
def test_model_of_another_run_and_what_is_none_are_not_written_over(flag, about, settings, tmp_path):
    model = tmp_path / "run" / "model" if flag == "train_path" else tmp_path / "model"
    model.mkdir(parents=True)
    (model / ("notes.txt" if about is None else "model.json")).write_text(about or "mine")
    with pytest.raises(UsageError, match=rf"'.*model' holds something else than a model of .* give another --{flag}"):
        run_of(settings(**({"model_path": str(model)} if flag == "model_path" else {})))
    assert not (tmp_path / "run" / "run.json").exists() and len(list(model.iterdir())) == 1


def test_run_knows_its_model_by_its_identity_though_its_folder_has_another_name(settings, tmp_path):
    """And one that it was killed in saving, which lacks its description."""
    model = tmp_path / "model"
    model.mkdir()
    run = looked_at(settings(model_path=str(model)))
    about = {"script": SCRIPT, "preset": MICRO.name, "run": run.folder.identity}
    (model / "model.json").write_text(json.dumps(about))
    (tmp_path / "run").rename(tmp_path / "renamed")
    moved = settings(train_path=str(tmp_path / "renamed"), model_path=str(model))
    assert looked_at(moved).folder.identity == run.folder.identity
    (model / "model.json").rename(model / "weights.npz")
    looked_at(moved)
    with pytest.raises(UsageError, match="holds something else"):
        run_of(settings(train_path=str(tmp_path / "new"), model_path=str(model)))


@pytest.mark.parametrize("place", ["run", "."])
def test_model_has_no_place_around_the_run(place, settings, tmp_path):
    with pytest.raises(UsageError, match=r"--model_path '.*' holds the run's own folder '.*run': give another"):
        run_of(settings(model_path=str(tmp_path / place)))
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("flag", ["train_path", "model_path"])
def test_folder_that_cannot_be_made_is_one_line_before_the_training(settings, tmp_path, flag):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(DataError, match=f"--{flag} '.*file/run' can't be made: Not a directory"):
        run_of(settings(**{flag: str(tmp_path / "file" / "run")}))
