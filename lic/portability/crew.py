"""Runs a job in a process under each configuration. What they tell each other goes through files in one folder.

    FOLDER/pictures/KEY.npy                     uint8 (h, w, 3)
    FOLDER/jobs/ACTION-CONFIGURATION.json       the job; beside it .result.json, .progress (a dot a step), .errors
    FOLDER/MODEL/ARITHMETIC/files/SHA.tfci      every distinct file once, named by its SHA-256
    FOLDER/MODEL/ARITHMETIC/pixels/SHA.npy      one decoding of it, whichever came first
    FOLDER/MODEL/ARITHMETIC/CONFIGURATION/SHA.npz   how the decoding of a configuration differs from that one
"""

from __future__ import annotations

import dataclasses
import json
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from tqdm import tqdm

from lic.portability.configurations import Configuration

PATIENCE = 1800.0    # seconds without a step after which a process counts as hung; XLA compiles for minutes
_COMMAND = (sys.executable, "-m", "lic.portability", "--worker")
ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))


class Crew:
    """The processes of a run.

    Args:
      folder: an empty one, in which they talk.
      pictures: keys of what lies in `pictures`.
      models: keys of the models and what `lic.load` takes for them.
      arithmetics: as in `--arithmetic`.
      at_once: how many processes run at a time.

    Attributes:
      failures: one line for each process that did not end well.
    """

    def __init__(self, folder: str, pictures: Sequence[str], models: dict[str, str], arithmetics: Sequence[str],
                 at_once: int = 1):
        self.folder, self.pictures, self.models, self.arithmetics = folder, pictures, models, arithmetics
        self.at_once, self.failures = at_once, []
        os.makedirs(os.path.join(folder, "jobs"), exist_ok=True)

    def run(self, action: str, configurations: Sequence[Configuration], steps: int) -> dict[str, Any]:
        """What each configuration answers, by its name; those that failed are left out and stand in `failures`.

        Args:
          action: a function of `lic.portability.worker` or `lic.portability.probing`.
          steps: how many a process is expected to take, for the bar.
        """
        total = steps * len(configurations)
        with tqdm(total=total, desc=action, mininterval=1) as bar, ThreadPoolExecutor(self.at_once) as pool:
            results = list(pool.map(lambda c: self._one(action, c, bar), configurations))
        return {c.name: result for c, result in zip(configurations, results) if result is not None}

    def _one(self, action: str, configuration: Configuration, bar: tqdm) -> Any:
        stem = os.path.join(self.folder, "jobs", f"{action}-{configuration.name}")
        job = {"action": action, "configuration": dataclasses.asdict(configuration), "folder": self.folder,
               "pictures": list(self.pictures), "models": self.models, "arithmetics": list(self.arithmetics)}
        with open(f"{stem}.json", "w", encoding="utf-8") as file:
            json.dump(job, file)
        said = self._watch(stem, configuration.variables(), bar)
        if said is None:
            with open(f"{stem}.result.json", encoding="utf-8") as file:
                return json.load(file)
        self.failures.append(f"configuration '{configuration.name}' failed to {action}: {said}")
        tqdm.write(self.failures[-1], file=sys.stderr)
        return None

    def _watch(self, stem: str, variables: dict[str, str], bar: tqdm) -> str | None:
        """Runs a worker to its end; None, or what is wrong."""
        with open(f"{stem}.progress", "wb") as progress, open(f"{stem}.errors", "wb") as errors:
            process = subprocess.Popen([*_COMMAND, f"{stem}.json"], stdout=progress, stderr=errors, env=variables,
                                       cwd=ROOT)
            try:
                hung = _follow(process, f"{stem}.progress", bar)
            finally:
                process.kill()    # does nothing where it has ended
                process.wait()
        if hung:
            return f"no step in {PATIENCE:g} seconds"
        if process.returncode:
            return f"exit code {process.returncode}: {_last_line(f'{stem}.errors')}"
        return None if os.path.isfile(f"{stem}.result.json") else "it left no result"


def _follow(process: subprocess.Popen, path: str, bar: tqdm) -> bool:
    """Moves the bar with a process; whether it hung."""
    seen, last = 0, time.monotonic()
    while process.poll() is None and time.monotonic() - last < PATIENCE:
        time.sleep(0.2)
        now = os.path.getsize(path)
        if now > seen:
            bar.update(now - seen)
            seen, last = now, time.monotonic()
    return process.poll() is None


def _last_line(path: str) -> str:
    with open(path, encoding="utf-8", errors="replace") as file:
        lines = [line.strip() for line in file if line.strip()]
    return lines[-1] if lines else "it said nothing"
