"""Reading a file whole and writing it whole or not at all; everything that can go wrong is one line.

Gotchas:
* a symbolic link stays a link, and what it points to is replaced;
* a hard link is broken by the replacement: its other name keeps the old bytes;
* devices and pipes (`/dev/null`, a FIFO) cannot be replaced and are written directly;
* opening a pipe waits for its other end, but not for ever: PATIENCE seconds.
"""

from __future__ import annotations

import contextlib
import errno
import os
import stat
import time
from collections.abc import Iterator
from typing import Union

from lic import drafts
from lic.errors import DataError, UsageError

PathLike = Union[str, "os.PathLike[str]"]

READ_LIMIT = 1 << 32  # bytes; images.py takes up to 300 megapixels of 4 x 16 bits, which are fewer
PATIENCE = 3.0  # seconds for the other end of a pipe to come
_CHUNK = 1 << 20
_KINDS = {stat.S_IFSOCK: "a socket", stat.S_IFCHR: "a device or terminal", stat.S_IFBLK: "a block device"}

_REASONS = {
    errno.ENOENT: "no such file or directory; check the path",
    errno.ENOTDIR: "a part of this path is a file, not a directory; check the path",
    errno.EISDIR: "this is a directory; name a file",
    errno.EACCES: "permission denied; change the permissions or use another place",
    errno.EPERM: "permission denied; change the permissions or use another place",
    errno.EROFS: "this file system is read-only; use another place",
    errno.ENOSPC: "the disk is full; free some space or use another place",
    errno.EDQUOT: "the disk quota is used up; free some space or use another place",
    errno.EFBIG: "the file grows over the size that is allowed here; use another place",
    errno.ENAMETOOLONG: "the name is too long; choose a shorter one",
    errno.ELOOP: "the symbolic links go round in a circle; name a real file",
}


def shown(path: PathLike) -> str:
    """The path as a person may see it in one line: what is not printable is escaped, an empty one is `''`."""
    text = os.fspath(path)
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text) or "''"


def require_file(path: PathLike) -> None:
    """Raises DataError where this is no file that can be read: missing, a directory, a pipe, empty, ..."""
    with _in_one_line(path, "cannot read"):
        status = os.stat(path)
        if not stat.S_ISREG(status.st_mode):
            raise OSError(errno.EISDIR if stat.S_ISDIR(status.st_mode) else errno.EINVAL, "this is no regular file")
        if not status.st_size:
            raise DataError(f"cannot read {shown(path)}: the file is empty; write or copy it again")
        os.close(os.open(path, os.O_RDONLY))


def require_new_folder(path: PathLike) -> None:
    """Raises UsageError where something stands that is no empty folder, OSError where that can't be seen."""
    if os.path.lexists(path) and (not os.path.isdir(path) or os.listdir(path)):
        raise UsageError(f"'{shown(path)}' exists and is not empty: give a new folder")


def read_bytes(path: PathLike, limit: int = READ_LIMIT) -> bytes:
    """Returns all bytes of a file (also of a pipe, up to its end).

    Raises DataError where it is missing, a directory, unreadable, empty, or has more than `limit` bytes.
    """
    with _in_one_line(path, "cannot read"):
        _refuse_kinds(path, "cannot read", stat.S_IFSOCK, stat.S_IFCHR, stat.S_IFBLK)
        chunks, length = [], 0
        for chunk in _chunks(path, limit):
            chunks.append(chunk)
            length += len(chunk)
            if length > limit:
                raise _oversized(path, limit)
    if not length:
        raise DataError(f"cannot read {shown(path)}: the file is empty; write or copy it again")
    return b"".join(chunks)


def beginning(path: PathLike, length: int = 1 << 16) -> bytes:
    """The first bytes of an ordinary file; none of a pipe, which gives them once, or of what can't be read."""
    try:
        if not os.path.isfile(path):
            return b""
        with open(path, "rb") as file:
            return file.read(length)
    except (OSError, ValueError):
        return b""


