"""The same architecture in PyTorch: CompressAI's ELIC beside ours, full size, random weights, in turns in one run."""

from __future__ import annotations

import functools
import os
import statistics
import subprocess
import tempfile
from pathlib import Path

import numpy as np

import config
from tools import random_model
from tools.bench.timing import ratio, timed, told_in_turns

PEER = "CompressAI"
WORKER = Path(__file__).with_name("peer_compressai.py")
SWITCHES = {"float32": config.Runtime(arithmetic="float32"),
            "float32, bfloat16 transforms": config.Runtime(arithmetic="float32", precision="bfloat16"),
            "portable": config.Runtime()}


class Peer:
    """The worker process; a context."""

    def __init__(self, python: str, pixels: np.ndarray):
        self._folder = tempfile.TemporaryDirectory()
        path = os.path.join(self._folder.name, "pixels.npy")
        np.save(path, pixels)
        self._process = subprocess.Popen([python, str(WORKER), path, str(os.cpu_count())], text=True,
                                         stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        self._answer()

    def seconds(self, command: str) -> float:
        """How long it took to do that once."""
        assert self._process.stdin
        print(command, file=self._process.stdin, flush=True)
        return float(self._answer())

    def _answer(self) -> str:
        assert self._process.stdout
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError("the peer ended: does its Python have compressai?")
        return line

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._process.kill()
        self._process.wait()
        self._folder.cleanup()


def measure(python: str, pixels: np.ndarray, rounds: int) -> list[dict]:
    """A row for each command and switch: median seconds, and how many times as fast as the peer.

    Args:
      python: an interpreter that has `compressai`.
      pixels: uint8 (h, w, 3), sides multiples of 64, which the peer needs.
    """
    with Peer(python, pixels) as peer:
        codecs = {name: random_model.codec("hypmqw2022", "elic-official", runtime)
                  for name, runtime in SWITCHES.items()}
        files = {name: codec.compress(pixels) for name, codec in codecs.items()}
        works = {"compress": {name: functools.partial(codec.compress, pixels) for name, codec in codecs.items()},
                 "decompress": {name: functools.partial(codec.decompress, files[name])
                                for name, codec in codecs.items()}}
        return [row for command, ours in works.items() for row in _rows(command, peer, ours, rounds)]


def _rows(command: str, peer: Peer, ours: dict, rounds: int) -> list[dict]:
    seconds = told_in_turns({PEER: functools.partial(peer.seconds, command),
                             **{name: functools.partial(timed, work) for name, work in ours.items()}}, rounds)
    return [{"work": f"elic-official {command}, {name}", "seconds": statistics.median(taken),
             "ratio": ratio(seconds[PEER], taken)} for name, taken in seconds.items()]
