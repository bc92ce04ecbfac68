"""What tiles cost: bytes, quality, and the error beside their seams, against the same picture in one piece.

    python -m tools.tiles 'kodak/*.png' --sides 1024 512         # 2048 x 1536, put together from the pictures
    python -m tools.tiles 'kodak/*.png' --large --model small    # 6000 x 4000 instead: time and peak memory, of a
                                                                 # preset of each script that has it, random weights

A seam's error is the mean squared error of the 16 columns around it, over that of the same columns in one piece. The
pictures lie so that seams run through them, not between them.
"""

from __future__ import annotations

import argparse
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence

import numpy as np

import config
import lic
from lic import bitstream, environment, images, metrics
from lic.cli import paths
from tools import command_line, random_model

BESIDE = 8   # columns on each side of a seam


def mosaic(names: list[str], height: int, width: int) -> np.ndarray:
    """uint8 (height, width, 3) put together from pictures of the size of the first, over and over."""
    tiles = [images.read(name).pixels for name in names]
    tiles = [t for t in tiles if t.shape == tiles[0].shape]
    rows, columns = (-(-side // t) for side, t in zip((height, width), tiles[0].shape))
    grid = [[tiles[(r * columns + c) % len(tiles)] for c in range(columns)] for r in range(rows)]
    return np.ascontiguousarray(np.concatenate([np.concatenate(row, 1) for row in grid])[:height, :width])


def compare(coder, pixels: np.ndarray, sides: list[int]):
    """Yields (tile, bytes, dB, error beside vertical seams), each against the picture in one piece."""
    whole = coder.compress_pixels(pixels, tile=0)
    alone = coder.decompress(whole)
    for side in sides:
        data = coder.compress_pixels(pixels, tile=side)
        tile, restored = bitstream.parse(data)[0].tile, coder.decompress(data)
        if tile:
            yield (tile, len(data) / len(whole) - 1, metrics.psnr(pixels, restored) - metrics.psnr(pixels, alone),
                   _beside(pixels, restored, tile[1]) / _beside(pixels, alone, tile[1]))


def _beside(pixels: np.ndarray, restored: np.ndarray, width: int) -> float:
    """Mean squared error of the columns beside the seams of tiles of a width."""
    columns = [c for seam in range(width, pixels.shape[1], width) for c in range(seam - BESIDE, seam + BESIDE)]
    return float(np.mean((pixels[:, columns].astype(float) - restored[:, columns]) ** 2))


def measured(*command: str) -> tuple[float, float]:
    """Seconds and peak resident memory in GiB of a process (no smaller than of those before it)."""
    start = time.perf_counter()
    subprocess.run([sys.executable, *command], check=True)
    return time.perf_counter() - start, resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 2 ** 20


def large(script: str, preset: str | None, pixels: np.ndarray) -> None:
    """Prints seconds and memory of both commands, with the bundled model or with random weights of a preset."""
    with tempfile.TemporaryDirectory() as folder:
        picture, file, model = (os.path.join(folder, name) for name in ("a.png", "a.tfci", "model"))
        images.write(picture, pixels)
        if preset:
            random_model.save(script, preset, model)
        flags = ["--model_path", model] if preset else []
        for command in (("compress", picture, file), ("decompress", file, picture)):
            seconds, peak = measured(f"{script}.py", *command, *flags)
            print(f"| {script} {preset or 'nano'} | {command[0]} | {seconds:.0f} s | {peak:.2f} GiB |", flush=True)


def arguments(words: Sequence[str] | None = None) -> argparse.Namespace:
    """The command line."""
    parser = command_line.parser(__doc__, "tiles")
    parser.add_argument("pictures", nargs="+")
    parser.add_argument("--scripts", nargs="+", default=list(config.PRESETS), choices=config.PRESETS)
    parser.add_argument("--sides", nargs="+", type=int, default=[1024, 512])
    parser.add_argument("--large", action="store_true")
    parser.add_argument("--model", metavar="PRESET", help="with --large: random weights of a preset")
    return parser.parse_args(words)


def tell_large(a: argparse.Namespace) -> None:
    """Prints the table of 6000 x 4000. Raises UserErrors."""
    scripts = random_model.scripts_with(a.model, a.scripts) if a.model else a.scripts
    pixels = mosaic(sorted(paths.expanded(a.pictures)), 4000, 6000)
    print("| model | command | time | peak memory |\n|---|---|---|---|")
    for script in scripts:
        large(script, a.model, pixels)


def tell(a: argparse.Namespace) -> None:
    """Prints the table of 2048 x 1536. Raises UserErrors."""
    pixels = mosaic(sorted(paths.expanded(a.pictures)), 1536, 2048)
    print("| model | tile | bytes | PSNR | error beside seams |\n|---|---|---|---|---|")
    for script in a.scripts:
        for tile, extra, psnr, beside in compare(lic.load(script), pixels, a.sides):
            print(f"| {script} nano | {tile[1]} x {tile[0]} | {100 * extra:+.2f} % | {psnr:+.4f} dB | x {beside:.4f} |",
                  flush=True)


def main(words: Sequence[str] | None = None) -> None:
    a = arguments(words)
    environment.prepare()
    with command_line.told_in_a_line("tiles"):
        (tell_large if a.large else tell)(a)


if __name__ == "__main__":
    main()
