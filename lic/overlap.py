"""Several files at once: while one is read or written, another is computed.

Where jobs are many and small each has a core for itself, which wastes less than all cores on each: it takes two
thirds to three quarters of the time.

Gotchas:
* What is done ahead is held in memory: `Room` lets a job that needs much wait for others to end.
* Whoever breaks off (an error, Ctrl-C) waits for the jobs under way; `Stop` ends those at their next step.
"""

from __future__ import annotations

import collections
import functools
import os
import threading
from collections.abc import Generator, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Callable, TypeVar

Outcome = TypeVar("Outcome")
Job = TypeVar("Job")
_SAMPLE = 64   # of jobs that are looked at beforehand


def workers_for(jobs: Sequence) -> int:
    """How many jobs go side by side on this machine; 1 for a single one."""
    return min(len(jobs), (os.cpu_count() or 1) + 1)   # while one reads or writes, the others keep the cores busy


def sample(jobs: Sequence[Job], most: int = _SAMPLE) -> list[Job]:
    """At most so many of the jobs, spread evenly."""
    count = min(len(jobs), most)
    return [jobs[i * len(jobs) // count] for i in range(count)]


def have_a_core_each(jobs: int, needs: Iterable[float | None], size: float) -> bool:
    """Whether so many jobs keep every core busy with one of its own.

    Args:
      needs: bytes of memory that some of them take, None where nobody knows; not looked at where the jobs are few.
      size: that all have together.
    """
    workers = os.cpu_count() or 1
    if jobs < 2 * workers:
        return False
    known = [need for need in needs if need is not None]
    return bool(known) and workers * max(known) <= size


def outcomes(work: Callable[..., Outcome], jobs: Sequence[tuple], workers: int, stop: Stop
             ) -> Generator[Callable[[], Outcome], None, None]:
    """For each job, in order, a function that returns what `work(*job)` gave, or raises what it raised.

    Args:
      workers: threads; with 1 a job is done when its function is called, in the calling thread.
      stop: what the jobs heed; set where the iteration is left early.
    """
    if workers <= 1:
        yield from (functools.partial(work, *job) for job in jobs)
        return
    pool, ahead = ThreadPoolExecutor(workers), collections.deque()   # type: ignore[var-annotated]
    try:
        for job in jobs:
            if len(ahead) > workers:   # one more than are worked on
                yield ahead.popleft().result
            ahead.append(pool.submit(work, *job))
        while ahead:
            yield ahead.popleft().result
    finally:
        stop.set()   # of no meaning where all are done
        pool.shutdown(cancel_futures=True)


class Stopped(Exception):
    """A job that was told to end."""


class Stop(threading.Event):
    """Tells jobs to end."""

    def heed(self, steps: Iterable) -> Iterator:
        """The steps, until it is set; raises Stopped then."""
        for step in steps:
            if self.is_set():
                raise Stopped
            yield step


class Room:
    """Bytes of memory that jobs share; one that needs more than there is has them for itself."""

    def __init__(self, size: float):
        self._size, self._taken, self._changed = size, 0.0, threading.Condition()

    @contextmanager
    def of(self, size: float) -> Iterator[None]:
        """Waits until so much is free, and takes it."""
        size = min(size, self._size)
        with self._changed:
            self._changed.wait_for(lambda: self._taken + size <= self._size)
            self._taken += size
        try:
            yield
        finally:
            with self._changed:
                self._taken -= size
                self._changed.notify_all()
