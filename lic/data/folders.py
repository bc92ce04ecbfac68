"""Training pictures from a folder."""

from __future__ import annotations

import glob as globbing
import os
import sys
import warnings

import tensorflow as tf
from PIL import Image
from tqdm import tqdm

from lic import files
from lic.data import batches
from lic.errors import DataError, UsageError

_DECODED_BY_TF = (".jpg", ".jpeg", ".png", ".bmp")
_LAST_BYTES = {"JPEG": b"\xff\xd9", "PNG": b"IEND"}   # a download that broke off lacks them


def from_files(settings) -> batches.Source:
    """Random patches of the pictures of `settings.train_glob`."""
    found = find(settings.train_glob, settings.patchsize)
    paths = tf.constant([os.fsencode(path) for path in found])

    def name_of(n):
        return tf.gather(paths, batches.pick(settings, n, len(found)))

    return batches.source(settings, len(found), lambda n: tf.io.read_file(name_of(n)), name_of)


def find(pattern: str, patchsize: int) -> list[str]:
    """The pictures of a glob, or anywhere in a folder, that TensorFlow reads and that hold a patch, sorted.

    Raises:
      UsageError: nothing matches. DataError: the folder can't be read, or nothing that matches can be used.
    """
    paths = _matching(pattern)
    bar = tqdm(paths, "looking at pictures", unit="", leave=False, disable=not sys.stderr.isatty())
    usable = [p for p in bar if _holds_a_patch(p, patchsize)]
    if not usable:
        raise DataError(f"none of the {len(paths)} pictures of '{files.shown(pattern)}' can be read and is at least "
                        f"{patchsize}x{patchsize}: give larger ones, or a smaller --patchsize")
    if len(usable) < len(paths):
        print(f"{len(paths) - len(usable)} of {len(paths)} pictures left out: unreadable, or smaller than "
              f"{patchsize}x{patchsize}", file=sys.stderr)
    return usable


def _matching(pattern: str) -> list[str]:
    pattern = os.path.join(globbing.escape(pattern), "**", "*") if os.path.isdir(pattern) else pattern
    paths = sorted(p for p in globbing.glob(pattern, recursive=True) if p.lower().endswith(_DECODED_BY_TF))
    if not paths:
        _refuse_closed(pattern)
        raise UsageError(f"--train_glob '{files.shown(pattern)}' matches no JPEG, PNG or BMP picture")
    return paths


def _refuse_closed(pattern: str) -> None:
    """Globs pass over what they may not read without a word."""
    while globbing.has_magic(pattern):
        pattern = os.path.dirname(pattern)
    try:
        os.listdir(pattern or ".")
    except PermissionError:
        raise DataError(f"--train_glob: the folder '{files.shown(pattern)}' can't be read: permission denied") from None
    except OSError:
        return


def _holds_a_patch(path: str, patchsize: int) -> bool:
    if not os.path.isfile(path):
        return False  # opening a pipe would wait for its writer
    try:
        with warnings.catch_warnings(), Image.open(path) as image:
            warnings.simplefilter("ignore")  # Pillow's advice; of twice that size it refuses a picture
            fits = min(image.size) >= patchsize and image.mode in ("RGB", "L", "P", "RGBA", "LA", "1")
            return fits and _is_whole(path, image)
    except Exception:  # Pillow raises many kinds; all mean that this picture is left out
        return False


def _is_whole(path: str, image: Image.Image) -> bool:
    """Whether a picture has its end: one that has not would stop a training run when its turn comes."""
    if image.format not in _LAST_BYTES:
        image.load()
        return True
    with open(path, "rb") as file:
        file.seek(-min(4096, os.path.getsize(path)), os.SEEK_END)
        return _LAST_BYTES[image.format] in file.read()
