"""kill -9 and Ctrl-C at any moment: what stands under its final name is whole, and the same command finishes the work.

Real processes. The moments are drawn from a seed, and many of them fall while something is being written.
"""

from __future__ import annotations

import itertools
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from lic import cli, drafts, files, images, training, weights
from lic.errors import DataError
from tests.scripts import ROOT

SCRIPT = "hypmqw2022"  # whose tiny model is the first to be ready
COUNT = 40  # files of a folder


def start(*arguments, cwd=None) -> subprocess.Popen:
    """A command, in a process that hears Ctrl-C even where these tests run in the background."""
    return subprocess.Popen([sys.executable, ROOT / f"{SCRIPT}.py", *map(str, arguments)], cwd=cwd, text=True,
                            stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
                            env={**os.environ, "CUDA_VISIBLE_DEVICES": ""})


def finish(*arguments, cwd=None) -> None:
    """The same command to its end."""
    process = start(*arguments, cwd=cwd)
    said = process.communicate(timeout=600)[1]
    assert process.returncode == 0, said


def stop(process: subprocess.Popen, how: int) -> None:
    """Kills or interrupts a process that still works; Ctrl-C is answered by one line and the exit code 130."""
    process.send_signal(how)
    said = process.communicate(timeout=120)[1]
    assert process.returncode in (0, {signal.SIGKILL: -9, signal.SIGINT: 130}[how]), said
    assert "Traceback" not in said
    if process.returncode == 130:
        assert said.splitlines()[-1].startswith(f"{SCRIPT}: "), said


def until(condition, process: subprocess.Popen) -> None:
    """Waits, without a pause, for something that a process does; it may be there for a millisecond only."""
    end = time.monotonic() + 300
    while not condition() and process.poll() is None:
        assert time.monotonic() < end
    assert process.poll() is None or condition(), process.communicate()[1]


def drafts_in(folder: Path) -> list[str]:
    return [name for _, folders, names in os.walk(folder) for name in folders + names if name.startswith(".lic-")]


# One file -----------------------------------------------------------------------------------------------------------

WRITER = """
import itertools, sys
from lic import files
for i in itertools.count():
    files.write_atomically(sys.argv[1], bytes([i % 2]) * 20_000_000)
"""


def test_writer_that_is_killed_leaves_a_whole_file_and_the_next_sweeps_its_draft(tmp_path):
    rng, left = random.Random(0), 0
    for _ in range(12):
        writer = subprocess.Popen([sys.executable, "-c", WRITER, tmp_path / "a"], env={**os.environ,
                                                                                      "PYTHONPATH": str(ROOT)})
        until(lambda: (tmp_path / "a").exists() and drafts_in(tmp_path), writer)
        time.sleep(rng.choice([0, rng.uniform(0, 0.05)]))  # at once, its draft is not whole yet
        writer.kill()
        writer.wait()
        data = files.read_bytes(tmp_path / "a")
        assert data in (bytes(20_000_000), b"\1" * 20_000_000)
        left += len(drafts_in(tmp_path))
        with drafts.beside(str(tmp_path / "b"), drafts.new_file) as (draft, _):
            drafts._sweep.cache_clear()  # as another process would
            drafts._sweep(str(tmp_path))
            assert drafts_in(tmp_path) == [os.path.basename(draft)], "one that is being written stays"
    assert left, "it was killed while it wrote, at least once"
    assert os.listdir(tmp_path) == ["a"]


def test_drafts_are_not_taken_for_orphans_by_those_who_sweep_meanwhile(tmp_path):
    """Eight processes, each of which sweeps whenever it writes."""
    busy = ("import sys\nfrom lic import drafts, files\nfor i in range(200):\n    drafts._sweep.cache_clear()\n"
            "    files.write_atomically(sys.argv[1], bytes([int(sys.argv[2])]) * 100_000)\n")
    writers = [subprocess.Popen([sys.executable, "-c", busy, tmp_path / f"file {i % 3}", str(i)],
                                env={**os.environ, "PYTHONPATH": str(ROOT)}) for i in range(8)]
    assert [writer.wait(120) for writer in writers] == [0] * 8
    assert sorted(os.listdir(tmp_path)) == ["file 0", "file 1", "file 2"]
    for path in tmp_path.iterdir():
        assert path.read_bytes() in [bytes([i]) * 100_000 for i in range(8)]


