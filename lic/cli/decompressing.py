"""One job of `decompress`: from the bytes of a file to a picture."""

from __future__ import annotations

import argparse
import os
import threading
from contextlib import suppress
from typing import TYPE_CHECKING

import numpy as np

from lic import bitstream, codecs, files, images, memory, overlap, resources
from lic.cli import starting
from lic.cli.finishing import Decoded, Finish
from lic.cli.progress import Bar
from lic.cli.stopwatch import Stopwatch
from lic.errors import DataError, UserError

if TYPE_CHECKING:
    from lic.codec import Codec


class Decompression:
    """Decompresses files as the arguments of the command say.

    Args:
      folder: of the model that made them; None for the bundled ones that did.
    """

    def __init__(self, folder: str | None, a: argparse.Namespace):
        self._folder, self._a, self._room = folder, a, overlap.Room(memory.budget())
        self._codecs: dict[str, Codec] = {}
        self._one_loads = threading.Lock()

    def need_of(self, source: str) -> float | None:
        """Bytes of memory that a file takes, where its header tells."""
        with suppress(UserError):   # which comes again when all of it is read
            header = bitstream.head(files.beginning(source))
            return self._codec_of(header).memory_of(header.height, header.width)
        return None

    def __call__(self, source: str, target: str, bar: Bar) -> Finish:
        """Decompresses a file; the picture is written when what comes back is called."""
        a, watch, decoded = self._a, Stopwatch(), None
        with watch("read"):
            data = files.read_bytes(source)
            header, _ = bitstream.parse(data)
            original = _original(a.original, header, a.crop) if a.original else None
        with watch("start"):
            codec = self._codec_of(header)
        with self._room.of(codec.memory_of(header.height, header.width)):
            with watch("decompress"):
                pixels = codec.decompress(data, a.crop, bar("decompressing"))
            with watch("write"):
                picture = images.encode(pixels, os.path.splitext(target)[1])
        if a.verbose or a.original:   # else they would wait for the jobs before this
            decoded = Decoded((header.height, header.width), pixels, original)
        return Finish(source, target, picture, len(data), watch, decoded=decoded)

    def _codec_of(self, header: bitstream.Header) -> Codec:
        folder = self._folder or _model_of(header)
        with self._one_loads:
            if folder not in self._codecs:
                self._codecs[folder] = starting.codec(folder, self._a.runtime)
        return self._codecs[folder]


def _model_of(header: bitstream.Header) -> str:
    """The folder of the bundled model that made a file."""
    folder = resources.find(header.weights_id)
    if folder is None:
        raise codecs.not_bundled(header, "give its folder with --model_path")
    return folder


def _original(path: str, header: bitstream.Header, crop: tuple[int, int, int, int] | None) -> np.ndarray:
    """The pixels of the picture to compare with, or a part of them.

    Raises:
      DataError: it has another size than what is decoded.
    """
    pixels = images.read(path).pixels
    if pixels.shape[:2] != (header.height, header.width):
        raise DataError(f"--original {files.shown(path)} has {pixels.shape[1]} x {pixels.shape[0]} pixels, the file "
                        f"{header.width} x {header.height}: give the picture that it was made of")
    if crop:
        x, y, width, height = crop
        pixels = pixels[max(y, 0):y + height, max(x, 0):x + width]
    return pixels
