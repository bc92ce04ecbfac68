"""A compressed file as pieces that a mutator can exchange: what `lic.bitstream` would never write, this writes.

`res/doc/format.md` is the definition. Lengths and counts follow from what the file holds; `pieces` puts them in, one
piece a field, so that each can be forged.
"""

from __future__ import annotations

import zlib
from dataclasses import dataclass, field
from typing import NamedTuple

from lic import bitstream


class Piece(NamedTuple):
    name: str
    data: bytes


def varint(value: int) -> bytes:
    """LEB128 of any number, also of those that the format has no room for."""
    groups = [value & 127]
    while value := value >> 7:
        groups[-1] |= 128
        groups.append(value & 127)
    return bytes(groups)


def zigzag(value: int) -> int:
    """0, -1, 1, -2, ... as 0, 1, 2, 3, ..."""
    return 2 * value if value >= 0 else -2 * value - 1


def sealed(body: bytes) -> bytes:
    """A file whose checksum is right, whatever is in it."""
    return body + zlib.crc32(body).to_bytes(bitstream.CRC_BYTES, "little")


@dataclass
class Tile:
    """A record: see `lic.bitstream.Record`."""

    phase: int
    checks: list[int]
    strings: list[bytes]
    escapes: list[int]
    seal: int


@dataclass
class Anatomy:
    """A file taken apart; `tile` is (height, width) in units of 64 pixels."""

    start: bytes
    width: int
    height: int
    tile: tuple[int, int] | None
    tiles: list[Tile]
    chunks: list[tuple[str, bytes]] = field(default_factory=list)

    @classmethod
    def of(cls, data: bytes) -> Anatomy:
        """Takes a sound file apart."""
        header, records = bitstream.parse(data)
        unit = bitstream.TILE_UNIT
        return cls(header.prefix, header.width, header.height,
                   (header.tile[0] // unit, header.tile[1] // unit) if header.tile else None,
                   [Tile(r.phase, list(r.checks), list(r.strings), list(r.escapes), r.seal) for r in records],
                   list(header.chunks))

    def pieces(self) -> list[Piece]:
        """Every field in the order of the file, but for the CRC at its end."""
        flags = self.start[5] | (bitstream.TILED_BIT if self.tile else 0) | (bitstream.CHUNKS_BIT if self.chunks else 0)
        section = b"".join(kind.encode("latin-1") + varint(len(data)) + data for kind, data in self.chunks)
        records = [_record(tile) for tile in self.tiles]
        return [
            Piece("magic", self.start[:4]), Piece("version", self.start[4:5]), Piece("flags", bytes([flags])),
            Piece("model code", self.start[6:7]), Piece("quality", self.start[7:8]),
            Piece("weights id", self.start[8:]), Piece("width", varint(self.width)),
            Piece("height", varint(self.height)), *(Piece("tile side", varint(side)) for side in self.tile or ()),
            Piece("string count", bytes([len(self.tiles[0].strings) % 256])),
            *([Piece("chunks length", varint(len(section))), Piece("chunks", section)] if self.chunks else []),
            *(Piece("record length", varint(sum(len(piece.data) for piece in record))) for record in records),
            *(piece for record in records for piece in record)]

    def body(self) -> bytes:
        """The bytes before the CRC."""
        return joined(self.pieces())


def joined(pieces: list[Piece]) -> bytes:
    """The bytes of pieces."""
    return b"".join(piece.data for piece in pieces)


def _record(tile: Tile) -> list[Piece]:
    return [Piece("phase", bytes([tile.phase])), Piece("checks", bytes(tile.checks)),
            *(Piece("string length", varint(len(string))) for string in tile.strings[:-1]),
            Piece("escape count", varint(len(tile.escapes))),
            *(Piece("escape", varint(zigzag(value))) for value in tile.escapes),
            *(Piece("string", string) for string in tile.strings),
            Piece("seal", tile.seal.to_bytes(bitstream.CRC_BYTES, "little"))]
