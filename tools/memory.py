"""Measures what a preset's coding takes of memory: the `bytes_per_pixel` of `config.Preset`.

    python -m tools.memory lsk2023 small      # one preset
    python -m tools.memory                    # all of them, each in a process of its own

Peak resident memory while a picture of SIDE x SIDE is compressed and decompressed in one piece, less what the model
took before, for each pixel. The picture is noise under random weights, which takes the same tensors as any other.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from collections.abc import Sequence

import numpy as np

import config
from lic import environment
from tools import command_line, random_model

SIDE = 768


def peak() -> int:
    """Peak resident memory of this process in bytes."""
    with open("/proc/self/status", encoding="ascii") as file:
        return next(int(line.split()[1]) * 1024 for line in file if line.startswith("VmHWM:"))


def measure(script: str, preset: str) -> float:
    """Bytes a pixel."""
    coder = random_model.codec(script, preset, config.Runtime())
    before = peak()
    pixels = np.random.default_rng(0).integers(0, 256, (SIDE, SIDE, 3)).astype(np.uint8)
    coder.decompress(coder.compress_pixels(pixels, tile=0))
    return (peak() - before) / SIDE ** 2


def arguments(words: Sequence[str] | None = None) -> argparse.Namespace:
    """The command line."""
    parser = command_line.parser(__doc__, "memory")
    parser.add_argument("script", nargs="?", choices=config.PRESETS)
    parser.add_argument("preset", nargs="?")
    return parser.parse_args(words)


def main(words: Sequence[str] | None = None) -> None:
    a = arguments(words)
    environment.prepare()
    if a.preset:
        with command_line.told_in_a_line("memory"):
            print(f"{a.script} {a.preset}: {measure(a.script, a.preset):.0f}")
        return
    for script in [a.script] if a.script else config.PRESETS:
        for preset in config.PRESETS[script]:
            subprocess.run([sys.executable, "-m", "tools.memory", script, preset], check=True)


if __name__ == "__main__":
    main()
