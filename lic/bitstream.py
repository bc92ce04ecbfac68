"""The compressed file, version 2, in pure Python: what `info` reads and the command line writes.

`res/doc/format.md` is the definition; `graph_bitstream` holds the same format as TensorFlow operations for
exported models. Nothing heavy is imported here: a header is shown without loading TensorFlow or numpy.

Gotchas: a length or a count comes from a stranger. It is held against the bytes that are left before
anything is read or allocated, and a varint ends after four bytes whatever it says.
"""
from __future__ import annotations

import dataclasses
import enum
import struct
import zlib
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from lic.errors import DataError

MAGIC = b"\xf1LIC"  # the first byte is no ASCII and no valid UTF-8: a transfer in text mode breaks it visibly
SUFFIX = ".tfci"
VERSION = 2
PREFIX_BYTES = 12
CRC_BYTES = 4
MAX_SIDE = 65535  # pixels
MAX_STRINGS = 255  # of a tile
TILE_UNIT = 64  # pixels; a tile's sides are multiples of it
MAX_TILE = -(-MAX_SIDE // TILE_UNIT)  # units
PHASES = 4  # places of the grid that locations are rounded to, a quarter of a step apart
MAX_QUALITY = 100
QUALITY_STEPS = 2  # of a quality: the file holds halves
VARINT_BYTES = 4
MAX_LENGTH = (1 << 7 * VARINT_BYTES) - 1  # bytes of one string or chunk
MAX_ESCAPES = 1 << 22  # of a tile; trained models have hardly any, and each takes 80 bytes of memory to read
ESCAPE_RANGE = (-(1 << 7 * VARINT_BYTES - 1), (1 << 7 * VARINT_BYTES - 1) - 1)

ARITHMETIC_BITS = 0x03
TILED_BIT = 0x04
CHUNKS_BIT = 0x08
UNKNOWN_BITS = 0xF0

# One line a kind of damage; graph_bitstream says the same words.
EMPTY = "the file is empty"
FOREIGN = "this is not a file of this codec"
NEWER = "the file was made by a newer version of this codec"
OLDER = "the file was made by an older version of this codec, which this one does not read: compress it again"
TRUNCATED = "the file is truncated: it ends before its contents do"
TRAILING = "the file has bytes after its end"
MALFORMED = "the file is damaged: a number in its header is not in its only legal form"
BAD_SIDE = f"the file is damaged: the sides of its picture are not within 1..{MAX_SIDE} pixels"
BAD_QUALITY = f"the file is damaged: its quality is not within 1..{MAX_QUALITY}"
BAD_TILE = "the file is damaged: the sides of its tiles are none that cut its picture"
ESCAPES = "the symbols are not those that were encoded: the file has values left over, or too few"
NO_STRINGS = "the file is damaged: it holds no strings"
BAD_RECORD = "the file is damaged: the strings of a tile do not fill the space set aside for them"
BAD_PHASE = f"the file is damaged: the phase of a grid is not within 0..{PHASES - 1}"
BAD_CHUNKS = "the file is damaged: its metadata chunks do not fill the space set aside for them"
MISPLACED = "not what was encoded here: the file was put together from others, or this machine computes otherwise"
DAMAGED = "the file is damaged: its checksum does not match its contents"

_FOREIGNERS = (  # (offset, signature, name)
    (0, b"\x89PNG", "a PNG picture"),
    (0, b"\xff\xd8\xff", "a JPEG picture"),
    (0, b"\xff\x0a", "a JPEG XL picture"),
    (0, b"\0\0\0\x0cJXL ", "a JPEG XL picture"),
    (0, b"\0\0\0\x0cjP  ", "a JPEG 2000 picture"),
    (8, b"WEBP", "a WebP picture"),
    (4, b"ftyp", "an AVIF, HEIC or video file"),
    (0, b"GIF8", "a GIF picture"),
    (0, b"BM", "a BMP picture"),
    (0, b"II*\0", "a TIFF picture"),
    (0, b"MM\0*", "a TIFF picture"),
    (0, b"P6", "a PPM picture"),
    (0, b"P5", "a PGM picture"),
)
_PACKED_TENSORS = b"\n\x01\x01\x12"  # the key of the first tensor in a serialized tf.train.Example

Chunk = tuple[str, bytes]


class Arithmetic(enum.IntEnum):
    """How the entropy path computed: a decoder that computes otherwise loses step with the encoder."""

    PORTABLE = 0  # integers: the same on every machine
    FLOAT32 = 1
    TF32 = 2  # float32, products may be rounded to TF32


@dataclasses.dataclass(frozen=True)
class Record:
    """What the file holds of one tile, or of the whole picture where it is not cut into tiles.

    Attributes:
      phase: 0..3, how many quarters of a step the grid of the locations is shifted.
      checks: a check byte for each string, see "The symbol checks" in format.md.
      strings: the range-coded strings.
      seal: what binds its symbols to its place, see `seal`.
      escapes: the symbols that no table holds, in the order of the strings, -2^27..2^27 - 1 each.
    """

    phase: int
    checks: tuple[int, ...]
    strings: tuple[bytes, ...]
    seal: int
    escapes: tuple[int, ...] = ()


@dataclasses.dataclass(frozen=True)
class Header:
    """All that a file says before its records.

    Attributes:
      arithmetic: of the entropy path.
      model_code: family * 16 + preset, 0..255; `config` knows the names.
      quality: 0 for a model with one fixed rate, else 1..100 in halves.
      weights_id: 4 bytes, the beginning of a SHA-256 over weights and range-coding tables.
      width, height: of the picture in pixels, 1..65535.
      tile: (height, width) of its tiles in pixels, multiples of 64; None where it is not cut.
      num_strings: strings a tile.
      chunks: (type of 4 characters, data) of each metadata chunk, in file order.
    """

    arithmetic: Arithmetic
    model_code: int
    quality: float
    weights_id: bytes
    width: int
    height: int
    tile: tuple[int, int] | None
    num_strings: int
    chunks: tuple[Chunk, ...] = ()

    @property
    def prefix(self) -> bytes:
        """The 12 bytes that `build` and `graph_bitstream` take: what the file demands of its decoder."""
        return prefix(self.arithmetic, self.model_code, self.quality, self.weights_id)


def prefix(arithmetic: Arithmetic, model_code: int, quality: float, weights_id: bytes) -> bytes:
    """The first 12 bytes of a file without tiles and chunks; arguments as in `Header`.

    But for the quality they are a constant of the model.
    """
    assert 0 <= model_code <= 255 and len(weights_id) == 4
    return MAGIC + bytes([VERSION, Arithmetic(arithmetic), model_code, quality_byte(quality)]) + bytes(weights_id)


def quality_byte(quality: float) -> int:
    """What stands in a file for a quality: 0 for none, else 1..199 for 1..100 in halves, the nearest."""
    assert quality == 0 or 1 <= quality <= MAX_QUALITY
    return round(QUALITY_STEPS * quality) - 1 if quality else 0


def quality_of(byte: int) -> float:
    """The inverse of `quality_byte`."""
    return (byte + 1) / QUALITY_STEPS if byte else 0


def num_tiles(width: int, height: int, tile: tuple[int, int] | None) -> int:
    """Tiles, and records, of a picture."""
    return -(-height // tile[0]) * -(-width // tile[1]) if tile else 1


def seal(width: int, height: int, tile: tuple[int, int] | None, number: int, before: int, crc: int,
         phase: int = 0, quality: float = 0) -> int:
    """The CRC-32 that shows that a tile was decoded right, and stands where it was put.

    Args:
      width, height, tile: of the picture, as in `Header`.
      number: of the tile, from 0.
      before: the seal of the tile before it, 0 for the first.
      crc: CRC-32 of the tile's symbols.
      phase: of its grid.
      quality: of the picture, as in `Header`.
    """
    return zlib.crc32(struct.pack("<8I", width, height, *(tile or (0, 0)), number, before, crc,
                                  phase + 256 * quality_byte(quality)))


def build(start: bytes, width: int, height: int, records: Sequence[Record], tile: tuple[int, int] | None = None,
          chunks: Sequence[Chunk] = ()) -> bytes:
    """Writes a file.

    Args:
      start: 12 bytes from `prefix` or `Header.prefix`.
      width, height: of the picture in pixels.
      records: of each tile, row by row; each with the same number of strings, 1..255.
      tile: (height, width) of a tile in pixels, multiples of 64; None for a picture that is not cut.
      chunks: (type of 4 printable ASCII characters, data) of each metadata chunk.
    Returns:
      The bytes of the file.
    Raises:
      DataError: the picture, a string or a chunk is too large for the format.
    """
    assert len(start) == PREFIX_BYTES and start.startswith(MAGIC) and not start[5] & (CHUNKS_BIT | TILED_BIT)
    assert len(records) == num_tiles(width, height, tile) and len({len(record.strings) for record in records}) == 1
    if not (1 <= width <= MAX_SIDE and 1 <= height <= MAX_SIDE):
        raise DataError(f"a picture of {width} x {height} pixels does not fit: a side is 1..{MAX_SIDE}")
    section = b"".join(_chunk(kind, data) for kind, data in chunks)
    packed = [pack_record(record) for record in records]
    body = b"".join([
        start[:5], bytes([start[5] | (CHUNKS_BIT if chunks else 0) | (TILED_BIT if tile else 0)]), start[6:],
        _varint(width), _varint(height), *(_varint(_tile_units(side)) for side in tile or ()),
        bytes([len(records[0].strings)]),
        _varint(len(section)) + section if chunks else b"",
        *(_varint(len(record)) for record in packed),
        *packed])
    return body + zlib.crc32(body).to_bytes(CRC_BYTES, "little")


def pack_record(record: Record) -> bytes:
    """The bytes of a record; the length of the last string is left out, it takes what the others leave."""
    assert 0 <= record.phase < PHASES and len(record.checks) == len(record.strings) and 1 <= len(record.strings) <= 255
    if len(record.escapes) > MAX_ESCAPES:
        raise DataError(f"{len(record.escapes)} symbols of a tile fit no table, and {MAX_ESCAPES} may: train the model "
                        "longer, or give a smaller --tile")
    return b"".join([
        bytes([record.phase]), bytes(record.checks), *(_varint(len(string)) for string in record.strings[:-1]),
        _varint(len(record.escapes)), *(_varint(_zigzag(value)) for value in record.escapes),
        *record.strings, record.seal.to_bytes(CRC_BYTES, "little")])


def parse(data: bytes) -> tuple[Header, tuple[Record, ...]]:
    """Reads a file and checks every byte of it.

    Args:
      data: the whole file.
    Returns:
      Its header and the record of each tile, row by row.
    Raises:
      DataError: the file is empty, foreign, of another version, truncated, too long or damaged; the text says which.
    """
    data = bytes(data)   # whoever has a bytearray or a view may change it meanwhile
    flags = check_start(data)
    reader = _Reader(data, PREFIX_BYTES, len(data) - CRC_BYTES)
    outline = _outline(reader, flags)
    count = num_tiles(outline.width, outline.height, outline.tile)
    _demand(count <= reader.left, TRUNCATED)  # before a list of a forged length is made
    packed = [reader.take(length) for length in [reader.varint() for _ in range(count)]]
    _demand(reader.left == 0, TRAILING)
    _demand(zlib.crc32(data[:reader.end]) == int.from_bytes(data[reader.end:], "little"), DAMAGED)
    header = _header(data, flags, outline)
    return header, tuple(unpack_record(record, header.num_strings) for record in packed)


def head(data: bytes) -> Header:
    """The header of a file of which nothing else is looked at, neither records nor checksum. Raises as `parse` does."""
    flags = check_start(data)
    return _header(data, flags, _outline(_Reader(data, PREFIX_BYTES, len(data) - CRC_BYTES), flags))


class _Outline(NamedTuple):
    """What stands between the prefix and the records; `section` holds the chunks."""

    width: int
    height: int
    tile: tuple[int, int] | None
    num_strings: int
    section: bytes


def _outline(reader: _Reader, flags: int) -> _Outline:
    """Reads it, and checks what the number of tiles hangs on."""
    width, height = reader.varint(), reader.varint()
    units = (reader.varint(), reader.varint()) if flags & TILED_BIT else None
    num_strings = reader.byte()
    section = reader.take(reader.varint()) if flags & CHUNKS_BIT else b""
    _demand(1 <= width <= MAX_SIDE and 1 <= height <= MAX_SIDE, BAD_SIDE)
    _demand(units is None or all(1 <= side <= MAX_TILE for side in units), BAD_TILE)
    tile = (units[0] * TILE_UNIT, units[1] * TILE_UNIT) if units else None
    _demand(tile is None or num_tiles(width, height, tile) > 1, BAD_TILE)
    return _Outline(width, height, tile, num_strings, section)


def _header(data: bytes, flags: int, outline: _Outline) -> Header:
    """The header, with the checks that under a right checksum only a faulty writer fails."""
    _demand(data[7] <= quality_byte(MAX_QUALITY), BAD_QUALITY)
    _demand(outline.num_strings > 0, NO_STRINGS)
    return Header(Arithmetic(flags & ARITHMETIC_BITS), data[6], quality_of(data[7]), data[8:12], outline.width,
                  outline.height, outline.tile, outline.num_strings, tuple(_chunks(outline.section)))


def unpack_record(data: bytes, num_strings: int) -> Record:
    """Reads the bytes of a record. Raises DataError where they are none."""
    reader = _Reader(data, 0, max(0, len(data) - CRC_BYTES))
    try:
        phase, checks = reader.byte(), tuple(reader.take(num_strings))
        lengths, count = [reader.varint() for _ in range(num_strings - 1)], reader.varint()
        _demand(count <= min(reader.left, MAX_ESCAPES), TRUNCATED)  # before a list of a forged length is made
        escapes = tuple(_unzigzag(reader.varint()) for _ in range(count))
        strings = [reader.take(length) for length in lengths]
    except DataError as error:
        raise DataError(BAD_RECORD) from error
    strings.append(reader.take(reader.left))
    _demand(phase < PHASES, BAD_PHASE)
    return Record(phase, checks, tuple(strings), int.from_bytes(data[reader.end:], "little"), escapes)


def check_start(data: bytes) -> int:
    """The flags of a file, of which the first 16 bytes will do. Raises DataError for a layout that is not known."""
    _demand(len(data) > 0, EMPTY)
    if not data.startswith(MAGIC[:len(data)]):
        raise DataError(FOREIGN + _foreigner(data))
    _demand(len(data) >= PREFIX_BYTES + CRC_BYTES, TRUNCATED)
    version, flags = data[4], data[5]
    _demand(version != 0, FOREIGN)
    _demand(version >= VERSION, OLDER)
    _demand(version == VERSION, f"{NEWER}: it has format {version}, this one reads {VERSION}")
    known = not flags & UNKNOWN_BITS and flags & ARITHMETIC_BITS in list(Arithmetic)
    _demand(known, f"{NEWER}: it has flags {flags}, which this one does not know")
    return flags


def _foreigner(data: bytes) -> str:
    """": it begins like a PNG picture", or nothing where the beginning says nothing."""
    for offset, signature, name in _FOREIGNERS:
        if data[offset:offset + len(signature)] == signature:
            return f": it begins like {name}"
    if data.startswith(b"\n") and _PACKED_TENSORS in data:
        return ": it looks like PackedTensors of tensorflow-compression, which other scripts write"
    return ""


class _Reader:
    """A cursor over `data[at:end]` that refuses to run past the end."""

    def __init__(self, data: bytes, at: int, end: int):
        self.data, self.at, self.end = data, at, end

    @property
    def left(self) -> int:
        return self.end - self.at

    def take(self, count: int) -> bytes:
        _demand(count <= self.left, TRUNCATED)
        self.at += count
        return self.data[self.at - count:self.at]

    def byte(self) -> int:
        return self.take(1)[0]

    def varint(self) -> int:
        """An unsigned LEB128 number, 0..2^28 - 1, in its shortest form."""
        value = 0
        for shift in range(0, 7 * VARINT_BYTES, 7):
            byte = self.byte()
            value |= (byte & 127) << shift
            if byte < 128:
                _demand(byte > 0 or shift == 0, MALFORMED)  # a last byte of zero adds nothing
                return value
        raise DataError(MALFORMED)


def _chunks(section: bytes) -> Iterable[Chunk]:
    """Splits the chunk section; unknown types are handed over like any other."""
    reader = _Reader(section, 0, len(section))
    while reader.at < reader.end:
        try:
            kind, data = reader.take(4), reader.take(reader.varint())
        except DataError as error:
            raise DataError(BAD_CHUNKS) from error
        _demand(all(32 <= byte < 127 for byte in kind), BAD_CHUNKS)
        yield kind.decode("ascii"), data


def _chunk(kind: str, data: bytes) -> bytes:
    assert len(kind) == 4 and kind.isascii() and kind.isprintable()
    return kind.encode("ascii") + _varint(len(data)) + data


def _tile_units(side: int) -> int:
    assert side > 0 and side % TILE_UNIT == 0
    return side // TILE_UNIT


def _zigzag(value: int) -> int:
    """0, -1, 1, -2, ... as 0, 1, 2, 3, ..."""
    return 2 * value if value >= 0 else -2 * value - 1


def _unzigzag(number: int) -> int:
    return -(number + 1) // 2 if number % 2 else number // 2


def _varint(value: int) -> bytes:
    """`value` as LEB128, least significant group first."""
    if value > MAX_LENGTH:
        raise DataError(f"{value} bytes do not fit: a string or the chunks may have {MAX_LENGTH} bytes")
    groups = [value & 127]
    while value := value >> 7:
        groups[-1] |= 128
        groups.append(value & 127)
    return bytes(groups)


def _demand(condition: bool, message: str) -> None:
    if not condition:
        raise DataError(message)
