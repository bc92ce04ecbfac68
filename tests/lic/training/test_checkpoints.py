"""Checkpoints that do not fit, and models out of those that do."""

from __future__ import annotations

import dataclasses
import json
import resource

import numpy as np
import pytest

from lic.errors import DataError
from lic.training import Run, restore_model
from tests.lic.training.runs import MICRO, SCRIPT, looked_at, run_of


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
