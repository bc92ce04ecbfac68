"""Tiny models on disk, and the command line in a process of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).resolve().parents[2]
SCRIPTS = ("lsk2023", "zyc2022", "hypmqw2022")


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
    variables = {k: v for k, v in os.environ.items() if k not in ("PYTHONPATH", "TF_CPP_MIN_LOG_LEVEL")}
    done = subprocess.run([sys.executable, *map(str, command)], capture_output=True, text=True, cwd=cwd, timeout=600,
                          env={**variables, "CUDA_VISIBLE_DEVICES": "", **environment})
    return Ran(done.returncode, done.stdout, done.stderr)


@pytest.fixture(scope="session")
def process():
    """process("-c", "...", cwd=...): runs Python."""
    return _process


@pytest.fixture(scope="session")
def script():
    """script("lsk2023", "compress", ..., cwd=...): runs a script of this checkout."""
    return lambda name, *arguments, **kwargs: _process(ROOT / f"{name}.py", *arguments, **kwargs)


@pytest.fixture(scope="session")
def saved(lively, tmp_path_factory) -> dict[str, Path]:
    """The folder of a tiny model of each script, with weights that make something of a picture."""
    from lic import weights
    folders = {}
    for name in SCRIPTS:
        model = lively(name)
        model.freeze()
        folders[name] = tmp_path_factory.mktemp("models") / name
        weights.save(model, name, str(folders[name]))
    return folders


@pytest.fixture(scope="session")
def codecs(saved):
    """The codec of each of these folders, for all tests of a run."""
    import lic
    return {name: lic.load(str(folder)) for name, folder in saved.items()}
