"""Bars of what takes long; none where standard error is no terminal."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Callable

from lic.cli.stopwatch import Stopwatch

Progress = Callable[[Iterable], Iterable]   # wraps steps, as tqdm does
Bar = Callable[[str], Progress]              # of steps of that name


def bar(what: str) -> Progress:
    """A bar over the tiles of a picture that has several, or over steps of refinement."""
    from tqdm import tqdm

    def of(steps):
        return tqdm(steps, desc=what, unit="step", leave=False, disable=len(steps) < 2 or not sys.stderr.isatty())

    return of


def over_files(jobs: Sequence):
    """A bar over jobs, where there are several."""
    from tqdm import tqdm
    return tqdm(jobs, unit="file", disable=len(jobs) < 2 or not sys.stderr.isatty())


def counter(total: int):
    """A bar over the files of an evaluation."""
    from tqdm import tqdm
    return tqdm(total=total, unit="file", disable=not sys.stderr.isatty())


@contextmanager
def stage(watch: Stopwatch, name: str) -> Iterator[None]:
    """A stage of long work, timed; on a terminal its name stands there as long as it takes."""
    from tqdm import tqdm
    with watch(name), tqdm(desc=name, bar_format="{desc} ...", leave=False, disable=not sys.stderr.isatty()):
        yield