INTERRUPTED = """
import fcntl, os, posix, sys
from lic import files
def interrupted(*_):
    raise KeyboardInterrupt
setattr(*{"locking": (fcntl, "flock"), "removing": (os, "unlink")}[sys.argv[2]], interrupted)
if sys.argv[2] == "removing":
    os.replace = interrupted
try:
    files.write_atomically(sys.argv[1], b"whole")
finally:
    os.unlink = posix.unlink
"""


@pytest.mark.parametrize("moment", ["locking", "removing"])
def test_ctrl_c_between_two_lines_leaves_no_draft(moment, tmp_path):
    ended = subprocess.run([sys.executable, "-c", INTERRUPTED, tmp_path / "a", moment], capture_output=True, text=True,
                           env={**os.environ, "PYTHONPATH": str(ROOT)}, timeout=60)
    assert "KeyboardInterrupt" in ended.stderr and os.listdir(tmp_path) == []


# Folders of files -----------------------------------------------------------------------------------------------------

@pytest.fixture(scope="module")
def work(codecs, picture, tmp_path_factory) -> dict:
    """command -> (folder of inputs, name and bytes of each output)."""
    pictures, packed = tmp_path_factory.mktemp("pictures"), tmp_path_factory.mktemp("packed")
    codec, expected = codecs[SCRIPT], {"compress": {}, "decompress": {}}
    for n in range(COUNT):
        x = picture(60 + n, 90, seed=n)[0].astype(np.uint8)
        images.write(pictures / f"{n}.png", x)
        data = codec.compress(x)
        (packed / f"{n}.tfci").write_bytes(data)
        expected["compress"][f"{n}.png.tfci"] = data
        expected["decompress"][f"{n}.tfci.png"] = images.encode_png(codec.decompress(data))
    return {"compress": (pictures, expected["compress"]), "decompress": (packed, expected["decompress"])}


def inodes(folder: Path) -> set[int]:
    """Each file that is written is a new one."""
    return {entry.inode() for entry in os.scandir(folder) if not entry.name.startswith(".lic-")}


def check_whole(folder: Path, expected: dict[str, bytes]) -> None:
    for name in os.listdir(folder):
        if not name.startswith(".lic-"):
            assert (folder / name).read_bytes() == expected[name], name


def check_done(folder: Path, expected: dict[str, bytes]) -> None:
    assert sorted(os.listdir(folder)) == sorted(expected)
    check_whole(folder, expected)


def break_and_finish(command: str, work, model: Path, out: Path, moments: int, seed: int) -> None:
    """Breaks a command off at so many moments, some of them before its first file, and then lets it finish."""
    (inputs, expected), rng = work[command], random.Random(seed)
    arguments = (command, f"{inputs}/*", "--out", out, "--model_path", model)
    out.mkdir()
    for moment in range(moments):
        process, how = start(*arguments), (signal.SIGKILL, signal.SIGINT)[moment % 2]
        if moment % 3 == 2:
            time.sleep(rng.uniform(0.5, 6))
        else:
            before = inodes(out)
            until(lambda before=before: inodes(out) - before, process)
            time.sleep(rng.uniform(0, 0.3))
        stop(process, how)
        check_whole(out, expected)
        assert how == signal.SIGKILL or not drafts_in(out) or moment % 3 == 2
    (out / ".lic-0123456789abcdef.tmp").write_bytes(b"of one who was killed")
    finish(*arguments)
    check_done(out, expected)


@pytest.mark.parametrize("command", ["compress", pytest.param("decompress", marks=pytest.mark.slow)])
def test_folder_that_was_broken_off_has_whole_files_and_is_finished(command, work, saved, tmp_path):
    break_and_finish(command, work, saved[SCRIPT], tmp_path / "out", moments=2, seed=1)


@pytest.mark.slow
@pytest.mark.parametrize("command", ["compress", "decompress"])
def test_folder_may_be_broken_off_at_many_moments(command, work, saved, tmp_path):
    break_and_finish(command, work, saved[SCRIPT], tmp_path / "out", moments=12, seed=2)


def test_three_who_compress_the_same_folder_give_what_one_gives(work, saved, tmp_path):
    inputs, expected = work["compress"]
    processes = [start("compress", f"{inputs}/*", "--out", tmp_path / "new" / "out", "--model_path", saved[SCRIPT])
                 for _ in range(3)]
    for process in processes:
        said = process.communicate(timeout=300)[1]
        assert (process.returncode, said) == (0, "")
    check_done(tmp_path / "new" / "out", expected)


# Export --------------------------------------------------------------------------------------------------------------

