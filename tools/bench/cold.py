"""Whole processes, from their start to the file written, beside the import of TensorFlow alone."""

from __future__ import annotations

import functools
import os
import statistics
import subprocess
import sys

import config
from tools.bench.timing import in_turns, ratio

IMPORT = (sys.executable, "-c", "import tensorflow, tensorflow_compression")


def measure(picture: str, folder: str, rounds: int) -> list[dict]:
    """A row for each bundled model and command: median seconds, and the median ratio to the import."""
    works = {"import": functools.partial(_run, IMPORT)}
    for script in config.PRESETS:
        file, shown = (os.path.join(folder, f"{script}.{suffix}") for suffix in ("tfci", "png"))
        for command, *names in (("compress", picture, file), ("decompress", file, shown)):
            works[f"{script} {command}"] = functools.partial(_run, (sys.executable, f"{script}.py", command, *names))
    seconds = in_turns(works, rounds)
    return [{"work": name, "seconds": statistics.median(taken), "ratio": ratio(taken, seconds["import"])}
            for name, taken in seconds.items()]


def _run(line: tuple[str, ...]) -> None:
    subprocess.run(line, check=True, capture_output=True, env={**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"})
