"""What happens to a file that is dropped on the page, step by step, without knowing how it is shown."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from lic import bitstream, files, images, metrics, registry
from lic.demo import compare, heat, views
from lic.errors import DataError
from lic.evaluation import measuring
from lic.evaluation.classical import Classical
from lic.evaluation.measuring import Passed

if TYPE_CHECKING:
    from lic.codec import Codec

MOST_PIXELS = 16_000_000   # of a picture; the classical codecs would take minutes for more


@dataclass
class Picture:
    """A picture and what has come of it so far.

    Attributes:
      name: of its file.
      pixels: uint8 (h, w, 3).
      notes: a line for each thing that could not be kept.
      part: rows and columns of the part that is shown enlarged; None until there is a result.
      found: the model's result, then those of the classical codecs.
      bits: (h/16, w/16) of the model's, or None where it can't tell.
    """

    name: str
    pixels: np.ndarray
    notes: tuple[str, ...]
    part: tuple[slice, slice] | None = None
    found: list[Passed] = field(default_factory=list)
    bits: np.ndarray | None = None


@dataclass
class File:
    """A .tfci that was opened: its pixels, uint8 (h, w, 3), and what it is, in a line."""

    pixels: np.ndarray
    about: str


def is_file(path: str) -> bool:
    """Whether it has the first bytes, or at least the name, of a .tfci."""
    return path.lower().endswith(bitstream.SUFFIX) or files.beginning(path, 4) == bitstream.MAGIC


def picture(path: str) -> Picture:
    """Reads a picture.

    Raises:
      DataError: it is none, broken, or larger than the page takes.
    """
    _refuse_large(*images.size_of(path), "compress")
    read = images.read(path)
    return Picture(os.path.basename(path), read.pixels, read.notes)


def _refuse_large(height: int, width: int, command: str) -> None:
    """Raises a DataError, which names the command that takes it, for more pixels than the page takes."""
    if height * width > MOST_PIXELS:
        raise DataError(f"{width} x {height} pixels are more than the {MOST_PIXELS // 1_000_000} megapixels that this "
                        f"page takes: use the command {command}")


def work(codec: Codec, against: Sequence[Classical], picture: Picture, quality: float | None) -> Iterator[Picture]:
    """Puts a picture through the model, then through the classical codecs at the size of the model's file.

    Yields it after each result; the first time with the map of bits. Raises UserErrors.
    """
    picture.found = [compare.through_model(codec, picture.name, picture.pixels, quality)]
    picture.bits = codec.bits_map(picture.pixels, quality)
    if picture.part is None:
        picture.part = _most_telling(picture)
    yield picture
    for classical in against:
        size = picture.found[0].row.bytes
        picture.found.append(compare.through_classical(classical, picture.name, picture.pixels, size))
        yield picture


def look_at(picture: Picture, x: float, y: float) -> None:
    """Takes the part around a pixel as the one that is shown enlarged."""
    picture.part = views.part_around(x, y, *picture.pixels.shape[:2])


def _most_telling(picture: Picture) -> tuple[slice, slice]:
    """The part that takes the most bits, or has the most contrast where there is no map."""
    if picture.bits is None:
        return measuring.detail(picture.pixels)
    return views.part_around(*heat.hottest(picture.bits, views.PART), *picture.pixels.shape[:2])


def opened(codec: Codec, path: str) -> File:
    """Decodes a .tfci.

    Raises:
      DataError: it is damaged, larger than the page takes, or made by another model.
    """
    data = files.read_bytes(path)
    header, _ = bitstream.parse(data)
    _refuse_large(header.height, header.width, "decompress")
    if header.weights_id.hex() != codec.weights_id:
        raise DataError(f"the file was made by model {header.weights_id.hex()} ({registry.maker_in_words(header)}), "
                        f"the page shows {codec.weights_id}: start the page of that model")
    pixels = codec.decompress(data)
    bpp = metrics.bits_per_pixel(len(data), header.height, header.width)
    about = f"{header.width} x {header.height}, {len(data):,} bytes, {bpp:.4f} bits per pixel"
    return File(pixels, about + (f", quality {header.quality:g}" if header.quality else ""))
