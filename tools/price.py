"""What the portable arithmetic costs: warm compress and decompress, portable against float32, in one process.

    python -m tools.price res/eval/kodim23.png                    # the bundled models
    python -m tools.price res/eval/kodim23.png --preset small     # a preset of each script that has it, random weights

Runs alternate, and the ratio is the median of the ratios of neighbouring runs: machines are noisy.
"""

from __future__ import annotations

import argparse
import statistics
import time

import config
from lic import environment


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


def seconds(function, *arguments) -> float:
    start = time.perf_counter()
    function(*arguments)
    return time.perf_counter() - start


def prices(coders: dict, pixels, runs: int) -> dict[str, tuple[float, float, float]]:
    """Of each command: median seconds of portable and of float32, and the median ratio."""
    def compress(name):
        return coders[name].compress_pixels(pixels, tile=0)

    def decompress(name):
        return coders[name].decompress(files[name])

    files = {name: compress(name) for name in coders}
    return {command.__name__: _paired(command, runs) for command in (compress, decompress)}


def _paired(command, runs: int) -> tuple[float, float, float]:
    command("portable"), command("float32")   # warm
    pairs = [(seconds(command, "portable"), seconds(command, "float32")) for _ in range(runs)]
    portable, float32 = (statistics.median(column) for column in zip(*pairs))
    return portable, float32, statistics.median(a / b for a, b in pairs)


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
        for command, (portable, float32, ratio) in prices(codecs_of(script, a.preset), pixels, a.runs).items():
            print(f"| {script} {a.preset or 'nano'} | {command} | {portable:.3f} s | {float32:.3f} s | {ratio:.2f} |",
                  flush=True)


if __name__ == "__main__":
    main()
