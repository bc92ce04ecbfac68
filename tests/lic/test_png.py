"""A PNG that promises more rows than it has is known, and every whole one is let through."""

from __future__ import annotations

import struct
import zlib

import pytest

from lic import png

# Bytes of the rows of 10x6 pixels by (depth, colour type, interlaced), counted by hand after the PNG specification.
SIZES = {
    (8, 2, 0): 6 * 31, (16, 6, 0): 6 * 81, (1, 0, 0): 6 * 3, (4, 3, 0): 6 * 6, (8, 4, 0): 6 * 21,
    # passes of 2x1, 1x1, 3x1, 2x2, 5x1, 5x3, 10x3 pixels
    (8, 2, 1): 7 + 4 + 10 + 2 * 7 + 16 + 3 * 16 + 3 * 31,
    (1, 0, 1): 2 + 2 + 2 + 2 * 2 + 2 + 3 * 2 + 3 * 3,
}


def file_of(depth: int, colour: int, interlaced: int, length: int, pieces: int) -> bytes:
    """A 10x6 PNG with so many bytes of rows, in so many chunks."""
    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    stream = zlib.compress(bytes(length))
    cuts = [len(stream) * i // pieces for i in range(pieces + 1)]
    head = struct.pack(">IIBBBBB", 10, 6, depth, colour, 0, 0, interlaced)
    pixels = b"".join(chunk(b"IDAT", stream[a:b]) for a, b in zip(cuts, cuts[1:]))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"tEXt", b"a\0b") + pixels + chunk(b"IEND", b"")


@pytest.mark.parametrize("kind", SIZES)
def test_rows_are_missed_and_only_where_they_are_missing(kind):
    for pieces in (1, 3):
        assert not png.lacks_rows(file_of(*kind, SIZES[kind], pieces))
        assert not png.lacks_rows(file_of(*kind, SIZES[kind] + 99, pieces)), "too much does no harm"
        assert png.lacks_rows(file_of(*kind, SIZES[kind] - 1, pieces))


def test_narrow_interlaced_picture_has_empty_passes():
    data = bytearray(file_of(8, 0, 1, 2, 1))
    struct.pack_into(">II", data, 16, 1, 1)
    assert not png.lacks_rows(bytes(data))
