"""Training pictures from a folder."""

from __future__ import annotations

import os
import sys

import tensorflow as tf
from tqdm import tqdm

from lic import finding
from lic.data import batches

_DECODED_BY_TF = (".jpg", ".jpeg", ".png", ".bmp")


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
    paths = finding.matching("train_glob", pattern, _DECODED_BY_TF, "JPEG, PNG or BMP picture")
    return finding.holding(pattern, paths, patchsize, "give larger ones, or a smaller --patchsize", _with_bar)


def _with_bar(paths: list[str]) -> tqdm:
    return tqdm(paths, "looking at pictures", unit="", leave=False, disable=not sys.stderr.isatty())
