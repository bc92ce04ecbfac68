"""A folder of pictures: several side by side, as the command line does it, beside one after another.

Each way is a process of its own, `python -m tools.bench.many`, for TensorFlow sets its threads once; it tells the
seconds that a second run takes.
"""

from __future__ import annotations

import functools
import os
import statistics
import subprocess
import sys
import tempfile

import numpy as np

from lic import cli, images, overlap
from tools.bench.timing import ratio, timed, told_in_turns

COUNT = 16


def measure(script: str, pixels: np.ndarray, rounds: int) -> list[dict]:
    """A row for each command and way: median seconds, and how many times as fast as one after another.

    Args:
      pixels: uint8 (h, w, 3), of which the pictures are shifted copies.
    """
    with tempfile.TemporaryDirectory() as folder:
        names = [os.path.join(folder, f"{number}.png") for number in range(COUNT)]
        for number, name in enumerate(names):
            images.write(name, np.ascontiguousarray(np.roll(pixels, 37 * number, (0, 1))))
        rows = _rows(script, "compress", names, os.path.join(folder, "files"), rounds)
        coded = [os.path.join(folder, "files", f"{number}.png.tfci") for number in range(COUNT)]
        return rows + _rows(script, "decompress", coded, os.path.join(folder, "shown"), rounds)


def _rows(script: str, command: str, names: list[str], out: str, rounds: int) -> list[dict]:
    ways = ("one after another", "side by side")
    seconds = told_in_turns({way: functools.partial(_in_process, script, way, command, *names, "--out", out)
                             for way in ways}, rounds, before=0)
    return [{"work": f"{script} {command} {COUNT} pictures, {way}", "seconds": statistics.median(taken),
             "ratio": ratio(seconds[ways[0]], taken)} for way, taken in seconds.items()]


def _in_process(script: str, way: str, *line: str) -> float:
    command = (sys.executable, "-m", "tools.bench.many", script, way, *line)
    return float(subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines()[-1])


def main(script: str, way: str, *line: str) -> None:
    """Runs a command line twice, and prints the seconds of the second time."""
    if way == "one after another":
        overlap.workers_for = lambda jobs: 1
        overlap.have_a_core_each = lambda *_: False
    run = functools.partial(cli.run, script, line)
    run()
    print(timed(run))


if __name__ == "__main__":
    main(*sys.argv[1:])
