"""From the names on a command line to the files that are read and written."""

from __future__ import annotations

import argparse
import glob
import os
import re
from collections.abc import Iterable
from typing import Callable

from lic.cli.notes import note
from lic.errors import UsageError

_STREAMS = re.compile(r"/dev/std(out|err)|/(dev|proc/self)/fd/[12]")
_READ_STREAMS = re.compile(r"/dev/stdin|/(dev|proc/self)/fd/\d+")


def pairs(a: argparse.Namespace, suffix: str, is_output: Callable[[str], bool]) -> list[tuple[str, str]]:
    """(source, target) of each input; refuses what would write over a source or write one file twice.

    Args:
      suffix: that the target's name has beside the source's.
      is_output: whether the second of two names is that of the target.
    """
    names, target = list(a.inputs), None
    _refuse_streams(names)
    if len(names) == 2 and is_output(names[1]):
        target = names.pop()
        if a.out:
            raise UsageError("give the name of the output or --out, not both")
    sources = expanded(names)
    if target and len(sources) > 1:
        raise UsageError(f"{len(sources)} inputs can't go into the one file '{target}': give --out DIR")
    found = [(source, target or _target(source, suffix, a.out)) for source in sources]
    _refuse_clashes(found, getattr(a, "original", None))
    return _without_done(found) if a.keep else found


def expanded(names: Iterable[str]) -> list[str]:
    """The paths that names and globs stand for, each once."""
    return list(dict.fromkeys(path for name in names for path in _expand(name)))


def _expand(name: str) -> list[str]:
    if os.path.exists(name) or not glob.has_magic(name):
        return [name]
    found = sorted(path for path in glob.glob(name, recursive=True) if os.path.isfile(path))
    if not found:
        raise UsageError(f"'{name}' matches no file")
    return found


def _target(source: str, suffix: str, folder: str | None) -> str:
    if not folder and _READ_STREAMS.fullmatch(source):
        raise UsageError(f"'{source}' is a stream, and nothing can lie beside it: name the output, or give --out DIR")
    return (os.path.join(folder, os.path.basename(source)) if folder else source) + suffix


def _refuse_streams(names: Iterable[str]) -> None:
    """What is taken for a picture would be waited for."""
    for name in names:
        if name == "-" or _STREAMS.fullmatch(name):
            raise UsageError(f"'{name}' is a stream: files are written whole, under a name; give names of files")


def _refuse_clashes(pairs: list[tuple[str, str]], original: str | None) -> None:
    sources = {os.path.realpath(source) for source in (*(source for source, _ in pairs), original) if source}
    targets: set[str] = set()
    for _, target in pairs:
        real = os.path.realpath(target)
        if real in sources:
            raise UsageError(f"'{target}' would be written over an input: give another name")
        if real in targets:
            raise UsageError(f"two inputs would be written to '{target}': take them in two goes, each with an --out "
                             "of its own (python -m lic.corpus keeps their folders)")
        targets.add(real)


def _without_done(pairs: list[tuple[str, str]]) -> list[tuple[str, str]]:
    """Those whose outputs are not there yet."""
    left = [(source, target) for source, target in pairs if not os.path.lexists(target)]
    if len(left) < len(pairs):
        note(f"{len(pairs) - len(left)} of {len(pairs)} outputs exist and are left as they are")
    return left
