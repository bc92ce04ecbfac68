"""What the portable arithmetic costs: warm compress and decompress, portable against float32, in one process.

    python -m tools.price res/eval/kodim23.png                    # the bundled models
    python -m tools.price res/eval/kodim23.png --preset small     # a preset of each script that has it, random weights

Runs alternate, and the ratio is the median of the ratios of neighbouring runs: machines are noisy.
"""

from __future__ import annotations

import argparse
import functools
import statistics
from collections.abc import Sequence

import config
import lic
from lic import environment, images
from tools import command_line, random_model
from tools.bench.timing import in_turns, ratio


def codecs_of(script: str, preset: str | None) -> dict:
    """The same weights under both arithmetics."""
    names = config.CHOICES["arithmetic"]
    if not preset:
        return {name: lic.load(script, arithmetic=name) for name in names}
    return {name: random_model.codec(script, preset, config.Runtime(arithmetic=name)) for name in names}


def prices(coders: dict, pixels, runs: int) -> dict[str, tuple[float, float, float]]:
    """Of each command: median seconds of portable and of float32, and how many times as long the first takes."""
    files = {name: coder.compress_pixels(pixels, tile=0) for name, coder in coders.items()}
    works = {"compress": {name: functools.partial(coder.compress_pixels, pixels, tile=0)
                          for name, coder in coders.items()},
             "decompress": {name: functools.partial(coder.decompress, files[name]) for name, coder in coders.items()}}
    return {command: _price(in_turns(of, runs)) for command, of in works.items()}


def _price(seconds: dict[str, list[float]]) -> tuple[float, float, float]:
    portable, float32 = seconds["portable"], seconds["float32"]
    return statistics.median(portable), statistics.median(float32), ratio(portable, float32)


def arguments(words: Sequence[str] | None = None) -> argparse.Namespace:
    """The command line."""
    parser = command_line.parser(__doc__, "price")
    parser.add_argument("picture")
    parser.add_argument("--scripts", nargs="+", default=list(config.PRESETS), choices=config.PRESETS)
    parser.add_argument("--preset")
    parser.add_argument("--runs", type=int, default=7)
    return parser.parse_args(words)


def tell(a: argparse.Namespace) -> None:
    """Prints the table. Raises UserErrors."""
    pixels = images.read(a.picture).pixels
    scripts = random_model.scripts_with(a.preset, a.scripts) if a.preset else a.scripts
    print("| model | command | portable | float32 | ratio |\n|---|---|---|---|---|")
    for script in scripts:
        for command, (portable, float32, times) in prices(codecs_of(script, a.preset), pixels, a.runs).items():
            print(f"| {script} {a.preset or 'nano'} | {command} | {portable:.3f} s | {float32:.3f} s | {times:.2f} |",
                  flush=True)


def main(words: Sequence[str] | None = None) -> None:
    a = arguments(words)
    environment.prepare()
    with command_line.told_in_a_line("price"):
        tell(a)


if __name__ == "__main__":
    main()
