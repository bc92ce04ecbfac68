"""A folder that one process at a time trains in: two would write over each other's checkpoints.

The lock is on the folder itself, so it leaves no file behind and ends with its process, however that ends.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
from collections.abc import Iterator

from lic import files
from lic.errors import UsageError


@contextlib.contextmanager
def held(path: str) -> Iterator[None]:
    """While it is entered, no other process, and nobody else in this one, can hold this folder; a missing one is free.

    Some network file systems lock no folders: there two runs are not noticed.

    Raises:
      UsageError: somebody holds it.
    """
    descriptor = _opened(path)
    try:
        _take(descriptor, path)
        yield
    finally:
        if descriptor is not None:
            os.close(descriptor)


def _opened(path: str) -> int | None:
    try:
        return os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    except OSError:
        return None   # whoever works there tells what is wrong with it


def _take(descriptor: int | None, path: str) -> None:
    if descriptor is None:
        return
    with contextlib.suppress(OSError):
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise UsageError(f"another run trains in '{files.shown(path)}' now: wait for its end, or give another "
                             "folder") from None
