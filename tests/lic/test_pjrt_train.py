"""The command that trains with JAX alone: resumed where it was, stopped by what can't go on, one line for each error.

The step is a toy (`toy_step` in conftest.py); what models make of it is tested in test_step_export.py.
"""

from __future__ import annotations

import csv
import json
import lzma
import os
import shutil
import signal
import subprocess
import sys
import time
import zipfile

import numpy as np
import pytest
from PIL import Image

from tests.scripts import ROOT

pytest.importorskip("jax")

# Runs the command in a process that has no TensorFlow.
WITHOUT_TF = """
import sys
sys.modules["tensorflow"] = sys.modules["tensorflow_compression"] = None
sys.argv = sys.argv[1:]
import runpy
runpy.run_path(sys.argv[0], run_name="__main__")
"""


@pytest.fixture(scope="module")
def exported(toy_step, tmp_path_factory):
    return toy_step(tmp_path_factory.mktemp("toy") / "step")


@pytest.fixture
def step(exported, tmp_path):
    """A copy of the exported folder, with four pictures beside it."""
    for n in range(4):
        Image.fromarray(np.full((40, 40, 3), 10 * n, np.uint8)).save(tmp_path / f"{n}.png")
    return shutil.copytree(exported, tmp_path / "step")


@pytest.fixture
def pjrt(process, tmp_path):
    """pjrt(*arguments): the archive in the folder `step`, in an empty folder and without TensorFlow."""
    def run(*arguments, **environment):
        (tmp_path / "empty").mkdir(exist_ok=True)
        return process("-I", "-c", WITHOUT_TF, tmp_path / "step" / "pjrt_train.pyz", *arguments,
                       cwd=tmp_path / "empty", **environment)
    return run


def trained(pjrt, step, *arguments):
    done = pjrt(step, "--pictures", f"{step.parent}/*.png", *arguments)
    assert done.code == 0, done.err
    return done


def rows_of(step) -> list[dict[str, float]]:
    with open(step / "log.csv", newline="") as file:
        return [{name: float(value) for name, value in row.items()} for row in csv.DictReader(file)]


def state_of(step) -> dict[str, np.ndarray]:
    return dict(np.load(step / "state.npz"))


def test_run_goes_to_its_end_with_the_exported_settings_and_logs_every_step(pjrt, step):
    done = trained(pjrt, step)
    assert done.lines[0] == "toy tiny, 4 pictures, batches of 2 x 32x32, step 0 of 12"
    assert done.lines[1].startswith("compiling for ") and done.lines[2].startswith("step 1 of 12: loss 9, ")
    assert done.lines[-1] == f"step 12 of 12: saved in '{step}'"
    rows = rows_of(step)
    assert [row["step"] for row in rows] == list(range(1, 13))
    np.testing.assert_allclose([row["loss"] for row in rows], 9 * 0.8 ** (2 * np.arange(12)), rtol=1e-5)
    assert {(row["lambda"], row["learning_rate"]) for row in rows} == {(0.01, 0.1)}
    np.testing.assert_allclose([[row["lambda_seen"], row["seed_seen"]] for row in rows], [[0.01, 5]] * 12, rtol=1e-6)
    assert {row["mean"] for row in rows} <= {5.0 * n for n in range(7)} and len({row["mean"] for row in rows}) > 1
    state = state_of(step)
    assert state["steps"] == 12 and state["weights/w"] == pytest.approx(3 * 0.8 ** 12, rel=1e-5)


def test_interrupted_run_ends_like_one_that_was_not(pjrt, step, tmp_path):
    other = shutil.copytree(step, tmp_path / "other")
    trained(pjrt, step)
    trained(pjrt, other, "--steps", 5, "--minutes", 0)   # no end, as in `train`
    assert state_of(other)["steps"] == 5
    with open(other / "log.csv", "a") as file:
        file.write("6,0,0,0,0,0,0\n7,0")   # of a process that was killed while it wrote
    resumed = trained(pjrt, other)
    assert resumed.lines[0].endswith("step 5 of 12")
    assert (other / "log.csv").read_text() == (step / "log.csv").read_text()
    for name, value in state_of(step).items():
        np.testing.assert_array_equal(state_of(other)[name], value)


