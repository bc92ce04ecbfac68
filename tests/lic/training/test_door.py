"""`train` as a command: killed, interrupted, and refused by its exit codes."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys

import pytest

from config import Training
from lic import loading, registry
from lic.training import Run, restore_model
from tests.lic.training.runs import events, places
from tests.scripts import ROOT

SCRIPT = "hypmqw2022"  # whose tiny model is the first to be ready


def start(*arguments, **environment) -> subprocess.Popen:
    return subprocess.Popen([sys.executable, str(ROOT / f"{SCRIPT}.py"), *map(str, arguments)], cwd=ROOT, text=True,
                            stdout=subprocess.PIPE, stderr=subprocess.PIPE, env={**os.environ, **environment})


def lines_until(process, words: str) -> list[str]:
    seen = []
    for line in process.stderr:
        seen.append(line.rstrip("\n"))
        if words in line:
            return seen
    raise AssertionError(f"'{words}' never came: {seen}")


@pytest.mark.slow
def test_run_that_is_killed_and_then_interrupted_goes_on_from_its_checkpoints_to_a_model(pictures, tmp_path):
    command = ("train", "--preset", "tiny", "--train_glob", f"{pictures}/*.jpg", "--train_path", tmp_path / "run",
               "--epochs", 3, "--steps_per_epoch", 40, "--batchsize", 2, "--patchsize", 64, "--learning_rate", "1e-3")

    killed = start(*command)
    lines = lines_until(killed, "epoch 1/3, step 40 of 120: loss ")
    killed.kill()          # somewhere in the second epoch
    killed.communicate()
    assert len(lines) == 2 and f"{SCRIPT} tiny, " in lines[0] and "5 pictures" in lines[0]

    interrupted = start(*command)
    lines = lines_until(interrupted, "epoch 2/3, step 80 of 120: loss ")
    assert lines[1] == "going on from step 40 of 120" and len(lines) == 3
    interrupted.send_signal(signal.SIGINT)
    rest = interrupted.communicate(timeout=600)[1].splitlines()
    assert interrupted.returncode == 130 and len(rest) == 1
    step = int(rest[0].split("stopped at step ")[1].split(" of 120")[0])
    assert 80 < step < 120

    script, model = restore_model(str(tmp_path / "run"))     # an interrupted run is a model too
    assert script == SCRIPT and model.frozen

    short = start(*command, "--minutes", 0.0001)
    said = short.communicate(timeout=600)[1].splitlines()
    assert short.returncode == 0 and said[2].startswith("0.0001 minutes are over at step ")
    assert said[3].startswith("model ") and len(said) == 4

    last = start(*command, "--model_path", tmp_path / "model")
    said = last.communicate(timeout=600)[1].splitlines()
    assert last.returncode == 0 and said[1] == f"going on from step {step} of 120"
    assert said[2].startswith("epoch 3/3, step 120 of 120: loss ") and len(said) == 4
    assert json.loads((tmp_path / "model" / "model.json").read_text())["steps"] == 120

    compress = start("compress", pictures / "0.jpg", tmp_path / "0.tfci", "--model_path", tmp_path / "model")
    assert compress.communicate(timeout=600)[1] == "" and compress.returncode == 0
    pixels = loading.load(str(tmp_path / "model")).decompress((tmp_path / "0.tfci").read_bytes())
    assert pixels.shape == (96, 112, 3)


@pytest.mark.slow
def test_machine_that_is_killed_or_interrupted_ends_the_others_in_a_line_and_all_go_on_together(pictures, tmp_path):
    made_of = Training(train_glob=f"{pictures}/*.jpg", epochs=3, steps_per_epoch=20, batchsize=4, patchsize=64,
                       learning_rate=1e-3, train_path=str(tmp_path / "alone"))
    Run(SCRIPT, registry.preset(SCRIPT, "tiny"), made_of).train()

    def both(*more) -> list[subprocess.Popen]:
        command = ("train", "--preset", "tiny", "--train_glob", f"{pictures}/*.jpg", "--train_path", tmp_path / "run",
                   "--epochs", 3, "--steps_per_epoch", 20, "--batchsize", 4, "--patchsize", 64,
                   "--learning_rate", "1e-3", *more)
        return [start(*command, TF_CONFIG=json.dumps(place)) for place in places(2)]

    first, second = both()
    lines = lines_until(first, "epoch 1/3, step 20 of 60: loss ")
    assert len(lines) == 3 and f"{SCRIPT} tiny, " in lines[1]
    second.kill()          # somewhere in the second epoch
    said = first.communicate(timeout=600)[1].splitlines()
    assert first.returncode == 1 and len(said) == 1, said
    assert "another machine of TF_CONFIG's cluster has ended or can't be reached: start the same" in said[0]

    first, second = both()
    lines = lines_until(first, "epoch 2/3, step 40 of 60: loss ")
    assert lines[2] == "going on from step 20 of 60" and len(lines) == 4
    second.send_signal(signal.SIGINT)
    said = [process.communicate(timeout=600)[1].splitlines()[-1] for process in (first, second)]
    assert (first.returncode, second.returncode) == (130, 130) and said[0] == said[1]
    step = int(said[0].split("stopped at step ")[1].split(" of 60")[0])
    assert 40 < step < 60

    first, second = both("--minutes", 0.0001)
    said = [process.communicate(timeout=600)[1].splitlines() for process in (first, second)]
    assert (first.returncode, second.returncode) == (0, 0) and len(said[1]) == 1
    assert said[0][3].startswith(f"0.0001 minutes are over at step {step} of 60; ")

    first, second = both("--model_path", tmp_path / "model")
    said = [process.communicate(timeout=600)[1].splitlines() for process in (first, second)]
    assert (first.returncode, second.returncode) == (0, 0) and len(said[0]) == 5 and len(said[1]) == 1
    assert json.loads((tmp_path / "model" / "model.json").read_text())["steps"] == 60
    losses = [[float(loss) for _, loss in events(tmp_path / run / "logs")["loss"]] for run in ("alone", "run")]
    assert losses[1][-1] == pytest.approx(losses[0][-1], rel=1e-3), "as if nothing had happened"


def test_wrong_cluster_leaves_by_its_exit_code(pictures, tmp_path):
    place = json.dumps({"cluster": {"worker": ["a:1", "b:2"]}, "task": {"type": "worker", "index": 2}})
    process = start("train", "--preset", "tiny", "--train_glob", pictures, "--train_path", tmp_path, TF_CONFIG=place)
    said = process.communicate(timeout=600)[1]
    assert process.returncode == 2 and said.count("\n") == 1 and said.startswith(f"{SCRIPT}: TF_CONFIG: this machine ")


def test_bad_pictures_leave_by_their_exit_code(tmp_path):
    (tmp_path / "small.png").write_bytes(b"no picture")
    process = start("train", "--preset", "tiny", "--train_glob", tmp_path, "--train_path", tmp_path / "run")
    said = process.communicate(timeout=600)[1]
    assert process.returncode == 1 and said.startswith(f"{SCRIPT}: none of the 1 pictures of ")
    assert said.count("\n") == 1 and not (tmp_path / "run").exists()
