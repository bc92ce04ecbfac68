"""`python -m tools.bench PICTURE`: one table with ratios, and the same as JSON.

    python -m tools.bench res/eval/kodim23.png --out build/bench.json
    python -m tools.bench res/eval/kodim23.png --parts warm --models lsk2023:small hypmqw2022:elic
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
import tempfile
from importlib.metadata import version

import config
from lic import environment, files, images
from lic.errors import UserError
from lic.files import shown
from tools import command_line

PARTS = ("complexity", "ceiling", "stages", "warm", "cold", "many", "growth", "steps", "curves", "peers")


def main() -> None:
    parser = command_line.parser(__doc__, "bench")
    parser.add_argument("picture", metavar="PICTURE")
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=PARTS)
    parser.add_argument("--models", nargs="+", metavar="SCRIPT:PRESET", default=[f"{s}:nano" for s in config.PRESETS],
                        help="of stages, warm calls and steps (default: nano of each script)")
    parser.add_argument("--peer", metavar="PYTHON", help="a Python that has compressai, for the part peers")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--out", default=os.path.join("build", "bench.json"), metavar="FILE")
    a = parser.parse_args()
    environment.prepare()
    try:
        _measure(a)
    except UserError as error:
        parser.exit(error.exit_code, f"bench: {shown(str(error))}\n")


def _measure(a: argparse.Namespace) -> None:
    a.pixels = images.read(a.picture).pixels   # what is wrong with it is said before anything is measured
    _quiet()
    measured: dict = {}
    for part in (part for part in PARTS if part in a.parts and (part != "peers" or a.peer)):
        print(f"{part} ...", file=sys.stderr, flush=True)
        measured[part] = _MEASURES[part](a)
    report = {"machine": _machine(), "rounds": a.rounds, **measured}
    os.makedirs(os.path.dirname(a.out) or ".", exist_ok=True)
    files.write_atomically(a.out, (json.dumps(report, indent=2) + "\n").encode())
    print(_table(report))


def _named(model: str) -> tuple[str, str]:
    """SCRIPT:PRESET in its two parts."""
    script, _, preset = model.partition(":")
    return script, preset


def _quiet() -> None:
    import tensorflow as tf
    tf.get_logger().setLevel("ERROR")


def _machine() -> dict:
    return {"processor": platform.processor() or platform.machine(), "threads": os.cpu_count(),
            "python": platform.python_version(),
            **{name: version(name) for name in ("tensorflow", "tensorflow-compression", "numpy")}}


def _complexity(_) -> list[dict]:
    from lic import complexity, registry
    rows = []
    for script, presets in config.PRESETS.items():
        for name, preset in presets.items():
            model = registry.build(script, preset)
            kmacs = complexity.kmacs_per_pixel(model)
            rows.append({"work": f"{script} {name}", "parameters": complexity.parameters(model)[0],
                         "encode_kmacs": kmacs["encode"], "decode_kmacs": kmacs["decode"]})
    return rows


def _cold(a) -> list[dict]:
    from tools.bench import cold
    with tempfile.TemporaryDirectory() as folder:
        return cold.measure(a.picture, folder, a.rounds)


def _warm(a) -> list[dict]:
    from tools.bench import warm
    return [row for name in a.models for row in warm.measure(*_named(name), a.pixels, a.rounds)]


def _ceiling(_) -> dict:
    from tools.bench import ceiling
    return ceiling.measure()


def _stages(a) -> list[dict]:
    from tools.bench import ceiling, stages
    best = ceiling.measure()
    return [row for name in a.models for row in stages.measure(*_named(name), a.pixels, a.rounds, best)]


def _many(a) -> list[dict]:
    from tools.bench import many
    return many.measure("hypmqw2022", a.pixels, a.rounds)


def _steps(a) -> list[dict]:
    from tools.bench import steps
    return [row for name in a.models for row in steps.measure(*_named(name), 256, a.rounds)]


def _curves(a) -> list[dict]:
    from tools.bench import curves
    return curves.measure("hypmqw2022", "nano", a.pixels)


def _peers(a) -> list[dict]:
    from tools.bench import peers
    return peers.measure(a.peer, a.pixels, a.rounds)


def _growth(a) -> dict:
    from tools.bench import growth
    rows, fit = growth.measure("hypmqw2022", a.pixels, 1)
    return {"rows": rows, "fit": fit}


_MEASURES = {"complexity": _complexity, "ceiling": _ceiling, "stages": _stages, "warm": _warm, "cold": _cold,
             "many": _many, "growth": _growth, "steps": _steps, "curves": _curves, "peers": _peers}


def _table(report: dict) -> str:
    lines = [", ".join(f"{key} {value}" for key, value in report["machine"].items())]
    for row in report.get("complexity", ()):
        lines.append(f"{row['work']:52} {row['parameters']:>12,} parameters, encode {row['encode_kmacs']:7.1f}, "
                     f"decode {row['decode_kmacs']:7.1f} kMAC a pixel")
    for dtype, rate in report.get("ceiling", {}).items():
        lines.append(f"matrix product, {dtype:36} {rate:8.0f} GFLOP/s")
    for row in report.get("stages", ()):
        lines.append(f"{row['work']:52} {row['seconds']:8.3f} s, {row['gflops']:6.0f} GFLOP/s, "
                     f"{100 * row['of_ceiling']:3.0f} % of the best matrix product")
    for row in report.get("cold", ()):
        lines.append(f"{row['work']:52} {row['seconds']:8.2f} s, {row['ratio']:5.2f} times the import of TensorFlow")
    for part in ("warm", "many", "steps", "peers"):
        lines += [f"{row['work']:52} {row['seconds']:8.3f} s, {row['ratio']:5.2f} times as fast"
                  for row in report.get(part, ())]
    for row in report.get("curves", ()):
        lines.append(f"{row['work']:64} loss {row['last']:.3f}, {100 * row['apart']:.1f} % from the first on average")
    if "growth" in report:
        fit = report["growth"]["fit"]
        lines += [f"{row['work']:52} {row['seconds']:8.2f} s" for row in report["growth"]["rows"]]
        lines.append(f"fit: {fit['seconds']:.2f} s + {fit['seconds_a_megapixel']:.2f} s a megapixel, which explains "
                     f"{100 * fit['explained']:.1f} % of the variance")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
