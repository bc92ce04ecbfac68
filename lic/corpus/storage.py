"""Bytes in and out of any place that Beam's file systems reach: folders, gs://, s3://, hdfs://, ...

What goes wrong becomes one line, of whatever file system. Gotcha: on an object store a file appears when it is closed,
elsewhere under its name only when it is whole; local files are written as `lic.files` writes them, which also sweeps
away what a killed process left.
"""

from __future__ import annotations

import contextlib
import os
import secrets
from collections.abc import Iterator, Sequence

from apache_beam.io.filesystem import BeamIOError, CompressionTypes
from apache_beam.io.filesystems import FileSystems

from lic import files
from lic.errors import DataError

_AS_IT_IS = {"mime_type": "application/octet-stream", "compression_type": CompressionTypes.UNCOMPRESSED}


def is_local(path: str) -> bool:
    """Whether it is a path of this machine, without a scheme."""
    return FileSystems.get_scheme(path) is None


def read(path: str, most: int = files.READ_LIMIT) -> bytes:
    """The bytes of a file, of a long one only the first `most`. Raises DataError where that fails."""
    with _in_one_line("read", path), FileSystems.open(path, **_AS_IT_IS) as file:
        return file.read(most)


def write(path: str, data: bytes) -> None:
    """Writes a file whole or not at all, and the folders that lead to it. Raises DataError where that fails."""
    if is_local(path):
        with _in_one_line("write", path):
            os.makedirs(os.path.dirname(path) or ".", exist_ok=True)
        return files.write_atomically(path, data)
    draft = f"{path}.{secrets.token_hex(8)}.tmp"
    with _in_one_line("write", path):
        with FileSystems.create(draft, **_AS_IT_IS) as file:
            file.write(data)
        FileSystems.rename([draft], [path])


def exists(path: str) -> bool:
    """Whether there is such a file. Raises DataError where that can't be seen."""
    with _in_one_line("see", path):
        return FileSystems.exists(path)


def matches(patterns: Sequence[str]) -> bool:
    """Whether one of Beam's patterns matches any file. Raises DataError where that can't be seen."""
    with _in_one_line("match", patterns[0]):
        return any(found.metadata_list for found in FileSystems.match(patterns, limits=[1] * len(patterns)))


@contextlib.contextmanager
def _in_one_line(what: str, path: str) -> Iterator[None]:
    try:
        yield
    except BeamIOError as error:
        inner = next(iter((error.exception_details or {}).values()), error)
        raise DataError(_line(what, path, inner)) from None
    except Exception as error:   # each cloud's library has its own
        raise DataError(_line(what, path, error)) from None


def _line(what: str, path: str, error: object) -> str:
    reason = getattr(error, "strerror", None) or " ".join(str(error).split()) or type(error).__name__
    return f"cannot {what} {files.shown(path)}: {reason[:200]}"
