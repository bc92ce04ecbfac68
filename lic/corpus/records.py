"""What is known of each file that was made: the memory of a run, from which another goes on.

A record is a small JSON file under `.corpus/` in the output folder, written after the file that it is about. It holds
for as long as its picture has the same size and date, the task is the same, and the file has its checksum.
"""

from __future__ import annotations

import hashlib
import json
from typing import Any, NamedTuple

from apache_beam.io.filesystems import FileSystems

from lic.corpus import storage
from lic.errors import DataError

FOLDER = ".corpus"


class Job(NamedTuple):
    """One input: its path, its name below the glob's folder, its bytes, and the second of its last change."""

    path: str
    key: str
    bytes: int
    modified: float


class Task(NamedTuple):
    """What is done to each input, apart from how.

    Attributes:
      out: the folder of the outputs.
      suffix: what an output's name has behind its input's.
      label: what a file hangs on beside its input (model, quality, what is measured): where it changes, all is done
        again.
    """

    out: str
    suffix: str
    label: str

    def target(self, job: Job) -> str:
        """The path of an input's output."""
        return FileSystems.join(self.out, *job.key.split("/")) + self.suffix

    def _record(self, job: Job) -> str:
        return FileSystems.join(self.out, FOLDER, *job.key.split("/")) + ".json"

    def keep(self, job: Job, data: bytes, facts: dict[str, Any]) -> dict[str, Any]:
        """Writes an output and then its record, which is returned. Raises DataError where that fails."""
        storage.write(self.target(job), data)
        record = {"path": job.key + self.suffix, **self._conditions(job), "bytes": len(data), "sha256": _sha256(data),
                  **facts}
        storage.write(self._record(job), json.dumps(record).encode())
        return record

    def done(self, job: Job) -> dict[str, Any] | None:
        """The record of an output that need not be made again, or None."""
        try:
            if not storage.exists(self._record(job)):
                return None
            record = json.loads(storage.read(self._record(job)))
            conditions = self._conditions(job)
            same = {name: record[name] for name in conditions} == conditions
            return record if same and _sha256(storage.read(self.target(job))) == record["sha256"] else None
        except (DataError, ValueError, KeyError, TypeError):   # gone, or broken
            return None

    def _conditions(self, job: Job) -> dict[str, Any]:
        return {"source": job.path, "source_bytes": job.bytes, "source_modified": job.modified, "task": self.label}


def _sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