def break_export(model: Path, folder: Path, how: int, delay: float) -> bool:
    """Breaks an export off, so long after it began to write; returns whether it had not been finished."""
    before = drafts_in(folder.parent)   # of one that was killed; the next sweeps it
    process = start("export", folder, "--model_path", model)
    until(lambda: set(drafts_in(folder.parent)) - set(before), process)
    time.sleep(delay)
    stop(process, how)
    if folder.exists():
        weights.describe(str(folder / "assets.extra"))
        assert (folder / "variables" / "variables.index").exists() and (folder / "saved_model.pb").exists()
    return not folder.exists()


@pytest.mark.slow
def test_export_that_is_killed_leaves_nothing_under_its_name_and_the_next_sweeps(saved, codecs, picture, tmp_path):
    import lic
    assert break_export(saved[SCRIPT], tmp_path / "model", signal.SIGKILL, 0.5)
    assert len(drafts_in(tmp_path)) == 1 and len(os.listdir(tmp_path)) == 1
    finish("export", "model", "--model_path", saved[SCRIPT], cwd=tmp_path)
    assert os.listdir(tmp_path) == ["model"]
    x = picture(40, 50)[0].astype(np.uint8)
    assert lic.load(str(tmp_path / "model")).compress(x) == codecs[SCRIPT].compress(x)


@pytest.mark.slow
def test_export_may_be_broken_off_at_many_moments(saved, tmp_path):
    rng = random.Random(3)
    for moment in range(10):
        break_export(saved[SCRIPT], tmp_path / "model", (signal.SIGKILL, signal.SIGINT)[moment % 2], rng.uniform(0, 8))
        shutil.rmtree(tmp_path / "model", ignore_errors=True)
    finish("export", tmp_path / "model", "--model_path", saved[SCRIPT])
    assert os.listdir(tmp_path) == ["model"]


# Where Python swallows it ---------------------------------------------------------------------------------------------

SWALLOWER = """
import signal, time
from lic import cli
from lic.cli import commands
class Swallower:
    def __del__(self):
        signal.raise_signal(signal.SIGINT)   # the exception can't leave a destructor
def info(*_):
    Swallower()
    time.sleep(40)
commands.info = info
cli.main("hypmqw2022")
"""


def test_ctrl_c_within_a_destructor_is_heard():
    ended = subprocess.run([sys.executable, "-c", SWALLOWER, "info"], text=True, capture_output=True, timeout=120,
                           env={**os.environ, "PYTHONPATH": str(ROOT)})
    assert (ended.returncode, ended.stderr) == (130, "hypmqw2022: interrupted\n")


# Weights -------------------------------------------------------------------------------------------------------------

SAVER = """
import sys
from lic import weights
models = [weights.load(folder)[0] for folder in sys.argv[2:]]
print("ready", flush=True)
while True:
    for model in models:
        weights.save(model, "hypmqw2022", sys.argv[1])
"""


def test_killed_saving_leaves_the_old_model_or_the_new_or_a_line_that_says_so(saved, lively, tmp_path):
    """Between the weights and their description, which names them, a kill leaves two that don't belong together."""
    other = lively(SCRIPT, seed=9)
    other.freeze()
    weights.save(other, SCRIPT, str(tmp_path / "other"))
    whole = [weights.describe(str(folder))["weights_id"] for folder in (saved[SCRIPT], tmp_path / "other")]
    ends, rng = [], random.Random(4)
    saver = subprocess.Popen([sys.executable, "-c", SAVER, tmp_path / "model", saved[SCRIPT], tmp_path / "other"],
                             stdout=subprocess.PIPE, env={**os.environ, "PYTHONPATH": str(ROOT)})
    assert saver.stdout.readline() == b"ready\n"
    until(lambda: (tmp_path / "model" / "model.json").exists(), saver)
    for moment in range(5):
        time.sleep(rng.uniform(0, 0.1))
        saver.send_signal(signal.SIGSTOP)  # what a kill would leave at this moment, without a new start for each
        shutil.copytree(tmp_path / "model", tmp_path / f"{moment}")
        saver.send_signal(signal.SIGCONT)
        ends.append(end_of(tmp_path / f"{moment}"))
    saver.kill()
    saver.communicate()
    assert set(ends) <= {*whole, "refused"}
    (tmp_path / "other" / "model.json").write_bytes((saved[SCRIPT] / "model.json").read_bytes())
    assert end_of(tmp_path / "other") == "refused"