def test_lambda_rate_schedule_and_seed_need_no_export(pjrt, step):
    trained(pjrt, step, "--steps", 4, "--lambda", 0.5, "--learning_rate", 0.2, "--lr_schedule", "cosine", "--seed", 9,
            "--warmup_steps", 2, "--log_every", 3, "--bfloat16")
    rows = rows_of(step)
    assert {(row["lambda_seen"], row["seed_seen"]) for row in rows} == {(0.5, 9.0)}
    assert rows[0]["learning_rate"] == pytest.approx(0.1) and rows[3]["learning_rate"] < 0.1
    assert rows[1]["loss"] == pytest.approx(9 * 0.8 ** 2, rel=1e-5)


def test_several_steps_in_one_call_are_the_same_steps(pjrt, step, tmp_path):
    other = shutil.copytree(step, tmp_path / "other")
    trained(pjrt, step, "--lr_schedule", "cosine")
    done = trained(pjrt, other, "--lr_schedule", "cosine", "--steps_per_call", 5, "--log_every", 7, "--save_every", 4)
    assert [line.split(":")[0] for line in done.lines[2:6]] == [f"step {n} of 12" for n in (1, 4, 7, 8)]
    assert (other / "log.csv").read_text() == (step / "log.csv").read_text()
    for name, value in state_of(step).items():
        np.testing.assert_array_equal(state_of(other)[name], value)


def test_schedule_is_at_its_end_when_the_minutes_are(pjrt, step):
    trained(pjrt, step, "--steps", 1_000_000_000, "--minutes", 0.05, "--lr_schedule", "cosine", "--warmup_steps", 0)
    rates = [row["learning_rate"] for row in rows_of(step)]
    assert rates[0] > 0.05 > rates[-1] and rates == sorted(rates, reverse=True)


ENDLESS = ("--steps", "1000000000", "--learning_rate", "1e-9", "--lr_schedule", "constant")


@pytest.mark.slow
def test_run_stops_when_its_time_is_up_and_saves(pjrt, step):
    done = trained(pjrt, step, "--minutes", 0.05, *ENDLESS)
    assert state_of(step)["steps"] == len(rows_of(step)) > 0 and "saved in" in done.lines[-1]


@pytest.mark.slow
def test_run_that_is_told_to_stop_saves_first(step, tmp_path):
    running = subprocess.Popen([sys.executable, "-m", "lic.pjrt_train", str(step), "--pictures", f"{tmp_path}/*.png",
                                *ENDLESS], stderr=subprocess.PIPE, text=True)
    for line in running.stderr:
        if line.startswith("step 20 "):
            running.send_signal(signal.SIGTERM)
            break
    said = running.communicate(timeout=60)[1].splitlines()[-1]
    assert running.returncode == 130 and said.endswith("of 1000000000; the same command goes on from there")
    steps = int(said.split("stopped at step ")[1].split()[0])
    assert state_of(step)["steps"] == steps == len(rows_of(step)) >= 20


COMPILING = """
import sys, time
from lic import pjrt_train
pjrt_train.Run._advance = lambda self, last: time.sleep(60)
pjrt_train.main()
"""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_run_is_ended_at_once_while_its_first_step_compiles_which_hears_of_nothing(number, step, tmp_path):
    before = state_of(step)
    running = subprocess.Popen([sys.executable, "-c", COMPILING, str(step), "--pictures", f"{tmp_path}/*.png"],
                               stderr=subprocess.PIPE, text=True, cwd=ROOT)
    assert any(line.startswith("compiling for ") for line in running.stderr)
    time.sleep(0.5)
    running.send_signal(number)
    running.communicate(timeout=30)
    assert running.returncode == -number
    assert all(np.array_equal(before[name], value) for name, value in state_of(step).items())


