"""A folder of pictures: several side by side, as the command line does it, beside one after another."""

from __future__ import annotations

import functools
import os
import statistics
import tempfile

import numpy as np

from lic import cli, images, overlap
from tools.bench.timing import in_turns, ratio

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
    line = cli.parser_of(script).parse_args([command, *names, "--out", out])
    ways = {"one after another": 1, "side by side": min(COUNT, os.cpu_count() or 1)}
    seconds = in_turns({way: functools.partial(_run, script, line, workers) for way, workers in ways.items()}, rounds)
    return [{"work": f"{script} {command} {COUNT} pictures, {way}", "seconds": statistics.median(taken),
             "ratio": ratio(seconds["one after another"], taken)} for way, taken in seconds.items()]


def _run(script: str, line, workers: int) -> None:
    before, overlap.workers_for = overlap.workers_for, lambda jobs: workers
    try:
        if code := cli.run(script, line):
            raise RuntimeError(f"exit code {code}")
    finally:
        overlap.workers_for = before
