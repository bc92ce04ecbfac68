"""Paired timing: what is compared takes turns, so that a noisy machine disturbs all alike."""

from __future__ import annotations

import functools
import statistics
import time
from collections.abc import Mapping
from typing import Callable


def in_turns(works: Mapping[str, Callable[[], object]], rounds: int) -> dict[str, list[float]]:
    """Seconds of each work in each round; one round before is not counted."""
    return told_in_turns({name: functools.partial(timed, work) for name, work in works.items()}, rounds)


def told_in_turns(works: Mapping[str, Callable[[], float]], rounds: int, before: int = 1) -> dict[str, list[float]]:
    """As `in_turns`, of works that tell their seconds themselves; before: rounds that are not counted."""
    seconds: dict[str, list[float]] = {name: [] for name in works}
    for number in range(before + rounds):
        for name, work in works.items():
            taken = work()
            if number >= before:
                seconds[name].append(taken)
    return seconds


def timed(work: Callable[[], object]) -> float:
    """Seconds of a work."""
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def ratio(slow: list[float], fast: list[float]) -> float:
    """How many times as fast: the median over the rounds."""
    return statistics.median(a / b for a, b in zip(slow, fast))