def test_loss_that_is_no_number_stops_and_keeps_the_last_good_state(pjrt, step):
    done = pjrt(step, "--pictures", f"{step.parent}/*.png", "--learning_rate", 1e30, "--steps", 50, "--save_every", 1)
    assert done.code == 1 and "is not a finite number at step" in done.lines[-1]
    assert "try a lower --learning_rate; 'state.npz' holds the last good state" in done.lines[-1]
    assert np.isfinite(state_of(step)["weights/w"]).all()


def test_weight_that_is_no_number_is_not_saved_though_the_loss_was_one(step, tmp_path, capsys, monkeypatch):
    from lic import pjrt_train
    before = (step / "state.npz").read_bytes()
    monkeypatch.setattr(sys, "argv", ["x", str(step), "--pictures", f"{tmp_path}/*.png", "--steps", "1",
                                      "--learning_rate", "1e38"])
    with pytest.raises(SystemExit) as exit:
        pjrt_train.main()
    said = capsys.readouterr().err.splitlines()
    assert exit.value.code == 1 and said[-2].startswith("step 1 of 1: loss 9")
    assert said[-1].startswith("pjrt_train: a weight is not a finite number at step 1")
    assert (step / "state.npz").read_bytes() == before


@pytest.mark.slow
def test_packed_patches_serve_as_pictures_and_need_no_pillow(pjrt, step, tmp_path):
    packed = tmp_path / "packed.npy"
    done = trained(pjrt, step, "--pack", packed, "--pack_side", 36)
    assert done.lines == [f"patches of 36x36 in '{packed}': 4"] and state_of(step)["steps"] == 0
    done = pjrt(step, "--pictures", packed, "--steps", 3)
    assert done.code == 0 and state_of(step)["steps"] == 3


# Misuse --------------------------------------------------------------------------------------------------------------

def test_help_and_the_lack_of_jax_are_answered_without_it(process, step, tmp_path):
    (tmp_path / "jax.py").write_text("raise ModuleNotFoundError('No module named jax', name='jax')")
    archive = step / "pjrt_train.pyz"
    shown = process(archive, "--help", PYTHONPATH=str(tmp_path))
    assert shown.code == 0 and "example: python -m lic.pjrt_train" in shown.out
    lacking = process(archive, step, "--pictures", f"{tmp_path}/*.png", PYTHONPATH=str(tmp_path))
    assert lacking.code == 2 and len(lacking.lines) == 1
    assert lacking.err.startswith("pjrt_train: jax is missing: pip install '.[jax]'")


@pytest.mark.parametrize(("arguments", "code", "words"), [
    (("--steps", 0), 2, "--steps must be a positive number"), (("--lambda", "nan"), 2, "--lambda must be a positive"),
    (("--minutes", -1), 2, "--minutes must be 0 or a positive number"),
    (("--minutes", "nan"), 2, "--minutes must be 0"), (("--steps_per_call", -1), 2, "--steps_per_call must be 0"),
    (("--seed", -1), 2, "--seed must be a number from 0"),
    (("--threads", 0), 2, "--threads must be"), (("--lr_schedule", "stairs"), 2, "'stairs' is not one of drop"),
    (("--lr_schedule", "multistep", "--lr_steps", "2"), 2, "--lr_steps '2' are not rising fractions"),
    (("--pictures", "nowhere/*.png"), 2, "'nowhere/*.png' matches no picture"),
    (("--steps", "many"), 2, "invalid int value: 'many'"),
    (("--pictures", "nowhere.npy"), 1, "'nowhere.npy' can't be read as packed patches"),
])
def test_wrong_argument_is_one_line_and_changes_nothing(step, tmp_path, capsys, monkeypatch, arguments, code, words):
    from lic import pjrt_train
    before = {name: (step / name).read_bytes() for name in os.listdir(step)}
    monkeypatch.setattr(sys, "argv", ["x", str(step), "--pictures", f"{tmp_path}/*.png", *map(str, arguments)])
    with pytest.raises(SystemExit) as exit:
        pjrt_train.main()
    said = capsys.readouterr().err
    assert exit.value.code == code and words in said and said.count("\n") == 1
    assert {name: (step / name).read_bytes() for name in os.listdir(step)} == before


