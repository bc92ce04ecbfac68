"""Reading a file whole and writing it whole or not at all; everything that can go wrong is one line.

Gotchas:
* a symbolic link stays a link, and what it points to is replaced;
* a hard link is broken by the replacement: its other name keeps the old bytes;
* devices and pipes (`/dev/null`, a FIFO) cannot be replaced and are written directly.
"""

from __future__ import annotations

import contextlib
import errno
import os
import secrets
import stat
from collections.abc import Iterator
from typing import Union

from lic.errors import DataError

PathLike = Union[str, "os.PathLike[str]"]

READ_LIMIT = 1 << 32  # bytes; images.py takes up to 300 megapixels of 4 x 16 bits, which are fewer
_CHUNK = 1 << 20

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


def read_bytes(path: PathLike, limit: int = READ_LIMIT) -> bytes:
    """Returns all bytes of a file (also of a pipe, up to its end).

    Raises DataError where it is missing, a directory, unreadable, empty, or has more than `limit` bytes.
    """
    with _in_one_line(path, "cannot read"), open(path, "rb") as file:
        if os.fstat(file.fileno()).st_size > limit:
            raise _oversized(path, limit)
        chunks, length = [], 0
        # A pipe, a device or a file that still grows tells its length only by being read.
        while chunk := file.read(_CHUNK):
            chunks.append(chunk)
            length += len(chunk)
            if length > limit:
                raise _oversized(path, limit)
    if not length:
        raise DataError(f"cannot read {shown(path)}: the file is empty; write or copy it again")
    return b"".join(chunks)


def write_atomically(path: PathLike, data: bytes) -> None:
    """Writes `data` so that a reader sees the whole new file or what was there before, never a part.

    A new file gets the usual permissions (0666 less the umask), an existing one keeps its own.
    Raises DataError where that fails; then an existing target is untouched, and no temporary file stays.
    """
    with _in_one_line(path, "cannot write"):
        target = os.path.realpath(path)  # replacing a link itself would cut it
        mode = _mode(target)
        if not os.fspath(path) or (mode is not None and stat.S_ISDIR(mode)):
            raise IsADirectoryError(errno.EISDIR, "is a directory")
        if mode is None or stat.S_ISREG(mode):
            _replace(target, data, mode)
        else:
            with open(target, "wb") as file:
                file.write(data)


def _replace(target: str, data: bytes, mode: int | None) -> None:
    if mode is not None:
        open(target, "ab").close()  # a rename asks only the directory, not a write-protected file
    # The name is independent of the target's: with a suffix, a long but lawful name would grow too long.
    temporary = os.path.join(os.path.dirname(target), f".lic-{os.getpid()}-{secrets.token_hex(8)}.tmp")
    try:
        with open(temporary, "xb") as file:  # not mkstemp: its 0600 would hide the result from everyone else
            file.write(data)
        if mode is not None:
            os.chmod(temporary, stat.S_IMODE(mode))
        os.replace(temporary, target)
    except BaseException:  # also when interrupted
        with contextlib.suppress(OSError):
            os.unlink(temporary)
        raise


def _mode(target: str) -> int | None:
    try:
        return os.stat(target).st_mode
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
