"""The command line: every configuration makes files, every other one decodes them, and one report says what came of it.

Exit codes: 0 done, 1 a file of the portable arithmetic did not decode everywhere or a process failed, 2 misuse.
"""

from __future__ import annotations

import argparse
import dataclasses
import glob
import importlib.metadata
import json
import os
import platform
import sys
import tempfile
from collections.abc import Sequence

import numpy as np

import config
from lic import files, images, resources
from lic.arithmetic import CLOSER
from lic.cli.one_line import InOneLine
from lic.errors import UsageError, UserError
from lic.portability import figures, report
from lic.portability.configurations import CONFIGURATIONS, chosen
from lic.portability.crew import ROOT, Crew

SAMPLES = os.path.join(ROOT, "res", "eval", "kodim[0-9][0-9].png")    # those without a model's name behind
FLAGS = ("avx2", "avx512f", "avx512_bf16", "amx_tile")
PROBED = 4      # pictures of which deviations are measured


class _Parser(InOneLine, argparse.ArgumentParser):
    name = "portability"


def parser() -> argparse.ArgumentParser:
    """All flags."""
    p = _Parser(
        prog="python -m lic.portability", formatter_class=argparse.RawDescriptionHelpFormatter, description=__doc__,
        epilog="configurations: " + ", ".join(c.name for c in CONFIGURATIONS))
    p.add_argument("pictures", nargs="*", help="pictures or globs in quotes (default: the two of res/eval)")
    p.add_argument("--models", nargs="+", default=list(config.PRESETS), metavar="MODEL",
                   help="names of bundled models, or folders (default: all bundled ones)")
    p.add_argument("--arithmetic", nargs="+", default=list(config.CHOICES["arithmetic"]), metavar="NAME",
                   choices=config.CHOICES["arithmetic"], help="portable, float32 (default: both)")
    p.add_argument("--configurations", nargs="+", metavar="NAME", help="(default: all)")
    p.add_argument("--deviation", action="store_true",
                   help=f"also measure how far predictions lie apart before they are rounded, on {PROBED} pictures")
    p.add_argument("--rate", action="store_true", help="also measure what each way of rounding costs in bytes")
    p.add_argument("--skip_pairs", action="store_true", help="only what --deviation and --rate ask for")
    p.add_argument("--jobs", type=int, default=1, help="processes at a time (default: 1)")
    p.add_argument("--out", default="build/portability", help="folder of portability.json (default: %(default)s)")
    p.add_argument("--worker", metavar="JOB", help=argparse.SUPPRESS)
    return p


def measure(a: argparse.Namespace) -> dict:
    """The whole report."""
    configurations, models = chosen(a.configurations), _models(a.models)
    paths = _paths(a.pictures)
    with tempfile.TemporaryDirectory(prefix="portability-") as folder:
        keys = _store_pictures(folder, paths)
        crew = Crew(folder, keys, models, a.arithmetic, max(a.jobs, 1))
        described = [{**dataclasses.asdict(c), "same_as": "not compared"} for c in configurations]
        result: dict = {"pictures": [os.path.basename(p) for p in paths], "versions": _versions(),
                        "machine": _machine(), "configurations": described}
        if not a.skip_pairs:
            result["pairs"] = _pairs(crew, configurations, described)
        if a.deviation:
            result["deviation"] = _deviation(crew, configurations)
        if a.rate:
            result["rate"] = next(iter(crew.run("rate", configurations[:1], 4 * len(models) * len(keys)).values()), {})
        cells = [c["portable"] for c in result.get("pairs", {}).values() if "portable" in c]
        return {**result, "failures": crew.failures, "passed": not crew.failures and all(c["sound"] for c in cells)}


def _pairs(crew: Crew, configurations, described: list[dict]) -> dict:
    cases = [(m, arithmetic) for m in crew.models for arithmetic in crew.arithmetics]
    encoded = crew.run("encode", configurations, len(cases) * len(crew.pictures))
    stored = sum(len(glob.glob(os.path.join(crew.folder, *case, "files", "*"))) for case in cases)
    decoded = crew.run("decode", configurations, stored)
    same = figures.twins(crew.folder, encoded, decoded)
    for c in described:
        if c["name"] in same:
            c["same_as"] = same[c["name"]] if same[c["name"]] != c["name"] else ""
    result: dict = {model: {} for model in crew.models}
    for model, arithmetic in cases:
        made, verdicts = ({c: of[model][arithmetic] for c, of in answers.items()} for answers in (encoded, decoded))
        counted = figures.count(os.path.join(crew.folder, model, arithmetic), made, verdicts)
        result[model][arithmetic] = counted.as_dict()
    return result