def test_folder_where_another_run_trains_is_one_line(step, tmp_path, capsys, monkeypatch):
    from lic import folder_lock, pjrt_train
    monkeypatch.setattr(sys, "argv", ["x", str(step), "--pictures", str(tmp_path)])
    with folder_lock.held(str(step)), pytest.raises(SystemExit) as exit:
        pjrt_train.main()
    said = capsys.readouterr().err
    assert exit.value.code == 2 and said.startswith(f"pjrt_train: another run trains in '{step}' now")


def test_folder_that_holds_no_sound_step_is_one_line(step, tmp_path, capsys, monkeypatch):
    from lic import pjrt_train

    def refused(*words: str) -> None:
        monkeypatch.setattr(sys, "argv", ["x", str(step), "--pictures", f"{tmp_path}/*.png"])
        with pytest.raises(SystemExit) as exit:
            pjrt_train.main()
        said = capsys.readouterr().err
        assert exit.value.code == 1 and said.count("\n") == 1 and all(word in said for word in words), said

    def broken(name: str, data: bytes, *words: str) -> None:
        kept = (step / name).read_bytes()
        (step / name).write_bytes(data)
        refused(*words)
        (step / name).write_bytes(kept)

    about = json.loads((step / "step.json").read_text())
    for data in (b"", b"[]", b"{}", b"\xff"):
        broken("step.json", data, "can't be read as the description of an exported step")
    broken("step.json", json.dumps({**about, "format": 7}).encode(), "is of version 7, not 1: export the step again")
    broken("step.hlo.xz", b"no module", "is missing or broken: export the step again")
    broken("step.hlo.xz", lzma.compress(b"another"), "does not belong to step.json")
    broken("state.npz", b"no state", "is missing or broken")
    for kind in ({"shape": [7], "dtype": "float32"}, {"shape": [1], "dtype": "float64"}):
        broken("step.json", json.dumps({**about, "outputs": {**about["outputs"], "weights/w": kind}}).encode(),
               "does not fit step.json: 1 arrays are missing or of another shape, e.g. weights/w")
    os.unlink(step / "step.json")
    refused("no exported step in", "`train --export_step` makes one")


def test_device_without_memory_is_one_line(step, tmp_path, capsys, monkeypatch):
    from lic import pjrt_train

    def exhausted(*_, **__):
        raise RuntimeError("RESOURCE_EXHAUSTED: Out of memory while trying to allocate 9 bytes.")

    monkeypatch.setattr(pjrt_train, "_program", lambda *_: exhausted)
    monkeypatch.setattr(sys, "argv", ["x", str(step), "--pictures", f"{tmp_path}/*.png"])
    exhausted.device, exhausted.is_processor = "a toy", True
    with pytest.raises(SystemExit) as exit:
        pjrt_train.main()
    assert exit.value.code == 1
    assert capsys.readouterr().err.splitlines()[-1].startswith("pjrt_train: not enough memory on the device: export")


def test_archive_holds_every_module_that_it_may_load(exported):
    """And nothing else: a module that it lacks would be found missing on another machine, after the compiling."""
    names = set(zipfile.ZipFile(exported / "pjrt_train.pyz").namelist())
    here = os.path.join(os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))), "lic", "pjrt")
    modules = {f"lic/pjrt/{name}" for name in os.listdir(here) if name.endswith(".py")}
    assert names == modules | {"__main__.py", *(f"lic/{name}.py" for name in (
        "__init__", "clock", "drafts", "drops", "errors", "files", "finding", "folder_lock", "interrupts",
        "pjrt_train"))}
