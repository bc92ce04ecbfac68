"""Drafts: what is written under a passing name beside its target, and takes its place only when it is whole.

A draft is locked as long as its maker lives, whatever ends that life. One that nobody locks is an orphan, and the next
draft in the same folder sweeps it away.

Gotchas:
* its maker's process id would not do: it means nothing in another container or on another machine that shares a folder;
* where the file system knows no locks an orphan stays, as nobody can tell it from a draft.
"""

from __future__ import annotations

import atexit
import contextlib
import fcntl
import functools
import os
import re
import secrets
import shutil
from collections.abc import Iterator
from typing import Callable

_NAME = re.compile(r"\.lic-[0-9a-f]{16}\.tmp")


def new_file(path: str) -> int:
    """Makes an empty file with the usual permissions, open for writing."""
    return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666)


def new_folder(path: str) -> int:
    """Makes a folder of one's own."""
    os.mkdir(path, 0o700)
    return os.open(path, os.O_RDONLY)


@contextlib.contextmanager
def folder(target: str) -> Iterator[str]:
    """The path to make a folder at; at the end it takes the place of `target`, which may be an empty folder."""
    target = os.path.abspath(target)
    os.makedirs(os.path.dirname(target), exist_ok=True)
    with beside(target, new_folder) as (draft, _):
        inner = os.path.join(draft, "whole")  # made by others, with the usual permissions
        yield inner
        os.replace(inner, target)


@contextlib.contextmanager
def beside(target: str, make: Callable[[str], int]) -> Iterator[tuple[str, int]]:
    """The path and the descriptor of a draft in the folder of `target`; what is left of it at the end is removed.

    Args:
      target: what the draft is for. The draft's name is independent of it: with a suffix, a long but lawful name would
        grow too long.
      make: `new_file` or `new_folder`.
    """
    folder = os.path.dirname(os.path.abspath(target))
    _sweep(folder)
    path, descriptor, at_exit = _make_locked(folder, make)
    try:
        yield path, descriptor
    finally:  # also when interrupted
        _remove(path)
        os.close(descriptor)
        atexit.unregister(at_exit)


def _make_locked(folder: str, make: Callable[[str], int]) -> tuple[str, int, Callable[[], None]]:
    while True:
        path = os.path.join(folder, f".lic-{secrets.token_hex(8)}.tmp")
        at_exit = functools.partial(_remove, path)
        atexit.register(at_exit)  # Ctrl-C may come between two lines, here or where `beside` ends
        descriptor = make(path)
        with contextlib.suppress(OSError):  # a file system without locks
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        if os.path.lexists(path):
            return path, descriptor, at_exit
        atexit.unregister(at_exit)
        os.close(descriptor)  # swept away between the making and the locking


@functools.cache  # once a process: among thousands of files, looking costs more than writing
def _sweep(folder: str) -> None:
    with contextlib.suppress(OSError):
        for name in filter(_NAME.fullmatch, os.listdir(folder)):
            _remove_orphan(os.path.join(folder, name))


def _remove_orphan(path: str) -> None:
    with contextlib.suppress(OSError):  # locked, gone, or somebody else's
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
            _remove(path)
        finally:
            os.close(descriptor)


def _remove(path: str) -> None:
    shutil.rmtree(path, ignore_errors=True)  # does nothing to a file
    with contextlib.suppress(OSError):
        os.unlink(path)
