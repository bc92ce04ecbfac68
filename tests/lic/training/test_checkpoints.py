"""Checkpoints that do not fit, and models out of those that do."""

from __future__ import annotations

import json

import pytest

from lic.errors import DataError
from lic.training import restore_model
from tests.lic.training.runs import SCRIPT, run_of


def test_average_cannot_be_switched_on_in_the_middle_of_a_run(settings, tmp_path):
    run = run_of(settings())
    run._save_checkpoint()
    with pytest.raises(DataError, match="does not fit this run"):
        run_of(settings(ema=0.9))
    assert json.loads((tmp_path / "run" / "run.json").read_text())["settings"]["ema"] == 0
    restore_model(str(tmp_path / "run"))


def test_run_without_a_checkpoint_is_no_model_yet(tmp_path):
    (tmp_path / "run.json").write_text(json.dumps({"script": SCRIPT, "preset": "tiny", "settings": {}}))
    with pytest.raises(DataError, match="has no checkpoint yet"):
        restore_model(str(tmp_path))
