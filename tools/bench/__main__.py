"""`python -m tools.bench PICTURE`: one table with ratios, and the same as JSON.

    python -m tools.bench res/eval/kodim23.png --out build/bench.json
    python -m tools.bench res/eval/kodim23.png --parts warm --models lsk2023:small hypmqw2022:elic
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import tempfile
from importlib.metadata import version

import config
from lic import files

PARTS = ("complexity", "cold", "warm", "growth")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("picture", metavar="PICTURE")
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=PARTS)
    parser.add_argument("--models", nargs="+", metavar="SCRIPT:PRESET", default=[f"{s}:nano" for s in config.PRESETS],
                        help="of warm calls (default: nano of each script)")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--out", default=os.path.join("build", "bench.json"), metavar="FILE")
    a = parser.parse_args()
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    measured = {part: _MEASURES[part](a) for part in PARTS if part in a.parts}
    report = {"machine": _machine(), "rounds": a.rounds, **measured}
    os.makedirs(os.path.dirname(a.out) or ".", exist_ok=True)
    files.write_atomically(a.out, (json.dumps(report, indent=2) + "\n").encode())
    print(_table(report))


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
    from lic import images
    from tools.bench import warm
    pixels = images.read(a.picture).pixels
    models = (name.split(":") for name in a.models)
    return [row for script, preset in models for row in warm.measure(script, preset, pixels, a.rounds)]


def _growth(a) -> dict:
    from lic import images
    from tools.bench import growth
    rows, fit = growth.measure("hypmqw2022", images.read(a.picture).pixels, 1)
    return {"rows": rows, "fit": fit}


_MEASURES = {"complexity": _complexity, "cold": _cold, "warm": _warm, "growth": _growth}


def _table(report: dict) -> str:
    lines = [", ".join(f"{key} {value}" for key, value in report["machine"].items())]
    for row in report.get("complexity", ()):
        lines.append(f"{row['work']:52} {row['parameters']:>12,} parameters, encode {row['encode_kmacs']:7.1f}, "
                     f"decode {row['decode_kmacs']:7.1f} kMAC a pixel")
    for row in report.get("cold", ()):
        lines.append(f"{row['work']:52} {row['seconds']:8.2f} s, {row['ratio']:5.2f} times the import of TensorFlow")
    for row in report.get("warm", ()):
        lines.append(f"{row['work']:52} {row['seconds']:8.3f} s, {row['ratio']:5.2f} times as fast")
    if "growth" in report:
        fit = report["growth"]["fit"]
        lines += [f"{row['work']:52} {row['seconds']:8.2f} s" for row in report["growth"]["rows"]]
        lines.append(f"fit: {fit['seconds']:.2f} s + {fit['seconds_a_megapixel']:.2f} s a megapixel, which explains "
                     f"{100 * fit['explained']:.1f} % of the variance")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
