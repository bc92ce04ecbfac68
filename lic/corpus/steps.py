"""The steps between the files and the handlers, as Beam knows them. Bad inputs leave by a side door, `FAILED`."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, Callable

import apache_beam as beam
from apache_beam.metrics import Metrics

from lic import bitstream, images
from lic.corpus import storage
from lic.corpus.handlers import Failed, Outcome
from lic.corpus.records import Job, Task
from lic.errors import DataError

DONE, FAILED = "done", "failed"
COUNTERS = "lic.corpus"   # the namespace of Beam's metrics

_HEAD = 1 << 16   # bytes that tell the size of nearly every picture
_PIXELS = 1 << 24   # of a batch, before they are decoded

Size = tuple[int, int]


def count(name: str, by: int = 1) -> None:
    """Counts what the run tells of at its end."""
    Metrics.counter(COUNTERS, name).inc(by)


def size_of_picture(path: str) -> Size:
    """Height and width as far as the first bytes tell; (0, 0) where they don't, which is no error yet."""
    return images.size_told_by(_start(path)) or (0, 0)


def size_of_file(path: str) -> Size:
    """The same for a .tfci file."""
    try:
        header = bitstream.head(_start(path))
        return header.height, header.width
    except DataError:
        return 0, 0


def _start(path: str) -> bytes:
    try:
        return storage.read(path, _HEAD)
    except DataError:   # comes again when all of it is read, and is told then
        return b""


def read_picture(path: str) -> Any:
    """uint8 (h, w, 3). Raises DataError."""
    return images.from_bytes(storage.read(path), path).pixels


class Survey(beam.DoFn):
    """A file's metadata -> (size, job); what was done before leaves by the door `DONE`, as its record."""

    def __init__(self, task: Task, base: str, size_of: Callable[[str], Size]):
        self._task, self._base, self._size_of = task, base, size_of

    def process(self, found) -> Iterator[Any]:
        key = found.path[len(self._base):].replace("\\", "/").lstrip("/")
        job = Job(found.path, key, found.size_in_bytes, found.last_updated_in_seconds)
        record = self._task.done(job)
        if record:
            count("done before")
            yield beam.pvalue.TaggedOutput(DONE, record)
        else:
            yield self._size_of(job.path), job


def batches(group: tuple[Size, Iterable[Job]], most: int) -> Iterator[list[Job]]:
    """Jobs of one size, at most so many at a time, and fewer where they are large."""
    (height, width), jobs = group
    most = max(1, min(most, _PIXELS // max(width * height, 1)))
    batch: list[Job] = []
    for job in jobs:
        batch.append(job)
        if len(batch) == most:
            yield batch
            batch = []
    if batch:
        yield batch


class Read(beam.DoFn):
    """Jobs -> (job, input) of each that can be read, as a batch."""

    def __init__(self, read: Callable[[str], Any]):
        self._read = read

    def process(self, jobs: list[Job]) -> Iterator[Any]:
        inputs = []
        for job in jobs:
            try:
                inputs.append((job, self._read(job.path)))
            except DataError as error:
                yield _failure(job, str(error))
        if inputs:
            yield inputs


class Keep(beam.DoFn):
    """(job, outcome) -> the record of what was written."""

    def __init__(self, task: Task):
        self._task = task

    def process(self, done: tuple[Job, Outcome]) -> Iterator[Any]:
        job, outcome = done
        if isinstance(outcome, Failed):
            yield _failure(job, outcome.reason)
            return
        try:
            record = self._task.keep(job, outcome.data, outcome.facts)
        except DataError as error:
            yield _failure(job, str(error))
            return
        count("written")
        count("bytes", len(outcome.data))
        count("pixels", record["width"] * record["height"])
        yield record


def _failure(job: Job, reason: str) -> beam.pvalue.TaggedOutput:
    count("failed")
    return beam.pvalue.TaggedOutput(FAILED, {"path": job.key, "source": job.path, "reason": reason})
