"""A run: so many mutants of a seed, each to its decoder, and what became of them.

Gotcha: some mutants are sound files of another picture: one whole tile in the place of another, a side that is longer
by a pixel. A picture out of such a file can't be called wrong; it is counted as "another".
"""

from __future__ import annotations

import queue
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import NamedTuple

from lic import bitstream
from lic.errors import DataError
from tools.fuzz.mutators import Mutant, mutant
from tools.fuzz.supervisor import LIMITS, Ending, Limits, Opener, Supervisor

BAD = ("WRONG", "crashed", "slow", "memory")
GOOD = ("refused", "right", "another")


class Finding(NamedTuple):
    """A mutant and what its decoder made of it; `verdict` is one of GOOD or BAD."""

    number: int
    decoder: str
    mutant: Mutant
    verdict: str
    ending: Ending


def run(opener: Opener, files: Mapping[str, Sequence[bytes]], numbers: Sequence[int], seed: int = 0, workers: int = 2,
        limits: Limits = LIMITS) -> Iterator[Finding]:
    """Findings in the order of their numbers.

    Args:
      opener: of the decoders, see `Supervisor`.
      files: the sound files of each decoder; decoders take turns.
      numbers: of the mutants.
    """
    free: queue.Queue[Supervisor] = queue.Queue()
    supervisors = [Supervisor(opener, limits) for _ in range(workers)]
    for supervisor in supervisors:
        free.put(supervisor)
    try:
        right = {name: [_sound(supervisors[0], name, data) for data in files[name]] for name in files}
        with ThreadPoolExecutor(workers) as pool:
            yield from pool.map(partial(_one, free, files, right, seed), numbers)
    finally:
        for supervisor in supervisors:
            supervisor.stop()


def _sound(supervisor: Supervisor, name: str, data: bytes) -> str:
    ending = supervisor.decode(name, data)
    if ending.verdict != "picture":
        raise DataError(f"{name} does not decode a sound file ({ending.verdict}): {ending.said}")
    return ending.picture


def _one(free, files, right, seed: int, number: int) -> Finding:
    names = list(files)
    name = names[number * 7919 % 100003 % len(names)]  # not in step with the kinds
    broken = mutant(seed, number, files[name])
    supervisor = free.get()
    try:
        ending = supervisor.decode(name, broken.data)
    finally:
        free.put(supervisor)
    return Finding(number, name, broken, _verdict(ending, broken, files[name], right[name]), ending)


def _verdict(ending: Ending, broken: Mutant, files: Sequence[bytes], right: Sequence[str]) -> str:
    if ending.verdict != "picture":
        return ending.verdict
    if ending.picture in right:
        return "right"
    return "another" if is_sound(broken.data, files) else "WRONG"


def is_sound(data: bytes, files: Sequence[bytes]) -> bool:
    """Whether each record stands in a sound file, too."""
    known = {record for file in files for record in bitstream.parse(file)[1]}
    try:
        return known.issuperset(bitstream.parse(data)[1])
    except DataError:
        return False


def keep(finding: Finding, folder: Path, seed: int) -> Path:
    """Writes the file of a finding, under a name that says how it came about."""
    kind = finding.mutant.kind.replace(", ", "-").replace(" ", "_")
    decoder = finding.decoder.replace(":", "-").replace("/", "_")
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"seed{seed}-{finding.number}-{kind}-{decoder}-{finding.verdict}.tfci"
    path.write_bytes(finding.mutant.data)
    return path
