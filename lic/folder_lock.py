"""A folder that one process at a time trains in: two would write over each other's checkpoints.

The lock is on the folder itself, so it leaves no file behind and ends with its process, however that ends.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import weakref
from collections.abc import Iterator

from lic import files
from lic.errors import UsageError


class Lock:
    """The lock of a folder; whoever is collected with it in hand lets go of it.

    Args:
      path: of the folder. A missing one is free: whoever makes it takes the lock then.
    """

    def __init__(self, path: str):
        self._path = path
        self._end: weakref.finalize | None = None

    def take(self) -> None:
        """From here on no other process, and nobody else in this one, can hold the folder; where it is held, nothing.

        Some network file systems lock no folders: there two runs are not noticed.

        Raises:
          UsageError: somebody holds it.
        """
        if self._end and self._end.alive:
            return
        descriptor = _opened(self._path)
        if descriptor is not None:
            self._end = weakref.finalize(self, os.close, descriptor)
            self._lock(descriptor)

    def _lock(self, descriptor: int) -> None:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            self.free()
            raise UsageError(f"another run trains in '{files.shown(self._path)}' now: wait for its end, or give "
                             "another folder") from None
        except OSError:
            return   # a file system without locks

    def free(self) -> None:
        """Lets go of it, where it is held."""
        if self._end:
            self._end()


@contextlib.contextmanager
def held(path: str) -> Iterator[Lock]:
    """While it is entered, the lock of a folder is held.

    Raises:
      UsageError: somebody holds it.
    """
    lock = Lock(path)
    try:
        lock.take()
        yield lock
    finally:
        lock.free()


def _opened(path: str) -> int | None:
    try:
        return os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    except OSError:
        return None   # whoever works there tells what is wrong with it
