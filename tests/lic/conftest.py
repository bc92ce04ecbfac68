"""Tiny models on disk, and the command line in a process of its own."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import zlib
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
from filelock import FileLock

from tests.scripts import ROOT

_OURS = ("PYTHONPATH", "TF_CPP_MIN_LOG_LEVEL", "TF_NUM_INTRAOP_THREADS")   # no user sets them


class Ran(NamedTuple):
    """How a process ended."""

    code: int
    out: str
    err: str

    @property
    def lines(self) -> list[str]:
        return self.err.splitlines()


def _process(*command, cwd=None, **environment) -> Ran:
    """Runs Python on `command` as a user would: no paths of ours in the environment."""
    variables = {k: v for k, v in os.environ.items() if k not in _OURS}
    done = subprocess.run([sys.executable, *map(str, command)], capture_output=True, text=True, cwd=cwd, timeout=600,
                          env={**variables, "CUDA_VISIBLE_DEVICES": "", **environment})
    return Ran(done.returncode, done.stdout, done.stderr)


class FakeCodec:
    """Costs nothing, with the doors of `lic.codec.Codec`: of one rate it keeps the upper 4 bits of a picture; of
    variable rate, from 1 bit (quality 1) to 7 (quality 100)."""

    def __init__(self, script: str, preset: str, weights_id: str, variable: bool = False):
        self.about, self.weights_id, self.variable = {"script": script, "preset": preset}, weights_id, variable

    def compress_pixels(self, pixels, tile=None, verify=False, progress=iter, quality=None, effort=0) -> bytes:
        assert quality is None or self.variable
        lost = 4 if quality is None else 7 - round(1 + 6 * (quality - 1) / 99)
        return bytes([lost, *(side >> shift & 255 for side in pixels.shape[:2] for shift in (8, 0))]) + zlib.compress(
            (pixels >> lost).tobytes())

    def check_effort(self, effort: int) -> None:
        assert not effort or self.variable

    def decompress(self, data: bytes) -> np.ndarray:
        lost, height, width = data[0], data[1] * 256 + data[2], data[3] * 256 + data[4]
        kept = np.frombuffer(zlib.decompress(data[5:]), np.uint8).reshape(height, width, 3)
        return (kept << lost) + ((1 << lost) >> 1)

    def bits_map(self, pixels, quality=None, progress=iter) -> np.ndarray:
        return pixels[::16, ::16].mean(-1).astype(np.float32)


@pytest.fixture(scope="session")
def fake():
    """fake(script, preset, weights_id, variable): a codec."""
    return FakeCodec


@pytest.fixture(scope="session")
def process():
    """process("-c", "...", cwd=...): runs Python."""
    return _process


@pytest.fixture(scope="session")
def script():
    """script("lsk2023", "compress", ..., cwd=...): runs a script of this checkout."""
    return lambda name, *arguments, **kwargs: _process(ROOT / f"{name}.py", *arguments, **kwargs)


@pytest.fixture
def here(capsys, monkeypatch, tmp_path):
    """here(script, argument, ...) -> (exit code, stdout, lines of stderr), in this process and an empty folder."""
    from lic import cli
    monkeypatch.chdir(tmp_path)

    def run(name, *arguments):
        try:
            code = cli.run(name, [str(a) for a in arguments])
        except SystemExit as end:
            code = end.code
        captured = capsys.readouterr()
        return code, captured.out, captured.err.splitlines()

    return run


class Lazily(dict):
    """Values that are made when they are first asked for."""

    def __init__(self, make):
        self._make = make

    def __missing__(self, name):
        self[name] = self._make(name)
        return self[name]


@pytest.fixture(scope="session")
def shared(tmp_path_factory):
    """shared(name, make): the folder that make(path) wrote, once for all processes of a run."""
    folder = tmp_path_factory.getbasetemp()
    folder = (folder.parent if "PYTEST_XDIST_WORKER" in os.environ else folder) / "models"
    folder.mkdir(exist_ok=True)

    def one(name: str, make) -> Path:
        with FileLock(folder / f"{name}.lock"):
            if not (folder / name).exists():
                make(folder / "new" / name)
                os.rename(folder / "new" / name, folder / name)
        return folder / name

    return one


def _save(model, script: str, folder: Path) -> None:
    """As `train` does in the end."""
    from lic import graph_storing, weights
    model.freeze()
    weights.save(model, script, str(folder))
    graph_storing.save(str(folder))


@pytest.fixture(scope="session")
def saved(lively, shared) -> dict[str, Path]:
    """The folder of a tiny model of each script, with weights that make something of a picture."""
    return Lazily(lambda script: shared(script, lambda folder: _save(lively(script), script, folder)))


@pytest.fixture(scope="session")
def saved_many(many_rates, shared) -> Path:
    """The folder of a tiny model of many rates of `hypmqw2022`."""
    return shared("many", lambda folder: _save(many_rates("hypmqw2022"), "hypmqw2022", folder))


@pytest.fixture(scope="session")
def exported(saved, shared) -> dict[str, str]:
    """The SavedModel of each of these folders, made by its command."""
    from lic import cli

    def export(script: str, folder: Path) -> None:
        assert cli.run(script, ["export", str(folder / "1"), "--model_path", str(saved[script])]) == 0

    return Lazily(lambda script: str(shared(f"exported-{script}", lambda folder: export(script, folder)) / "1"))


@pytest.fixture(scope="session")
def codecs(saved):
    """The codec of each of these folders, for all tests of a run; of the graphs that are stored, as users have it."""
    import lic
    return Lazily(lambda name: lic.load(str(saved[name])))


@pytest.fixture(scope="session")
def traced(saved):
    """The same of its model, with the functions of exported models, too; its tracing takes ten times as long."""
    import lic
    return Lazily(lambda name: lic.load(str(saved[name]), stored=False))


@pytest.fixture(scope="session")
def toy_step():
    """toy_step(folder): an exported step that is no model, which JAX compiles in a moment; its loss begins at 9."""
    from types import SimpleNamespace

    import tensorflow as tf

    import config
    from lic import step_export

    def write(folder, **settings):
        state = {"weights/w": tf.Variable([3.0]), "adam_m/w": tf.Variable([0.0]),
                 "steps": tf.Variable(0, dtype=tf.int64)}

        def step(pictures, lmbda, learning_rate, seed):
            w, mean = state["weights/w"], tf.reduce_mean(tf.cast(pictures, tf.float32))
            loss = tf.reduce_sum(tf.square(w))
            state["adam_m/w"].assign(2 * w)
            w.assign_sub(learning_rate * 2 * w)
            state["steps"].assign_add(1)
            return {"figures": tf.stack([loss, mean, lmbda, tf.cast(seed, tf.float32)])}

        made_of = config.Training(epochs=2, steps_per_epoch=6, batchsize=2, patchsize=32, learning_rate=0.1, seed=5,
                                  lr_schedule="constant", **settings)
        arguments = step_export.Step.arguments.fget(SimpleNamespace(settings=made_of))
        toy = SimpleNamespace(script="toy", preset=SimpleNamespace(name="tiny"), settings=made_of, state=state,
                              figures=["loss", "mean", "lambda_seen", "seed_seen"])
        folder.mkdir()
        step_export._write(str(folder), toy, step_export.lower(step, arguments, state))
        return folder

    return write


@pytest.fixture(scope="module")   # its event loop in this thread would disturb later tests, notebooks among them
def chromium():
    """A browser without a window."""
    path = shutil.which("chromium") or shutil.which("chromium-browser")
    if not path:
        pytest.fail("there is no chromium: apt-get install chromium, or leave these tests out: "
                    "-m 'slow and not browser'")
    playwright = pytest.importorskip("playwright.sync_api", reason="for Python 3.9 there is none of the pinned version")
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=path, args=["--no-sandbox"])   # root has none
        yield browser
        browser.close()
