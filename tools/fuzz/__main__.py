"""Breaks files in every way that it knows and holds the decoders to it: `python -m tools.fuzz`, or `make fuzz`.

Each mutant has to end, within the limits of time and memory, with the right picture or with one clear line. It is
made from the seed and its number alone, so `--seed S --first N --mutants 1` makes it again. What fails is kept.
"""

from __future__ import annotations

import argparse
import multiprocessing
import sys
import tempfile
from contextlib import suppress
from functools import partial
from pathlib import Path

from tqdm import tqdm

import config
from tools.fuzz import campaign, decoders
from tools.fuzz.report import Tally
from tools.fuzz.supervisor import LIMITS, Limits

SCRIPTS = tuple(config.PRESETS)


def arguments(argv: list[str] | None = None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m tools.fuzz", description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--mutants", type=int, default=20000, help="how many (%(default)s)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--first", type=int, default=0, help="number of the first one")
    parser.add_argument("--models", nargs="+", default=[*SCRIPTS, *(f"{script}-tiny" for script in SCRIPTS)],
                        help="scripts (bundled models), scripts with -tiny behind them (random weights), folders")
    parser.add_argument("--workers", type=int, default=2, help="decoder processes (%(default)s)")
    parser.add_argument("--seconds", type=float, default=LIMITS.seconds, help="limit a mutant (%(default)s)")
    parser.add_argument("--mebibytes", type=float, default=LIMITS.mebibytes, help="limit a mutant (%(default)s)")
    parser.add_argument("--keep", type=Path, default=Path("build/fuzz"), help="where failing files go (%(default)s)")
    return parser.parse_args(argv)


def fuzz(a: argparse.Namespace) -> Tally:
    """Runs it, with a progress bar."""
    tally = Tally()
    with tempfile.TemporaryDirectory() as folder:
        files = _prepared(folder, a.models)
        numbers = range(a.first, a.first + a.mutants)
        findings = campaign.run(partial(decoders.opener, folder), files, numbers, a.seed, a.workers,
                                Limits(a.seconds, a.mebibytes))
        with suppress(KeyboardInterrupt):  # the tables of what was done until then
            for finding in tqdm(findings, "mutants", a.mutants):
                tally.add(finding)
                if finding.verdict in campaign.BAD:
                    path = campaign.keep(finding, a.keep, a.seed)
                    tqdm.write(f"{finding.verdict} in {finding.decoder}: {path}: {finding.ending.said}", sys.stderr)
    return tally


def _prepared(folder: str, models: list[str]) -> dict[str, list[bytes]]:
    """The sound files of each decoder."""
    process = multiprocessing.get_context("spawn").Process(target=decoders.prepare, args=(folder, models))
    process.start()
    process.join()
    if process.exitcode:
        sys.exit("the models can't be made ready")
    files = {name: decoders.originals(folder, model) for model in models for name in (model, decoders.EXPORT + model)}
    return {decoders.PARSE: decoders.originals(folder, models[0]), **files}


def main(argv: list[str] | None = None) -> int:
    """0 if every mutant was tried and ended well."""
    a = arguments(argv)
    tally = fuzz(a)
    print(tally.text())
    return 1 if tally.failures or tally.total < a.mutants else 0


if __name__ == "__main__":
    sys.exit(main())