def _deviation(crew: Crew, configurations) -> dict:
    inner = Crew(crew.folder, crew.pictures[:PROBED], crew.models, crew.arithmetics, crew.at_once)
    inner.failures = crew.failures
    able = [c for c in configurations if c.kind not in ("saved", "stored")]   # these can't be looked into
    steps = len(inner.pictures) * len(inner.models) * len(inner.arithmetics)
    if not inner.run("settle", able[:1], steps):
        return {}
    probed = inner.run("probe", able, steps)
    result: dict = {model: {arithmetic: {} for arithmetic in inner.arithmetics} for model in inner.models}
    for (arithmetic, kind), step in figures.STEPS.items():
        for model in inner.models if probed and arithmetic in inner.arithmetics else ():
            folder = os.path.join(inner.folder, model, arithmetic)
            margin = next(iter(probed.values()))[model][arithmetic] / (CLOSER if kind == "product" else 1)
            found = figures.deviation(folder, kind, step, list(probed), inner.pictures, margin)
            if found:
                result[model][arithmetic][kind] = dataclasses.asdict(found)
    return result


def _models(names: Sequence[str]) -> dict[str, str]:
    """What the report calls a model, and what `lic.load` takes for it from any folder."""
    found = {}
    for name in names:
        resources.locate(name)
        found[os.path.basename(os.path.normpath(name))] = resources.from_anywhere(name)
    return found


def _paths(patterns: Sequence[str]) -> list[str]:
    found = []
    for pattern in patterns or [SAMPLES]:
        matching = [pattern] if os.path.exists(pattern) else sorted(glob.glob(pattern, recursive=True))
        if not matching:
            raise UsageError(f"'{pattern}' matches no picture")
        found += matching
    return found


def _store_pictures(folder: str, paths: Sequence[str]) -> list[str]:
    """Keys; two pictures may have one name in different folders."""
    os.makedirs(os.path.join(folder, "pictures"))
    keys = [f"{i:04}" for i in range(len(paths))]
    for key, path in zip(keys, paths):
        np.save(os.path.join(folder, "pictures", f"{key}.npy"), images.read(path).pixels)
    return keys


def _versions() -> dict[str, str]:
    packages = ("tensorflow", "tensorflow-compression", "numpy")
    return {"python": platform.python_version(), **{p: importlib.metadata.version(p) for p in packages}}


def _machine() -> dict:
    """The kind of processor, and which of its instructions matter here."""
    said: dict[str, str] = {}
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as file:
            said = {k.strip(): v.strip() for k, _, v in (line.partition(":") for line in file)}
    except OSError:    # not Linux
        pass
    has = said.get("flags", "").split()
    return {"model": said.get("model name", platform.machine()), "cores": os.cpu_count(),
            "flags": [flag for flag in FLAGS if flag in has]}


def work(path: str) -> None:
    """What a worker does: the job in a file, whose result it leaves beside it. Only here TensorFlow is imported."""
    from lic.portability import probing, worker
    with open(path, encoding="utf-8") as file:
        job = json.load(file)
    actions = {"encode": worker.encode, "decode": worker.decode, "settle": probing.settle, "probe": probing.probe,
               "rate": probing.rate}
    result = actions[job["action"]](job)
    files.write_atomically(f"{os.path.splitext(path)[0]}.result.json", json.dumps(result).encode())


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command and returns its exit code."""
    a = parser().parse_args(arguments)
    try:
        if a.worker:
            work(a.worker)
            return 0
        result = measure(a)
        os.makedirs(a.out, exist_ok=True)
        files.write_atomically(os.path.join(a.out, "portability.json"), json.dumps(result, indent=1).encode())
        print(report.markdown(result))
        return 0 if result["passed"] else 1
    except UserError as error:
        print(f"portability: {files.shown(str(error))}", file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        print("portability: interrupted", file=sys.stderr)
        return 130


if __name__ == "__main__":
    sys.exit(main())
