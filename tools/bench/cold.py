"""Whole processes, from their start to the file written, beside the import of TensorFlow alone."""

from __future__ import annotations

import functools
import os
import statistics
import subprocess
import sys
from typing import Callable

import config
from lic import export
from tools import random_model
from tools.bench.timing import in_turns, ratio

IMPORT = (sys.executable, "-c", "import tensorflow, tensorflow_compression")
LARGE = ("lsk2023", "small")   # what is exported and measured besides


def measure(picture: str, folder: str, rounds: int) -> list[dict]:
    """A row for each model and command: median seconds, and the median ratio to the import.

    Models are the bundled ones and an export of `LARGE`, with random weights.
    """
    exported = os.path.join(folder, "exported")
    export.save(random_model.codec(*LARGE, config.Runtime()), exported)
    works: dict[str, Callable[[], object]] = {"import": functools.partial(_run, IMPORT)}
    for script in config.PRESETS:
        works.update(_commands(script, script, picture, folder))
    works.update(_commands(LARGE[0], f"{' '.join(LARGE)} exported", picture, folder, "--model_path", exported))
    seconds = in_turns(works, rounds)
    return [{"work": name, "seconds": statistics.median(taken), "ratio": ratio(taken, seconds["import"])}
            for name, taken in seconds.items()]


def _commands(script: str, name: str, picture: str, folder: str, *flags: str) -> dict[str, Callable[[], object]]:
    file, shown = (os.path.join(folder, f"{name}.{suffix}") for suffix in ("tfci", "png"))
    return {f"{name} {command}": functools.partial(_run, (sys.executable, f"{script}.py", command, *names, *flags))
            for command, *names in (("compress", picture, file), ("decompress", file, shown))}


def _run(line: tuple[str, ...]) -> None:
    subprocess.run(line, check=True, capture_output=True, env={**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"})
