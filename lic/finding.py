"""Finds pictures by a glob or in a folder, and those among them that hold a training patch; without TensorFlow.

Gotchas:
* Pillow is imported only where a picture is looked into: who trains on packed patches needs none.
"""

from __future__ import annotations

import functools
import glob as globbing
import os
import sys
import warnings
from collections.abc import Iterable
from typing import Callable

from lic import files
from lic.errors import DataError, UsageError

ENDINGS = (".jpg", ".jpeg", ".png", ".bmp", ".webp", ".tif", ".tiff")
ATTEMPTS = 100   # so many pictures in a row that can't be decoded end a run
_MODES = ("RGB", "L", "P", "RGBA", "LA", "1")   # those of 8 bits
_LAST_BYTES = {"JPEG": b"\xff\xd9", "PNG": b"IEND"}   # a download that broke off lacks them


def matching(flag: str, pattern: str, endings: tuple[str, ...], kind: str = "picture") -> list[str]:
    """What a flag's glob stands for, or anywhere in its folder, sorted; files and others.

    Args:
      endings: of the names, in small letters; "" is any.
      kind: of what was looked for, for whoever reads the error.
    Raises:
      UsageError: nothing matches. DataError: the folder can't be read.
    """
    everywhere = os.path.join(globbing.escape(pattern), "**", "*") if os.path.isdir(pattern) else pattern
    paths = sorted(p for p in globbing.glob(everywhere, recursive=True) if p.lower().endswith(endings))
    if not paths:
        _refuse_closed(flag, everywhere)
        raise UsageError(f"--{flag} '{files.shown(pattern)}' matches no {kind}")
    return paths


def _refuse_closed(flag: str, pattern: str) -> None:
    """Globs pass over what they may not read without a word."""
    while globbing.has_magic(pattern):
        pattern = os.path.dirname(pattern)
    try:
        os.listdir(pattern or ".")
    except PermissionError:
        raise DataError(f"--{flag}: the folder '{files.shown(pattern)}' can't be read: permission denied") from None
    except OSError:
        return


def holding(pattern: str, paths: list[str], side: int, advice: str,
            watched: Callable[[list[str]], Iterable[str]] = iter) -> list[str]:
    """The pictures among paths that hold a patch; a line on stderr says how many do not.

    Args:
      pattern: that they match.
      side: of the patch, in pixels.
      advice: for whoever has none of them.
      watched: shows the progress.
    Raises:
      DataError: there is none. UsageError: Pillow is missing.
    """
    usable = [path for path in watched(paths) if _holds(path, side)]
    if not usable:
        raise DataError(f"none of the {len(paths)} pictures of '{files.shown(pattern)}' can be read and is at least "
                        f"{side}x{side}: {advice}")
    if len(usable) < len(paths):
        print(f"{len(paths) - len(usable)} of {len(paths)} pictures left out: unreadable, or smaller than "
              f"{side}x{side}", file=sys.stderr, flush=True)
    return usable


def _holds(path: str, side: int) -> bool:
    image_module = pillow()
    if not os.path.isfile(path):
        return False  # opening a pipe would wait for its writer
    try:
        with warnings.catch_warnings(), image_module.open(path) as image:
            warnings.simplefilter("ignore")  # Pillow's advice; of twice that size it refuses a picture
            return min(image.size) >= side and image.mode in _MODES and _is_whole(path, image)
    except Exception:  # Pillow raises many kinds; all mean that this picture is left out
        return False


def _is_whole(path: str, image) -> bool:
    """Whether a picture has its end: one that has not would stop a run of TensorFlow when its turn comes."""
    if image.format == "BMP":
        image.load()   # no mark is at its end
    if image.format not in _LAST_BYTES:
        return True
    with open(path, "rb") as file:
        file.seek(-min(4096, os.path.getsize(path)), os.SEEK_END)
        return _LAST_BYTES[image.format] in file.read()


@functools.cache
def pillow():
    """Its module `Image`.

    Raises:
      UsageError: it is missing.
    """
    try:
        from PIL import Image
    except ImportError:
        raise UsageError("Pillow is missing, which reads pictures: pip install Pillow, or give a packed file") from None
    return Image
