"""What the portable arithmetic costs: warm compress and decompress, portable against float32, in one process.

    python -m tools.price res/eval/kodim23.png                    # the bundled models
    python -m tools.price res/eval/kodim23.png --preset small     # a preset of each script that has it, random weights

Runs alternate, and the ratio is the median of the ratios of neighbouring runs: machines are noisy.
"""

from __future__ import annotations

import argparse
import functools
import statistics

import config
from lic import environment
from tools.bench.timing import in_turns, ratio


def codecs_of(script: str, preset: str | None) -> dict:
    """The same weights under both arithmetics."""
    import lic
    from lic import loading, registry
    from lic.arithmetic import ARITHMETICS
    if not preset:
        return {name: lic.load(script, arithmetic=name) for name in ARITHMETICS}
    coders = {}
    for name, arithmetic in ARITHMETICS.items():
        model = registry.build(script, registry.preset(script, preset), arithmetic=arithmetic)
        model.freeze()
        coders[name] = loading.from_model(model, script, bytes(4), config.Runtime(arithmetic=name))
    return coders


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


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("picture")
    parser.add_argument("--scripts", nargs="+", default=list(config.PRESETS), choices=config.PRESETS)
    parser.add_argument("--preset")
    parser.add_argument("--runs", type=int, default=7)
    a = parser.parse_args()
    environment.prepare()
    from lic import images
    pixels = images.read(a.picture).pixels
    print("| model | command | portable | float32 | ratio |\n|---|---|---|---|---|")
    for script in a.scripts:
        for command, (portable, float32, times) in prices(codecs_of(script, a.preset), pixels, a.runs).items():
            print(f"| {script} {a.preset or 'nano'} | {command} | {portable:.3f} s | {float32:.3f} s | {times:.2f} |",
                  flush=True)


if __name__ == "__main__":
    main()
