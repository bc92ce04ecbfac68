"""A training whose weights break goes back once, with a lower rate, and then stops in a line."""

from __future__ import annotations

import json
import os

import numpy as np
import pytest
import tensorflow as tf

from lic.errors import DataError
from lic.training import restore_model
from tests.lic.training.runs import broken_in_step, events, looked_at, run_of, train


def test_broken_run_goes_back_to_its_last_checkpoint_once_and_on_with_a_tenth_of_the_rate(settings, tmp_path):
    made_of = settings(epochs=2, lr_schedule="constant")
    run = broken_in_step(run_of(made_of), 7)
    lines = train(run)
    assert lines[1].startswith("epoch 1/2, step 5 of 10: ") and lines[3].startswith("epoch 2/2, step 10 of 10: ")
    assert lines[2].startswith("the loss is not a finite number at step 10: back to '")
    assert lines[2].endswith("', and on with a tenth of the learning rate")
    rates = [float(rate) for _, rate in events(tmp_path / "run" / "logs")["learning_rate"]]
    assert rates == pytest.approx([1e-3, 1e-4])
    assert all(np.isfinite(v).all() for v in run.model.trainable_variables)

    again = broken_in_step(run_of(settings(epochs=3, lr_schedule="constant")), 12)   # in another sitting
    assert float(again.schedule.slowdown) == pytest.approx(0.1)
    with pytest.raises(DataError, match="at step 15, again at a tenth of the learning rate: try a lower") as error:
        again.train()
    last = tf.train.latest_checkpoint(str(tmp_path / "run" / "checkpoints"))
    assert last in str(error.value) and "\n" not in str(error.value) and error.value.exit_code == 1
    assert int(looked_at(made_of).steps) == 10
    assert float(looked_at(settings(learning_rate=1e-5)).schedule.slowdown) == 1, "another rate has another chance"


def test_absurd_learning_rate_never_leaves_a_checkpoint_that_is_no_good(settings, tmp_path):
    run = run_of(settings(learning_rate=1e38, clip_norm=0.0, lr_schedule="constant"))
    with pytest.raises(DataError, match=r"is not a finite number at step \d+, again at a tenth of the learning rate"):
        run.train()
    assert json.loads((tmp_path / "run" / "run.json").read_text())["slowed"] is True
    assert os.listdir(tmp_path / "run" / "checkpoints")
    _, model = restore_model(str(tmp_path / "run"))
    assert all(np.isfinite(v).all() for v in model.trainable_variables)
