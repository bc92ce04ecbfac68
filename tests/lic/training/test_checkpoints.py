"""Checkpoints that do not fit, and models out of those that do."""

from __future__ import annotations

import dataclasses
import json
import os
import resource

import numpy as np
import pytest

from lic import coders, loading, observing, tables, weights
from lic.errors import DataError
from lic.training import Run, restore_model, saved_model
from tests.lic.training.runs import MICRO, SCRIPT, looked_at, run_of, train


def test_average_cannot_be_switched_on_in_the_middle_of_a_run(settings, tmp_path):
    run = run_of(settings())
    run._save_checkpoint()
    run.close()
    with pytest.raises(DataError, match="does not fit this run"):
        run_of(settings(ema=0.9))
    assert json.loads((tmp_path / "run" / "run.json").read_text())["settings"]["ema"] == 0
    restore_model(str(tmp_path / "run"))


def test_run_without_a_checkpoint_is_no_model_yet(tmp_path):
    (tmp_path / "run.json").write_text(json.dumps({"script": SCRIPT, "preset": "tiny", "settings": {}}))
    with pytest.raises(DataError, match="has no checkpoint yet"):
        restore_model(str(tmp_path))


def test_checkpoint_for_which_there_is_no_room_is_one_line_and_the_one_before_stays(settings):
    run = run_of(settings())
    run.checkpoints.save()
    before, v = run.checkpoints.latest, run.model.trainable_variables[0]
    kept = v.numpy()
    v.assign_add(v)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, limits[1]))
    try:
        with pytest.raises(DataError, match=r"can't be written to '.*checkpoints': .*File too large") as error:
            run.checkpoints.save()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert "\n" not in str(error.value) and run.checkpoints.latest == before
    run.close()
    np.testing.assert_array_equal(run_of(settings()).model.trainable_variables[0], kept)


def test_checkpoint_of_another_preset_does_not_fit(settings, tmp_path):
    """Whose description was lost; else the folder is refused by its name."""
    looked_at(settings()).checkpoints.save()
    (tmp_path / "run" / "run.json").unlink()
    other = dataclasses.replace(MICRO, conv_width=12)
    with pytest.raises(DataError, match=r"does not fit this run \(another preset, "):
        Run(SCRIPT, other, settings())


@pytest.fixture
def twice(settings, tmp_path):
    """(folder, a weight at its first and at its second checkpoint) of a run that wrote two."""
    run, values = run_of(settings()), []
    v = run.model.trainable_variables[0]
    for _ in range(2):
        v.assign_add(v)
        values.append(v.numpy())
        run.checkpoints.save()
    run.close()
    return tmp_path / "run" / "checkpoints", values


def weight_of(run) -> np.ndarray:
    return run.model.trainable_variables[0].numpy()


@pytest.mark.parametrize("size", [None, 1000, 0])
@pytest.mark.parametrize("kind", ["index", "data-00000-of-00001"])
def test_checkpoint_that_is_damaged_or_gone_leaves_the_one_before(kind, size, twice, settings, capsys):
    folder, (before, _) = twice
    last = folder / f"ckpt-2.{kind}"
    last.unlink() if size is None else os.truncate(last, min(size, last.stat().st_size // 2))
    capsys.readouterr()
    run = looked_at(settings())
    assert run.resumed
    np.testing.assert_array_equal(weight_of(run), before)
    told = capsys.readouterr().err
    gone = kind == "index" and size is None
    assert gone or ("ckpt-2' is damaged: '" in told and "ckpt-1' is taken" in told)
    np.testing.assert_array_equal(restore_model(str(folder.parent))[1].trainable_variables[0], before)
    run.checkpoints.save()
    run.checkpoints.save()


@pytest.mark.parametrize("text", ["", "model_checkpoint_path: \"elsewhere\"", "\0"])
def test_list_of_checkpoints_that_is_damaged_is_made_anew(text, twice, settings):
    folder, (_, last) = twice
    (folder / "checkpoint").write_text(text)
    np.testing.assert_array_equal(restore_model(str(folder.parent))[1].trainable_variables[0], last)
    run = looked_at(settings())
    np.testing.assert_array_equal(weight_of(run), last)
    for _ in range(2):
        run.checkpoints.save()
    assert run.checkpoints.latest.endswith("ckpt-4")


def test_two_damaged_checkpoints_are_one_line(twice, settings):
    folder, _ = twice
    for n in (1, 2):
        os.truncate(folder / f"ckpt-{n}.data-00000-of-00001", 10)
    with pytest.raises(DataError, match=r"ckpt-2' does not fit this run \(another preset, another --ema, or damaged"):
        run_of(settings())
    with pytest.raises(DataError, match=r"ckpt-2' is damaged"):
        restore_model(str(folder.parent))


@pytest.mark.parametrize("elsewhere", ["", "model_elsewhere"])
def test_finished_run_stands_for_the_model_that_it_saved_until_it_goes_on(
        elsewhere, settings, tmp_path, monkeypatch):
    """With one weights id, so that each decodes the files of the other; tables of what was rounded are part of it."""
    seen = np.zeros((len(coders.scales()), 8), np.int64)
    seen[:, 0] = 1 << 20
    monkeypatch.setattr(observing, "tables_of", lambda *_: tables.observed(coders.scales(), seen))
    path = str(tmp_path / "run")
    made = settings(epochs=1, model_path=elsewhere and str(tmp_path / elsewhere))
    run = run_of(made)
    assert saved_model(path) is None
    train(run)
    place = made.model_path or str(tmp_path / "run" / "model")
    assert saved_model(path) == place
    assert loading.load(path).about["weights_id"] == weights.describe(place)["weights_id"]
    run.steps.assign_add(1)
    run.checkpoints.save()
    assert saved_model(path) is None


def test_run_whose_last_checkpoint_is_damaged_stands_for_the_one_before(settings, tmp_path):
    path = tmp_path / "run"
    train(run_of(settings(epochs=2)))
    assert saved_model(str(path)) == str(path / "model")
    for file in path.glob("checkpoints/ckpt-3.*"):
        file.write_bytes(file.read_bytes()[:100])
    assert saved_model(str(path)) is None and loading.load(str(path)).about["preset"] == MICRO.name


def test_model_of_another_run_is_not_the_one_that_a_run_stands_for(settings, tmp_path):
    train(run_of(settings(epochs=1)))
    about = tmp_path / "run" / "run.json"
    about.write_text(json.dumps({**json.loads(about.read_text()), "identity": "another"}))
    assert saved_model(str(tmp_path / "run")) is None
