"""Whether a PNG has all the rows that its header promises.

Pillow takes the end of the compressed stream for the end of the picture, and leaves the rows that are missing black.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator

_CHANNELS = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}  # of a colour type
_PASSES = ((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2))  # of Adam7
_PIECE = 1 << 20  # bytes that are unpacked at once


def lacks_rows(data: bytes) -> bool:
    """Whether the pixels of a PNG file, which Pillow could read, end before their time."""
    width, height, depth, colour, _, _, interlaced = struct.unpack_from(">IIBBBBB", data, 16)
    passes = _PASSES if interlaced else ((0, 0, 1, 1),)
    expected = sum(_size(-(-(width - x) // dx), -(-(height - y) // dy), depth * _CHANNELS[colour])
                   for x, y, dx, dy in passes)
    return sum(_unpacked(data)) < expected


def _size(width: int, height: int, bits: int) -> int:
    """Bytes of a pass: each row begins with the number of its filter."""
    return height * (1 + -(-width * bits // 8)) if width > 0 and height > 0 else 0


def _unpacked(data: bytes) -> Iterator[int]:
    """The lengths of the pieces that the picture is unpacked to, of which none is kept."""
    stream = zlib.decompressobj()
    for packed in _pixel_chunks(data):
        while packed and not stream.eof:
            yield len(stream.decompress(packed, _PIECE))
            packed = stream.unconsumed_tail
    yield len(stream.flush())


def _pixel_chunks(data: bytes) -> Iterator[bytes]:
    at = 8
    while at + 8 <= len(data):
        size, kind = struct.unpack_from(">I4s", data, at)
        if kind == b"IDAT":
            yield data[at + 8:at + 8 + size]
        at += size + 12