def write_atomically(path: PathLike, data: bytes) -> None:
    """Writes `data` so that a reader sees the whole new file or what was there before, never a part.

    A new file gets the usual permissions (0666 less the umask), an existing one keeps its own.
    Raises DataError where that fails; then an existing target is untouched, and no temporary file stays.
    """
    with _in_one_line(path, "cannot write"):
        mode = _mode(path)
        if not os.fspath(path) or (mode is not None and stat.S_ISDIR(mode)):
            raise IsADirectoryError(errno.EISDIR, "is a directory")
        _refuse_kinds(path, "cannot write", stat.S_IFSOCK, stat.S_IFBLK)  # a disk is overwritten by no slip of the hand
        if mode is None or stat.S_ISREG(mode):
            _replace(os.path.realpath(path), data, mode)  # replacing a link itself would cut it
        else:
            with open(_open_for_writing(path, mode), "wb") as file:
                file.write(data)


def _chunks(path: PathLike, limit: int) -> Iterator[bytes]:
    with open(path, "rb", buffering=0, opener=_open_for_reading) as file:
        status = os.fstat(file.fileno())
        if status.st_size > limit:
            raise _oversized(path, limit)
        if stat.S_ISFIFO(status.st_mode):
            yield _first_of_pipe(file.fileno())
        # A pipe or a file that still grows tells its length only by being read; others are read at one go.
        while chunk := file.read(max(_CHUNK, status.st_size + 1)):
            yield chunk


def _open_for_reading(path: str, flags: int) -> int:
    is_pipe = stat.S_ISFIFO(os.stat(path).st_mode)
    return os.open(path, flags | (os.O_NONBLOCK if is_pipe else 0))


def _first_of_pipe(descriptor: int) -> bytes:
    """Waits until a pipe has a writer, but not for what that one will write; returns what there is by then."""
    start, first = time.monotonic(), b""
    try:
        while not (first := os.read(descriptor, _CHUNK)):  # as at its end, while nobody writes
            _wait_since(start, "nobody writes into this pipe")
    except BlockingIOError:
        pass  # there is a writer, who takes its time
    os.set_blocking(descriptor, True)
    return first


def _open_for_writing(path: PathLike, mode: int) -> int:
    if not stat.S_ISFIFO(mode):
        return os.open(path, os.O_WRONLY | os.O_NOCTTY)
    start = time.monotonic()
    while True:
        try:
            descriptor = os.open(path, os.O_WRONLY | os.O_NONBLOCK)
            os.set_blocking(descriptor, True)
            return descriptor
        except OSError as error:
            if error.errno != errno.ENXIO:
                raise
        _wait_since(start, "nobody reads from this pipe")


def _wait_since(start: float, complaint: str) -> None:
    if time.monotonic() - start > PATIENCE:
        raise TimeoutError(None, f"{complaint}; start its other end first, or name a file")
    time.sleep(0.02)


def _refuse_kinds(path: PathLike, what: str, *kinds: int) -> None:
    kind = stat.S_IFMT(_mode(path) or 0)
    if kind in kinds:
        raise DataError(f"{what} {shown(path)}: this is {_KINDS[kind]}; name a file")


def _replace(target: str, data: bytes, mode: int | None) -> None:
    if mode is not None:
        with contextlib.suppress(FileNotFoundError):  # somebody removed it meanwhile
            os.close(os.open(target, os.O_WRONLY))  # a rename asks only the directory, not a write-protected file
    with drafts.beside(target, drafts.new_file) as (draft, descriptor):
        with open(descriptor, "wb", closefd=False) as file:
            file.write(data)
        if mode is not None:
            os.chmod(draft, stat.S_IMODE(mode))
        os.replace(draft, target)


def _mode(path: PathLike) -> int | None:
    try:
        return os.stat(path).st_mode
    except FileNotFoundError:
        return None


def _oversized(path: PathLike, limit: int) -> DataError:
    return DataError(f"cannot read {shown(path)}: it has more than {limit} bytes; is this the right file?")


@contextlib.contextmanager
def _in_one_line(path: PathLike, what: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        reason = _REASONS.get(error.errno or 0) or (error.strerror or type(error).__name__).lower()
        raise DataError(f"{what} {shown(path)}: {reason}") from None
    except ValueError as error:  # "embedded null byte"
        raise DataError(f"{what} {shown(path)}: {error}; check the path") from None
    except MemoryError:
        raise DataError(f"{what} {shown(path)}: it does not fit into memory; use a smaller one") from None
