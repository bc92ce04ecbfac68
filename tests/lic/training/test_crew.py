"""Several devices, or several machines, learn what one learns from the same batches."""

from __future__ import annotations

import dataclasses
import json
import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

import config
from lic.training import Run
from tests.lic.training.runs import MICRO, SCRIPT, events, places
from tests.scripts import ROOT


def member(made_of, place: dict | None = None, **more) -> subprocess.Popen:
    """A process that trains; `place` is its TF_CONFIG."""
    command = [sys.executable, "-m", "tests.lic.training.member",
               json.dumps({"settings": dataclasses.asdict(made_of), **more})]
    return subprocess.Popen(command, cwd=ROOT, text=True, stderr=subprocess.PIPE,
                            env={**os.environ, "CUDA_VISIBLE_DEVICES": "", "TF_CONFIG": json.dumps(place or {})})


def ends(*processes) -> list[tuple[int, list[str]]]:
    """Exit code and lines of each."""
    said = [process.communicate(timeout=600)[1].splitlines() for process in processes]
    return [(process.returncode, lines) for process, lines in zip(processes, said)]


def figures(folder) -> dict[str, list[float]]:
    """The means of each epoch, by name."""
    found = events(os.path.join(folder, "logs"))
    return {tag: [float(value) for _, value in found[tag]] for tag in ("loss", "bpp", "mse", "learning_rate")}


def weights_of(folder) -> np.ndarray:
    """Of the saved model, one after another, without its tables."""
    with np.load(os.path.join(folder, "model", "weights.npz")) as stored:
        return np.concatenate([a.ravel() for _, a in sorted(stored.items()) if a.dtype == np.float32])


@pytest.fixture
def alone(settings, tmp_path):
    """What one device learns, of many rates and with an average; its bound on the gradient acts now and then."""
    made_of = settings(train_path=str(tmp_path / "alone"), batchsize=4, ema=0.9, clip_norm=250.0)
    Run(SCRIPT, config.variable(MICRO), made_of).train()
    return made_of


def assert_same(one: str, other: str) -> None:
    for name, values in figures(one).items():
        np.testing.assert_allclose(figures(other)[name], values, rtol=1e-5, err_msg=name)
    np.testing.assert_allclose(weights_of(other), weights_of(one), atol=1e-4)


def test_two_devices_learn_what_one_learns_from_the_same_batches(alone, tmp_path):
    made_of = dataclasses.replace(alone, train_path=str(tmp_path / "two"))
    (code, lines), = ends(member(made_of, devices=2))
    assert code == 0 and "zyc2022 micro-variable" in lines[0], lines
    assert_same(alone.train_path, made_of.train_path)


@pytest.mark.slow
def test_two_machines_learn_what_one_learns_and_only_the_first_writes(alone, tmp_path):
    made_of = [dataclasses.replace(alone, train_path=str(tmp_path / name)) for name in ("first", "second")]
    first, second = ends(*(member(*each) for each in zip(made_of, places(2))))
    assert first[0] == second[0] == 0, (first, second)
    assert first[1][0].startswith("machine 1 of 2, waiting for the others; ") and len(first[1]) == 6
    assert second[1][0].startswith("machine 2 of 2, waiting for the others; ") and len(second[1]) == 1
    assert_same(alone.train_path, made_of[0].train_path)
    assert not os.path.exists(made_of[1].train_path)


@pytest.mark.slow
def test_weight_that_breaks_on_one_machine_takes_all_back_to_the_checkpoint(settings, tmp_path):
    made_of = settings(batchsize=4, epochs=2, lr_schedule="constant")
    first, second = (member(made_of, place, broken=7 * n) for n, place in enumerate(places(2)))
    (code, lines), other = ends(first, second)
    assert (code, other[0]) == (0, 0), (lines, other)
    assert lines[3].startswith("the loss is not a finite number at step 10: back to '") and len(other[1]) == 1
    assert figures(made_of.train_path)["learning_rate"] == pytest.approx([1e-3, 1e-4])
    assert np.isfinite(weights_of(made_of.train_path)).all()


def test_what_stops_the_first_machine_is_said_by_it_and_ends_the_other(settings, tmp_path):
    made_of = settings(batchsize=4)
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "run.json").write_text('{"script": "lsk2023", "preset": "tiny", "settings": {}}')
    first, second = ends(*(member(made_of, place) for place in places(2)))
    assert first[0] == 2 and "holds a run of lsk2023 tiny: give another --train_path" in first[1][1], first
    assert second[0] == 1 and second[1][1:] == ["the first machine can't go on; it says why"]


def test_machine_that_waits_for_the_others_hears_of_ctrl_c(settings):
    process = member(settings(batchsize=4), places(2)[1])
    assert process.stderr.readline().startswith("machine 2 of 2, waiting for the others; ")
    time.sleep(3)       # it is within TensorFlow now
    process.send_signal(signal.SIGINT)
    assert process.wait(timeout=60) == -signal.SIGINT