def end_of(folder: Path) -> str:
    """The id of the model in a folder, or that it is refused as one whose saving was interrupted."""
    try:
        return weights.load(str(folder))[1].hex()
    except DataError as error:
        assert "saving was interrupted" in str(error) and "\n" not in str(error)
        return "refused"


# Training ------------------------------------------------------------------------------------------------------------

@pytest.fixture(scope="module")
def training_pictures(picture, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("training")
    for n in range(3):
        Image.fromarray(picture(80, 90, seed=n)[0].astype(np.uint8)).save(folder / f"{n}.png")
    return folder


def training_command(pictures: Path, run: Path, epochs: int) -> tuple:
    """A checkpoint after every second step."""
    return ("train", "--preset", "tiny", "--train_glob", f"{pictures}/*.png", "--train_path", run, "--epochs", epochs,
            "--steps_per_epoch", 2, "--batchsize", 1, "--patchsize", 64, "--learning_rate", "1e-3")


def train_here(pictures: Path, run: Path, epochs: int) -> None:
    """In this process, where TensorFlow is up already."""
    command = [str(word) for word in training_command(pictures, run, epochs)]
    assert cli.run(SCRIPT, command) == 0


def pieces_of_checkpoints(run: Path) -> set[str]:
    """What stands there while a checkpoint is written; a kill leaves it lying."""
    names = os.listdir(run / "checkpoints") if (run / "checkpoints").is_dir() else []
    return {name for name in names if "_temp" in name or ".tmp" in name}


def identity_of(run: Path) -> str:
    return json.loads((run / "model" / "model.json").read_text())["weights_id"]


def break_training(arguments: tuple, run: Path, how: int, delay: float | None) -> None:
    """Breaks a run off in the middle of writing a checkpoint, or so many seconds after its start."""
    of_earlier_kills = pieces_of_checkpoints(run)
    process = start(*arguments)
    if delay is None:
        until(lambda: pieces_of_checkpoints(run) - of_earlier_kills, process)
    else:
        time.sleep(delay)
    stop(process, how)


def train_broken_off(pictures: Path, folder: Path, epochs: int, delays: list) -> None:
    """A run that was broken off again and again ends with the very weights of one that was not."""
    straight, broken = folder / "straight", folder / "broken"
    alike = ("--threads", 1, "--deterministic")
    finish(*training_command(pictures, straight, epochs), *alike)
    arguments = (*training_command(pictures, broken, epochs), *alike)
    for delay, how in zip(delays, itertools.cycle([signal.SIGKILL, signal.SIGKILL, signal.SIGINT])):
        break_training(arguments, broken, how, delay)
        if (broken / "checkpoints" / "checkpoint").exists():
            assert training.restore_model(str(broken))[0] == SCRIPT, "what a kill leaves is a model"
    finish(*arguments)
    assert identity_of(broken) == identity_of(straight)
    assert not drafts_in(broken)


@pytest.mark.slow
def test_training_that_is_killed_while_it_writes_a_checkpoint_ends_as_if_it_had_not_been(training_pictures, tmp_path):
    train_broken_off(training_pictures, tmp_path, 60, [None])


@pytest.mark.slow
def test_training_may_be_broken_off_at_many_moments(training_pictures, tmp_path):
    rng = random.Random(5)
    delays = [None if moment % 2 else rng.uniform(1, 25) for moment in range(8)]
    train_broken_off(training_pictures, tmp_path, 200, delays)


@pytest.mark.slow
def test_what_a_killed_checkpoint_leaves_does_no_harm(training_pictures, tmp_path):
    """As a kill within a checkpoint leaves it: pieces of the next one, and a state that was not renamed yet."""
    run = tmp_path / "run"
    train_here(training_pictures, run, 2)
    checkpoints, before = run / "checkpoints", identity_of(run)
    assert (checkpoints / "ckpt-3.index").exists(), "of the start and of two epochs"
    (checkpoints / "ckpt-4_temp").mkdir()
    for name in ("ckpt-4_temp/part-00000-of-00001.data-00000-of-00001", "ckpt-4.data-00000-of-00001", "ckpt-4.index",
                 "ckpt-4.index.tempstate123", "checkpoint.tmp0123456789abcdef"):
        (checkpoints / name).write_bytes(b"a piece")
    train_here(training_pictures, run, 3)
    assert identity_of(run) != before
    assert training.restore_model(str(run))[0] == SCRIPT
    assert (checkpoints / "ckpt-4.index").stat().st_size > 100
