"""How a sound file is broken: a mutant follows from its number and the seed alone.

Two families. Blind ones change bytes and know nothing of the format; with `sealed` the CRC is made right again behind
them. Knowing ones, which are faulty or hostile writers, change a field or a string and keep all lengths right, so that
the range decoder and the networks get to see it.
"""

from __future__ import annotations

import copy
import random
from collections.abc import Callable, Sequence
from typing import NamedTuple

from lic import bitstream
from tools.fuzz.anatomy import Anatomy, Piece, joined, sealed, varint

NUMBERS = (0, 1, 2, 63, 64, 65, 127, 128, 255, 256, 1023, 1024, 16383, 16384, 32768, 65535, 65536, 2 ** 21, 2 ** 28 - 1)
BYTES = (0, 1, 2, 3, 4, 15, 16, 127, 128, 251, 254, 255)
ILLEGAL = (b"", b"\x80\x00", b"\x81\x00", b"\x80" * 4, b"\x80" * 9, b"\xff" * 4 + b"\x0f", b"\xff" * 10)
SIDES = (1, 2, 63, 64, 65, 128, 192, 255, 256, 1024, 4096, 8192, 16384, 17320, 65472, 65535)
LONGEST = 1 << 17  # of a made-up string


class Mutant(NamedTuple):
    """A broken file.

    Attributes:
      kind: what was done to it.
      original: number of the file that it was made from.
      data: its bytes.
    """

    kind: str
    original: int
    data: bytes


# Blind: (rng, body, body of another file) -> body ------------------------------------------------------------------

def flip_bits(rng, body, _):
    out = bytearray(body)
    for _ in range(rng.choice((1, 1, 2, 8))):
        out[rng.randrange(len(out))] ^= 1 << rng.randrange(8)
    return bytes(out)


def overwrite(rng, body, _):
    begin, end = _slice(rng, body)
    return body[:begin] + _filling(rng, end - begin) + body[end:]


def cut(rng, body, _):
    return body[:rng.randrange(len(body))]


def delete(rng, body, _):
    begin, end = _slice(rng, body)
    return body[:begin] + body[end:]


def insert(rng, body, _):
    at = rng.randrange(len(body) + 1)
    return body[:at] + _filling(rng, rng.choice((1, 2, 4, 64, 1000))) + body[at:]


def repeat(rng, body, _):
    begin, end = _slice(rng, body)
    return body[:end] + body[begin:end] * rng.choice((1, 1, 2, 50)) + body[end:]


def swap_pieces(rng, body, _):
    a, b, c = sorted(rng.randrange(len(body) + 1) for _ in range(3))
    return body[:a] + body[b:c] + body[a:b] + body[c:]


def splice(rng, body, other):
    return body[:rng.randrange(len(body) + 1)] + other[rng.randrange(len(other)):]


def trail(rng, body, other):
    return body + rng.choice((b"\0", _filling(rng, 4), _filling(rng, 1000), other))


def rubbish_after_magic(rng, body, _):
    return body[:rng.choice((4, 5, 6, 12))] + rng.randbytes(rng.randrange(200))


BLIND = (flip_bits, overwrite, cut, delete, insert, repeat, swap_pieces, splice, trail, rubbish_after_magic)


def _slice(rng, body: bytes) -> tuple[int, int]:
    begin = rng.randrange(len(body))
    return begin, min(len(body), begin + rng.choice((1, 2, 4, 16, len(body))))


def _filling(rng, length: int) -> bytes:
    return rng.choice((bytes(length), b"\xff" * length, rng.randbytes(length)))


# Knowing: (rng, file, another file) -> file; every length and the CRC are right -------------------------------------

def string_flipped(rng, file, _):
    strings, k = _some_string(rng, file)
    strings[k] = flip_bits(rng, strings[k] or b"\0", b"")


def string_uniform(rng, file, _):
    strings, k = _some_string(rng, file)
    length = rng.choice((0, 1, 2, 4, len(strings[k]), 1000, LONGEST))
    strings[k] = rng.choice((b"\0", b"\xff", rng.randbytes(1))) * length


def string_random(rng, file, _):
    strings, k = _some_string(rng, file)
    strings[k] = rng.randbytes(rng.choice((0, 1, 3, len(strings[k]), 1000, rng.randrange(LONGEST))))


def string_cut(rng, file, _):
    strings, k = _some_string(rng, file)
    strings[k] = strings[k][:rng.randrange(len(strings[k]) + 1)]


def string_extended(rng, file, _):
    strings, k = _some_string(rng, file)
    strings[k] += _filling(rng, rng.choice((1, 2, 8, 1000, LONGEST)))


def string_with_tail_replaced(rng, file, _):
    strings, k = _some_string(rng, file)
    at = rng.randrange(len(strings[k]) + 1)
    strings[k] = strings[k][:at] + _filling(rng, len(strings[k]) - at)


def strings_all_alike(rng, file, _):
    string = _filling(rng, rng.choice((0, 1, 2, 4, 20, 100, 10000)))
    for tile in file.tiles:
        tile.strings = [string] * len(tile.strings)


def strings_swapped(rng, file, _):
    strings, k = _some_string(rng, file)
    j = rng.randrange(len(strings))
    strings[j], strings[k] = strings[k], strings[j]


def string_of_another_file(rng, file, other):
    strings, k = _some_string(rng, file)
    strings[k] = rng.choice(rng.choice(other.tiles).strings)


def strings_more_or_fewer(rng, file, _):
    count = rng.choice((0, 1, 2, len(file.tiles[0].strings) - 1, len(file.tiles[0].strings) + 1, 255))
    for tile in file.tiles:
        tile.strings, tile.checks = (tile.strings * 255)[:count], (tile.checks * 255)[:count]


