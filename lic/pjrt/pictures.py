"""Training patches without TensorFlow, as a function of the seed and the step alone.

From a folder of pictures, which Pillow reads, or from a packed file, an array of uint8 (n, s, s, 3) that `pack` makes:
cutting a patch out of that costs nothing, decoding a large photograph for it takes a tenth of a second.
"""

from __future__ import annotations

import functools
import itertools
import os
import sys
import threading
from collections import deque
from collections.abc import Generator, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import BinaryIO, Protocol

import numpy as np

from lic import drafts, files, finding
from lic.errors import DataError

_KEPT = 2 << 30   # bytes of decoded pictures that stay in memory: a small collection is decoded once
_AHEAD = 4        # batches that are made while a step runs, at least


class Source(Protocol):
    """Pictures by number, which count from 0."""

    count: int

    def pixels(self, number: int) -> np.ndarray | None:
        """uint8 (h, w, 3); None where it can't be read."""


class Pictures:
    """The pictures of a glob, or anywhere in a folder, that hold a patch.

    Args:
      room: bytes of decoded pictures that are kept, for those who ask again.
    Raises:
      UsageError: nothing matches, or Pillow is missing. DataError: nothing that matches can be used.
    """

    def __init__(self, pattern: str, side: int, room: int = _KEPT):
        found = finding.matching("pictures", pattern, finding.ENDINGS)
        finding.pillow().MAX_IMAGE_PIXELS = None   # a training set is no upload
        self.paths = finding.holding(pattern, found, side, "give larger ones")
        self.count = len(self.paths)
        self._told: set[str] = set()
        self._kept: dict[int, np.ndarray] = {}
        self._room, self._one_keeps = room, threading.Lock()

    def pixels(self, number: int) -> np.ndarray | None:
        pixels = self._kept.get(number)
        if pixels is None:
            pixels = self._decoded(self.paths[number])
            self._keep(number, pixels)
        return pixels

    def _keep(self, number: int, pixels: np.ndarray | None) -> None:
        with self._one_keeps:
            if pixels is not None and number not in self._kept and pixels.nbytes <= self._room:
                self._kept[number] = pixels
                self._room -= pixels.nbytes

    def _decoded(self, path: str) -> np.ndarray | None:
        try:
            with finding.pillow().open(path) as image:
                return np.asarray(image.convert("RGB"))
        except Exception:  # Pillow raises many kinds; all mean that another picture takes its place
            if path not in self._told:
                self._told.add(path)
                _say(f"'{files.shown(path)}' can't be decoded: other pictures take its place")
            return None


class Packed:
    """A packed file.

    Raises:
      DataError: it is none, or its patches are smaller than `side`.
    """

    def __init__(self, path: str, side: int):
        try:
            self._patches = np.load(path, mmap_mode="r", allow_pickle=False)
        except (OSError, ValueError, EOFError):
            raise DataError(f"'{files.shown(path)}' can't be read as packed patches") from None
        shape = self._patches.shape
        if self._patches.dtype != np.uint8 or len(shape) != 4 or shape[3] != 3 or not shape[0]:
            raise DataError(f"'{files.shown(path)}' is no array of uint8 (n, side, side, 3)")
        if min(shape[1:3]) < side:
            raise DataError(f"the patches of '{files.shown(path)}' are {shape[2]}x{shape[1]}, and the step was "
                            f"exported for {side}x{side}: pack larger ones")
        self.count = shape[0]

    def pixels(self, number: int) -> np.ndarray | None:
        return self._patches[number]


def open_source(name: str, side: int) -> Source:
    """A packed file where the name ends in .npy, else a glob of pictures or a folder of them."""
    return Packed(name, side) if name.endswith(".npy") else Pictures(name, side)


def patch(source: Source, side: int, seed: int, n: int) -> np.ndarray:
    """The n-th patch of a run, uint8 (side, side, 3): every picture once a round, a random place, flipped or not.

    Raises:
      DataError: too many pictures in a row can't be decoded.
    """
    for attempt in range(n, n + finding.ATTEMPTS):
        pixels = source.pixels(_order(source.count, seed, attempt // source.count)[attempt % source.count])
        if pixels is not None:
            return _crop(pixels, side, np.random.default_rng([seed, 1, n]))
    raise DataError("too many pictures in a row can't be decoded")


@functools.lru_cache(maxsize=4)
def _order(count: int, seed: int, turn: int) -> np.ndarray:
    return np.random.default_rng([seed, 0, turn]).permutation(count)


def _crop(pixels: np.ndarray, side: int, rng: np.random.Generator) -> np.ndarray:
    top, left = (rng.integers(size - side + 1) for size in pixels.shape[:2])
    cut = pixels[top:top + side, left:left + side]
    return cut[:, ::-1] if rng.integers(2) else cut


def batches(source: Source, size: int, side: int, seed: int, start: int, threads: int,
            at_once: int = 1) -> Generator[np.ndarray, None, None]:
    """uint8 (size, side, side, 3) from a step on, without end; the next ones are made in other threads meanwhile.

    Args:
      at_once: so many are asked for one after the other.
    """
    numbers = itertools.count(start * size)
    with ThreadPoolExecutor(threads) as pool:
        waiting: deque = deque()
        try:
            while True:
                while len(waiting) <= max(_AHEAD, at_once):
                    waiting.append([pool.submit(patch, source, side, seed, next(numbers)) for _ in range(size)])
                yield np.stack([future.result() for future in waiting.popleft()])
        finally:
            pool.shutdown(cancel_futures=True)


def pack(pattern: str, target: str, side: int) -> int:
    """Cuts pictures into squares, side by side, and writes them as a packed file; returns their number.

    Raises:
      UsageError, DataError: as of `Pictures`; or the file can't be written.
    """
    source = Pictures(pattern, side, room=0)
    try:
        with drafts.beside(target, drafts.new_file) as (draft, descriptor):
            with open(descriptor, "wb", closefd=False) as file:
                count = _write_patches(file, source, side)
            os.replace(draft, target)
    except OSError as error:
        raise DataError(f"'{files.shown(target)}' can't be written: {error.strerror}") from None
    return count


def _write_patches(file: BinaryIO, source: Source, side: int) -> int:
    file.write(_header(0, side))
    count = 0
    for number in range(source.count):
        for square in _squares(source.pixels(number), side):
            file.write(square.tobytes())
            count += 1
        _say(f"{number + 1} of {source.count} pictures, {count} patches", passing=True)
    if not count:
        raise DataError("none of the pictures can be decoded")
    file.seek(0)
    file.write(_header(count, side))
    return count


def _squares(pixels: np.ndarray | None, side: int) -> Iterator[np.ndarray]:
    if pixels is not None:
        for top in range(0, pixels.shape[0] - side + 1, side):
            for left in range(0, pixels.shape[1] - side + 1, side):
                yield pixels[top:top + side, left:left + side]


def _header(count: int, side: int) -> bytes:
    """128 bytes before the pixels (numpy's format 1.0), whatever the count: it is known only at the end."""
    about = repr({"descr": "|u1", "fortran_order": False, "shape": (count, side, side, 3)})
    return b"\x93NUMPY\x01\x00" + (118).to_bytes(2, "little") + about.ljust(117).encode() + b"\n"


def _say(text: str, passing: bool = False) -> None:
    """A line to stderr; a passing one only on a terminal, where the next takes its place."""
    if not passing:
        print(text, file=sys.stderr, flush=True)
    elif sys.stderr.isatty():
        print(f"\r{text}", end="", file=sys.stderr, flush=True)