def checks_forged(rng, file, _):
    tile = rng.choice(file.tiles)
    tile.checks[rng.randrange(len(tile.checks))] = rng.randrange(256)


def escapes_forged(rng, file, _):
    values = rng.choice(file.tiles).escapes
    count = rng.choice((0, 1, 3, LONGEST))
    values[:] = rng.choices((0, 1, -1, 7, -300, 2 ** 26, -2 ** 27, rng.randrange(-99, 99)), k=count)


def escape_lost_or_added(rng, file, _):
    values = rng.choice(file.tiles).escapes
    values[:] = values[1:] if values and rng.random() < 0.5 else [*values, rng.choice((0, -5, 40))]


def seal_forged(rng, file, _):
    rng.choice(file.tiles).seal = rng.choice((0, 2 ** 32 - 1, 2 ** 31, rng.randrange(2 ** 32)))


def phase_forged(rng, file, _):
    rng.choice(file.tiles).phase = rng.choice((0, 1, 2, 3, 4, 255))


def tiles_swapped(rng, file, _):
    rng.shuffle(file.tiles)


def tile_of_another_file(rng, file, other):
    file.tiles[rng.randrange(len(file.tiles))] = rng.choice(other.tiles)


def tiles_more_or_fewer(rng, file, _):
    file.tiles = (file.tiles * 40)[:rng.choice((1, 2, len(file.tiles) + 1, 40))]


def sides_forged(rng, file, _):
    """A size that the strings are not of; with tiles, as many records as it needs, up to some dozens."""
    file.width, file.height = rng.choice((file.width, *SIDES)), rng.choice((file.height, *SIDES))
    if rng.random() < 0.5:
        file.tile = (rng.choice((1, 2, 16, 1024)), rng.choice((1, 2, 16, 1024)))
    if file.tile:
        unit = bitstream.TILE_UNIT
        count = min(40, bitstream.num_tiles(file.width, file.height, (file.tile[0] * unit, file.tile[1] * unit)))
        file.tiles = (file.tiles * count)[:count]


def tiling_forged(rng, file, _):
    file.tile = rng.choice((None, (1, 1), (2, 2), (1, 1024), (1024, 1024), (2, 1)))


def chunks_added(rng, file, _):
    kinds = ("ICCP", "EXIF", "XMP ", "zz 9", "\0\xff\0\xff")
    for _ in range(rng.choice((1, 3))):
        file.chunks.append((rng.choice(kinds), _filling(rng, rng.choice((0, 1, 200, LONGEST)))))


KNOWING = (
    string_flipped, string_uniform, string_random, string_cut, string_extended, string_with_tail_replaced,
    strings_all_alike, strings_swapped, string_of_another_file, strings_more_or_fewer, checks_forged,
    escapes_forged, escape_lost_or_added, seal_forged, phase_forged, tiles_swapped, tile_of_another_file,
    tiles_more_or_fewer, sides_forged, tiling_forged, chunks_added)


def _some_string(rng, file) -> tuple[list[bytes], int]:
    strings = rng.choice(file.tiles).strings
    return strings, rng.randrange(len(strings))


def field_at_an_extreme(rng, pieces: Sequence[Piece]) -> bytes:
    """One field says something else, and the rest of the file stays as it was."""
    at = rng.choice([i for i, piece in enumerate(pieces) if piece.name != "string"])
    extreme = rng.choice((bytes([rng.choice(BYTES)]), varint(rng.choice(NUMBERS)), rng.choice(ILLEGAL),
                          rng.randbytes(len(pieces[at].data))))
    return joined([*pieces[:at], Piece(pieces[at].name, extreme), *pieces[at + 1:]])


# All together -----------------------------------------------------------------------------------------------------

KINDS: tuple[str, ...] = (
    *(f.__name__ for f in BLIND), *(f"{f.__name__}, sealed" for f in BLIND), "field_at_an_extreme", "crc_forged",
    *(f.__name__ for f in KNOWING), "two at once")
_BLIND: dict[str, Callable] = {f.__name__: f for f in BLIND}
_KNOWING: dict[str, Callable] = {f.__name__: f for f in KNOWING}


def mutant(seed: int, number: int, originals: Sequence[bytes]) -> Mutant:
    """The `number`th mutant of a seed; kinds take turns."""
    rng = random.Random(f"{seed}/{number}")
    kind = KINDS[number % len(KINDS)]
    which = rng.randrange(len(originals))
    return Mutant(kind, which, _mutate(rng, kind, originals[which], rng.choice(originals)))


def _mutate(rng, kind: str, data: bytes, other: bytes) -> bytes:
    blind = _BLIND.get(kind.replace(", sealed", ""))
    if blind:
        end = -bitstream.CRC_BYTES if kind.endswith("sealed") else None
        body = blind(rng, data[:end], other[:end])
        return sealed(body) if end else body
    if kind == "crc_forged":
        return data[:-4] + rng.choice((bytes(4), b"\xff" * 4, rng.randbytes(4)))
    if kind == "field_at_an_extreme":
        return sealed(field_at_an_extreme(rng, Anatomy.of(data).pieces()))
    file, others = Anatomy.of(data), Anatomy.of(other)
    names = [kind] if kind in _KNOWING else rng.sample(sorted(_KNOWING), 2)
    for name in names:
        if all(tile.strings for tile in file.tiles):  # the one before may have left none
            _KNOWING[name](rng, file, copy.deepcopy(others))
    return sealed(file.body())
