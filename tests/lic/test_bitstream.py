"""The file format in pure Python: the documented examples, round trips, and every kind of broken file."""
import random
import re
import struct
import subprocess
import sys
import tracemalloc
import zlib

import pytest

from lic import bitstream
from lic.bitstream import Arithmetic, Record
from lic.errors import DataError
from tests.scripts import ROOT

START = bitstream.prefix(Arithmetic.PORTABLE, 0x21, 0, bytes.fromhex("0123ABCD"))
LEAST, MOST = -2 ** 27, 2 ** 27 - 1  # of an escape


def small_file(chunks=()):
    return bitstream.build(START, 768, 512, [Record(1, (7, 250), (b"hi", b"\x00\xff" * 70), 0x89ABCDEF)], None, chunks)


def tiled_file():
    """Six tiles, in two rows of three; one record needs a length of two bytes, and they have 0 to 5 escapes."""
    records = [Record(i % 4, (i, 250), (b"hi" * i, bytes([i]) * (130 if i == 4 else 1)), i << 28,
                      (-1, 300, 0, -2 ** 27, 64)[:i]) for i in range(6)]
    return bitstream.build(START, 300, 200, records, (128, 128))


FILES = {"plain": small_file(), "chunks": small_file([("NOTE", b"ok")]), "tiles": tiled_file()}
each_file = pytest.mark.parametrize("data", FILES.values(), ids=FILES)


def sealed(body):
    """`body` with the CRC that makes it look undamaged: only the structure is left to refuse it."""
    return body + zlib.crc32(body).to_bytes(4, "little")


def refusal(data):
    with pytest.raises(DataError) as caught:
        bitstream.parse(data)
    message = str(caught.value)
    assert message and "\n" not in message
    return message


def documented_examples():
    blocks = re.findall(r"```hex\n(.*?)```", (ROOT / "res/doc/format.md").read_text(encoding="utf-8"), re.S)
    return [bytes.fromhex("".join(line.split("  ")[0] for line in block.splitlines())) for block in blocks]


def crc_of(*symbols):
    """Written down as the document says."""
    return zlib.crc32(struct.pack(f"<{len(symbols)}i", *symbols))


def test_documented_example_is_what_the_code_writes_and_reads():
    seal = bitstream.seal(768, 512, None, 0, 0, crc_of(3, -1, 2), 0)
    records = (Record(0, (7, 0), (b"hi", b""), seal),)
    example, _ = documented_examples()
    assert bitstream.build(START, 768, 512, records, None, [("NOTE", b"ok")]) == example
    assert bitstream.parse(example) == (bitstream.Header(
        Arithmetic.PORTABLE, 0x21, 0, b"\x01\x23\xab\xcd", 768, 512, None, 2, (("NOTE", b"ok"),)), records)


def test_header_is_read_of_a_file_whose_records_or_checksum_are_broken():
    for example in documented_examples():
        header, _ = bitstream.parse(example)
        assert bitstream.head(example) == bitstream.head(example[:-1] + b"?") == header
        assert bitstream.head(example[:-9]) == header
        with pytest.raises(DataError, match="truncated"):
            bitstream.head(example[:17])


def test_documented_tiled_example_is_what_the_code_writes_and_reads():
    left = bitstream.seal(300, 60, (64, 192), 0, 0, crc_of(1, -2, 0, 5), 0)
    right = bitstream.seal(300, 60, (64, 192), 1, left, crc_of(0, 7, -300), 2)
    records = (Record(0, (1, 13), (b"a", b"bc"), left), Record(2, (0, 160), (b"", b"d"), right, (-300,)))
    _, example = documented_examples()
    assert bitstream.build(START, 300, 60, records, (64, 192)) == example
    assert bitstream.parse(example) == (bitstream.Header(
        Arithmetic.PORTABLE, 0x21, 0, b"\x01\x23\xab\xcd", 300, 60, (64, 192), 2), records)


PLACE = {"width": 300, "height": 60, "tile": (64, 192), "number": 1, "before": 7, "crc": 9, "phase": 2}


def test_seal_is_the_crc_of_all_that_it_binds():
    assert bitstream.seal(**PLACE) == zlib.crc32(struct.pack("<8I", 300, 60, 64, 192, 1, 7, 9, 2))
    assert bitstream.seal(**PLACE, quality=1.5) == zlib.crc32(
        struct.pack("<8I", 300, 60, 64, 192, 1, 7, 9, 2 + 256 * 2))
    for name, value in (("width", 299), ("height", 61), ("tile", (192, 64)), ("number", 0), ("before", 6), ("crc", 8),
                        ("phase", 3), ("quality", 100)):
        assert bitstream.seal(**{**PLACE, name: value}) != bitstream.seal(**PLACE), name
    largest = 2 ** 32 - 1
    assert bitstream.seal(65535, 65535, (64, 64), 2 ** 20 - 1, largest, largest, 3) == zlib.crc32(
        struct.pack("<8I", 65535, 65535, 64, 64, 2 ** 20 - 1, largest, largest, 3))


def test_seal_of_an_only_tile_knows_no_tiles():
    assert bitstream.seal(300, 60, None, 0, 0, 9, 1) == zlib.crc32(struct.pack("<8I", 300, 60, 0, 0, 0, 0, 9, 1))


def test_seals_of_the_four_phases_differ():
    assert len({bitstream.seal(**{**PLACE, "phase": phase}) for phase in range(4)}) == 4


def test_quality_stands_in_halves_and_comes_back():
    assert [bitstream.quality_byte(q) for q in (0, 1, 1.5, 2, 99.5, 100)] == [0, 1, 2, 3, 198, 199]
    assert [bitstream.quality_of(bitstream.quality_byte(q)) for q in (0, 1, 37.5, 37.4, 100)] == [0, 1, 37.5, 37.5, 100]


def random_record(rng, count):
    strings = tuple(rng.randbytes(rng.choice([0, 1, 127, 128, 300])) for _ in range(count))
    escapes = tuple(rng.choice([LEAST, MOST, 0, -1, rng.randint(-70, 70), rng.randint(-9000, 9000)])
                    for _ in range(rng.choice([0, 0, 1, 5, 130])))
    return Record(rng.randrange(4), tuple(rng.randrange(256) for _ in range(count)), strings, rng.randrange(2 ** 32),
                  escapes)


def test_parse_returns_what_build_was_given():
    rng = random.Random(1)
    for _ in range(300):
        count = rng.choice([1, 2, 9, 255])
        start = bitstream.prefix(rng.choice(list(Arithmetic)), rng.randrange(256), rng.randrange(101),
                                 rng.randbytes(4))
        sides = rng.choice([1, 127, 128, 16383, 16384, 65535]), rng.randint(1, 65535)
        records = (random_record(rng, count),)
        chunks = tuple(("EXIF", rng.randbytes(rng.choice([0, 5, 200]))) for _ in range(rng.randrange(3)))
        data = bitstream.build(start, *sides, records, None, chunks)
        header, parsed = bitstream.parse(data)
        assert parsed == records and header.prefix == start and (header.width, header.height) == sides
        assert header.tile is None and header.num_strings == count and header.chunks == chunks
        assert bitstream.build(header.prefix, header.width, header.height, parsed, header.tile, header.chunks) == data


def test_parse_returns_the_tiles_that_build_was_given():
    rng = random.Random(2)
    for _ in range(200):
        width, height, count = rng.randint(1, 900), rng.randint(1, 900), rng.choice([1, 2, 9])
        tile = rng.choice([64, 128, 192, 65536]), rng.choice([64, 128, 192, 65536])
        rows, columns = len(range(0, height, tile[0])), len(range(0, width, tile[1]))
        assert bitstream.num_tiles(width, height, tile) == rows * columns
        records = tuple(random_record(rng, count) for _ in range(rows * columns))
        chunks = rng.choice([(), (("NOTE", b"ok"),)])
        tile = tile if len(records) > 1 else None
        data = bitstream.build(START, width, height, records, tile, chunks)
        header, parsed = bitstream.parse(data)
        assert parsed == records and (header.width, header.height, header.tile) == (width, height, tile)
        assert header.prefix == START and header.num_strings == count and header.chunks == chunks


def test_picture_of_ten_thousand_tiles_round_trips():
    record = Record(3, (9,), (b"",), 2 ** 32 - 1)
    data = bitstream.build(START, 65535, 640, [record] * 10 * 1024, (64, 64))
    header, records = bitstream.parse(data)
    assert header.tile == (64, 64) and len(records) == 10 * 1024 and set(records) == {record}


def test_long_strings_round_trip_with_varints_of_three_and_four_bytes():
    record = Record(0, (0, 0, 0), (bytes(16384), bytes(2 ** 21), bytes(2 ** 21)), 0)
    data = bitstream.build(START, 1, 1, [record])
    assert bitstream.parse(data)[1] == (record,)
    assert len(data) == 12 + 2 + 1 + 4 + 1 + 3 + (3 + 4) + 1 + 16384 + 2 ** 22 + 4 + 4


def test_records_alone_round_trip():
    rng = random.Random(3)
    for count in [1, 2, 9, 255] * 20:
        record = random_record(rng, count)
        packed = bitstream.pack_record(record)
        assert bitstream.unpack_record(packed, count) == record
        assert len(packed) >= 1 + count + count - 1 + 1 + len(record.escapes) + 4 + sum(map(len, record.strings))


@pytest.mark.parametrize(("value", "coded"), [  # as the document numbers them
    (0, "00"), (-1, "01"), (1, "02"), (-2, "03"), (63, "7e"), (-64, "7f"), (64, "8001"), (-65, "8101"), (-300, "d704"),
    (8191, "fe7f"), (-8192, "ff7f"), (8192, "808001"), (2 ** 24, "80808010"), (-2 ** 24, "ffffff0f"),
    (MOST, "feffff7f"), (LEAST, "ffffff7f")])
def test_escape_is_a_zigzag_number_and_comes_back(value, coded):
    record = Record(0, (0,), (b"s",), 0, (value,))
    packed = bitstream.pack_record(record)
    assert packed == b"\0\0\1" + bytes.fromhex(coded) + b"s" + bytes(4)
    assert bitstream.unpack_record(packed, 1) == record


def test_every_short_escape_comes_back_in_its_order():
    record = Record(0, (0, 0), (b"a", b""), 7, tuple(range(-9000, 9001)))
    assert bitstream.unpack_record(bitstream.pack_record(record), 2) == record


@pytest.mark.parametrize("value", [MOST + 1, LEAST - 1, 2 ** 31, -2 ** 31])
def test_escape_that_does_not_fit_is_not_written(value):
    with pytest.raises(DataError, match="do not fit"):
        bitstream.pack_record(Record(0, (0,), (b"",), 0, (value,)))


@pytest.mark.parametrize(("packed", "num_strings", "message"), [
    (b"", 1, bitstream.BAD_RECORD),
    (b"\0" * 5, 1, bitstream.BAD_RECORD),  # phase and seal, no check
    (b"\0" * 6, 1, bitstream.BAD_RECORD),  # no number of escapes
    (b"\0" * 7, 2, bitstream.BAD_RECORD),  # no length
    (b"\0" * 8, 2, bitstream.BAD_RECORD),  # a length, and no number of escapes
    (b"\0\0\0\1\0" + b"SEAL", 2, bitstream.BAD_RECORD),  # one byte too few
    (b"\0\0\0\x7f\0" + b"abcSEAL", 2, bitstream.BAD_RECORD),
    (b"\0\0\0\xff\xff\xff\x7f\0" + b"abcSEAL", 2, bitstream.BAD_RECORD),
    (b"\0\0\0\x81\0\0" + b"abcSEAL", 2, bitstream.BAD_RECORD),  # 1 in two bytes
    (b"\0\0\0\x81\x80\x80\x80\0\0" + b"abcSEAL", 2, bitstream.BAD_RECORD),  # a length in five bytes
    # Escapes.
    (b"\0\0\1" + b"SEAL", 1, bitstream.BAD_RECORD),  # one, and none there
    (b"\0\0\3\0\0" + b"SEAL", 1, bitstream.BAD_RECORD),
    (b"\0\0\xff\xff\xff\x7f" + b"abcSEAL", 1, bitstream.BAD_RECORD),  # 2^28 - 1
    (b"\0\0\x81\0" + b"abcSEAL", 1, bitstream.BAD_RECORD),  # 1 in two bytes
    (b"\0\0\x80\x80\x80\x80\1" + b"abcSEAL", 1, bitstream.BAD_RECORD),  # in five bytes
    (b"\0\0\1\x80" + b"SEAL", 1, bitstream.BAD_RECORD),  # the seal ends the number
    (b"\0\0\2\1\x80" + b"SEAL", 1, bitstream.BAD_RECORD),
    (b"\0\0\1\x80\0" + b"abcSEAL", 1, bitstream.BAD_RECORD),  # 0 in two bytes
    (b"\0\0\1\x80\x80\x80\x80\1" + b"abcSEAL", 1, bitstream.BAD_RECORD),  # an escape in five bytes
    (b"\0\0\0\2\2\0\0" + b"aSEAL", 2, bitstream.BAD_RECORD),  # two escapes leave one byte, not two
    (b"\4\0\0" + b"SEAL", 1, bitstream.BAD_PHASE),
    (b"\4\0\1\0" + b"SEAL", 1, bitstream.BAD_PHASE),
    (b"\xff\0\0\0\0" + b"SEAL", 2, bitstream.BAD_PHASE),
])
def test_what_is_no_record_is_refused(packed, num_strings, message):
    with pytest.raises(DataError) as caught:
        bitstream.unpack_record(packed, num_strings)
    assert str(caught.value) == message


def test_last_string_takes_what_the_others_leave():
    assert bitstream.unpack_record(b"\1\2\0rest\x01\0\0\x80", 1) == Record(1, (2,), (b"rest",), 0x80000001)
    assert bitstream.unpack_record(b"\3\2\2\1\0rest\0\0\0\0", 2) == Record(3, (2, 2), (b"r", b"est"), 0)
    assert bitstream.unpack_record(b"\3\2\2\1\2rest\0\0\0\0", 2) == Record(
        3, (2, 2), (b"s", b"t"), 0, (57, -51)), "r, 114, and e, 101, as escapes"
    assert bitstream.unpack_record(b"\3\2\4rest\0\0\0\0", 1).strings == (b"",)


def test_header_of_the_bundled_models_costs_at_most_32_bytes_before_the_lengths():
    """Eleven strings, the most that any of them has; both sides and the record as large as the document says."""
    strings = (*[b""] * 10, bytes(2 ** 21 - 1 - 27))
    data = bitstream.build(START, 16383, 16383, [Record(0, (9,) * 11, strings, 0)])
    assert len(data) - len(strings[-1]) - 10 - 1 - 2 * 4 == 32
    assert data[20:32] == b"\0" + b"\x09" * 11 and data[32:43] == bytes(11)


def test_module_loads_neither_tensorflow_nor_numpy():
    code = ("import sys, lic.bitstream; heavy = {'numpy', 'tensorflow'} & set(sys.modules);"
            "sys.exit(str(heavy) if heavy else 0)")
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True)


@each_file
def test_every_flipped_bit_is_refused(data):
    bitstream.parse(data)
    for bit in range(8 * len(data)):
        broken = bytearray(data)
        broken[bit // 8] ^= 1 << bit % 8
        refusal(bytes(broken))


@each_file
def test_every_shortened_file_is_called_truncated(data):
    assert refusal(b"") == bitstream.EMPTY
    for length in range(1, len(data)):
        assert refusal(data[:length]) == bitstream.TRUNCATED


@each_file
def test_appended_bytes_are_refused_with_and_without_a_fitting_crc(data):
    assert refusal(data + b"\0") == bitstream.TRAILING
    assert refusal(data + data) == bitstream.TRAILING
    assert refusal(sealed(data[:-4] + b"\0")) == bitstream.TRAILING


@each_file
@pytest.mark.parametrize("place", [-5, -10])  # the seal, and a string
def test_damage_in_a_record_is_called_damage(data, place):
    broken = bytearray(data)
    broken[place] ^= 255
    assert refusal(bytes(broken)) == bitstream.DAMAGED


@pytest.mark.parametrize(("data", "name"), [
    (b"\x89PNG\r\n\x1a\n" + bytes(40), "PNG"), (b"\xff\xd8\xff\xe0" + bytes(40), "JPEG picture"),
    (b"RIFF\x10\0\0\0WEBPVP8 " + bytes(40), "WebP"), (b"\0\0\0 ftypavif" + bytes(40), "AVIF"),
    (b"\n\x20\n\x0b\n\x01\x01\x12\x06" + bytes(40), "PackedTensors")])
def test_a_foreign_file_is_called_by_its_name(data, name):
    assert refusal(data).startswith(bitstream.FOREIGN) and name in refusal(data)


def test_a_foreign_file_without_a_name_is_called_foreign():
    for data in (b"#!/bin/sh", b"\xf1LID" + bytes(40), b"x", small_file()[1:], b"\xf1LIC\0" + bytes(40)):
        assert refusal(data) == bitstream.FOREIGN


def test_newer_versions_and_unknown_flags_are_refused_as_newer():
    unknown = [flags for flags in range(256) if flags & 0xF0 or flags & 3 == 3]
    for place, value in [(4, version) for version in range(3, 256)] + [(5, flags) for flags in unknown]:
        body = bytearray(small_file()[:-4])
        body[place] = value
        assert refusal(sealed(bytes(body))).startswith(bitstream.NEWER)


VERSION_1 = bytes.fromhex(  # the example of its document
    "F14C494301082100 0123ABCD 8006 8004 02 0700 0200 07 4E4F5445 02 6F6B 6869 0CF9431E")


def test_version_1_is_refused_as_older():
    assert refusal(VERSION_1) == bitstream.OLDER
    for version_2 in FILES.values():
        assert refusal(sealed(version_2[:4] + b"\1" + version_2[5:-4])) == bitstream.OLDER
    assert refusal(VERSION_1[:5] + b"\xff" + VERSION_1[6:]) == bitstream.OLDER, "whatever its flags meant"
    assert "compress it again" in bitstream.OLDER


def flagged(flags):
    return START[:5] + bytes([flags]) + START[6:]


SEAL = b"\1\2\3\4"
RECORD = b"\0\0\0hi" + SEAL  # one string, no escapes: 9 bytes
TAIL = b"\x01\x09" + RECORD  # n, the record's length
TILED, WITH_CHUNKS, BOTH = flagged(4), flagged(8) + b"\x01\x01\x01", flagged(12) + b"\x01\x01\x01\x01\x01"
TWO_BOTH = flagged(12) + b"\x41\x01\x01\x01\x01"  # two tiles
HUGE = b"\xff\xff\xff\x7f"  # 2^28 - 1
GREEDY = b"\xff\x81\x0a\x00" + bytes(255) + HUGE * 254 + bytes(9)  # 255 strings in a record of 1281 bytes

HOSTILE = [
    (START + b"\x80\x80\x80\x80\x01\x01" + TAIL, bitstream.MALFORMED),  # width in five bytes
    (START + b"\x80" * 40, bitstream.MALFORMED),
    (START + b"\xff" * 300, bitstream.MALFORMED),
    (START + b"\x81\x00\x01" + TAIL, bitstream.MALFORMED),  # 1 in two bytes
    (START + b"\x01\x81\x00" + TAIL, bitstream.MALFORMED),
    (START + b"\x00\x01" + TAIL, bitstream.BAD_SIDE),
    (START + b"\x01\x00" + TAIL, bitstream.BAD_SIDE),
    (START + b"\x01\x80\x80\x04" + TAIL, bitstream.BAD_SIDE),  # 65536
    (START + b"\x80\x80\x04\x01" + TAIL, bitstream.BAD_SIDE),
    (START + b"\x01" + HUGE + TAIL, bitstream.BAD_SIDE),
    (START + HUGE + HUGE + TAIL, bitstream.BAD_SIDE),
    (START + b"\x01\x01", bitstream.TRUNCATED),  # the CRC is where the count should be
    (START + b"\x01\x01\x01", bitstream.TRUNCATED),  # ... and where the record's length should be
    # Tiles.
    (TILED + b"\x01\x01\x00\x01" + TAIL, bitstream.BAD_TILE),
    (TILED + b"\x01\x01\x01\x00" + TAIL, bitstream.BAD_TILE),
    (TILED + b"\x01\x01\x81\x08\x01" + TAIL, bitstream.BAD_TILE),  # 1025 units
    (TILED + b"\x01\x01\x01\x81\x08" + TAIL, bitstream.BAD_TILE),
    (TILED + b"\x01\x01" + HUGE + HUGE + TAIL, bitstream.BAD_TILE),
    (TILED + b"\x01\x01\x81\x00\x01" + TAIL, bitstream.MALFORMED),
    (TILED + b"\x01\x01\x01\x81\x00" + TAIL, bitstream.MALFORMED),
    (TILED + b"\x01\x01\x80\x80\x80\x80\x01\x01" + TAIL, bitstream.MALFORMED),
    (TILED + b"\x01\x01\x01", bitstream.TRUNCATED),
    (TILED + b"\x01\x01\x01\x01", bitstream.TRUNCATED),
    (TILED + b"\x00\x01\x01\x01" + TAIL, bitstream.BAD_SIDE),  # no tiles at all
    (TILED + b"\x01\x00\x01\x01" + TAIL, bitstream.BAD_SIDE),
    (TILED + HUGE + HUGE + b"\x01\x01" + TAIL, bitstream.BAD_SIDE),
    (TILED + b"\xff\xff\x03\xff\xff\x03\x01\x01" + TAIL, bitstream.TRUNCATED),  # 2^20 tiles in 9 bytes
    (TILED + b"\x41\x41\x01\x01\x01" + b"\x06" * 3, bitstream.TRUNCATED),  # 4 tiles in 3 bytes
    (TILED + b"\x41\x01\x01\x01" + TAIL, bitstream.TRUNCATED),  # 2 tiles, one record: 0 is the other's length
    (TILED + b"\x41\x01\x01\x01\x01\x09\x09" + RECORD, bitstream.TRUNCATED),  # the second record is missing
    (TILED + b"\x41\x01\x01\x01\x01\x09\x81\x00" + RECORD + RECORD, bitstream.MALFORMED),
    (TILED + b"\x41\x01\x01\x01\x01\x09\x08" + RECORD + RECORD, bitstream.TRAILING),
    (TILED + b"\x41\x01\x01\x01\x01\x09\x0a" + RECORD + RECORD, bitstream.TRUNCATED),
    (TILED + b"\x40\x01\x01\x01\x01\x09" + RECORD + RECORD, bitstream.BAD_TILE),  # 64 pixels are one tile
    (TILED + b"\x40\x01\x01\x01" + TAIL, bitstream.BAD_TILE),
    (TILED + b"\x01\x01\x80\x08\x80\x08" + TAIL, bitstream.BAD_TILE),
    (TILED + b"\x80\x01\x80\x02\x04\x02" + TAIL, bitstream.BAD_TILE),  # the picture is as large as its tile
    (BOTH + b"\x00\x09" + RECORD, bitstream.BAD_TILE),
    # Lengths of records.
    (START + b"\x01\x01\x01\x0a" + RECORD, bitstream.TRUNCATED),
    (START + b"\x01\x01\x01" + HUGE + RECORD, bitstream.TRUNCATED),
    (START + b"\x01\x01\x01\x08" + RECORD, bitstream.TRAILING),
    (START + b"\x01\x01\x01\x00" + RECORD, bitstream.TRAILING),
    (START + b"\x01\x01\x01\x89\x00" + RECORD, bitstream.MALFORMED),
    (START + b"\x01\x01\x01\x80\x80\x80\x80\x01" + RECORD, bitstream.MALFORMED),
    # Chunks.
    (WITH_CHUNKS + HUGE + b"\x09" + RECORD, bitstream.TRUNCATED),
    (WITH_CHUNKS + b"\x80\x80\x80\x80\x80\x00" + RECORD, bitstream.MALFORMED),
    (WITH_CHUNKS + b"\x81\x00\x00\x09" + RECORD, bitstream.MALFORMED),
    (WITH_CHUNKS + b"\x0a" + RECORD, bitstream.TRUNCATED),
    (TWO_BOTH + HUGE + b"\x09\x09" + RECORD + RECORD, bitstream.TRUNCATED),
    (TWO_BOTH + b"\x00\x08\x09" + RECORD + RECORD, bitstream.TRAILING),
]
# What stands in a record: `parse` of Python opens all of them, the graph one when its tile's turn has come.
HOSTILE_RECORDS = [
    (START + b"\x01\x01\x01\x00", bitstream.BAD_RECORD),
    (START + b"\x01\x01\x01\x05\x00" + SEAL, bitstream.BAD_RECORD),  # no check
    (START + b"\x01\x01\x01\x06\x00\x00" + SEAL, bitstream.BAD_RECORD),  # no number of escapes
    (START + b"\x01\x01\x01\x09\x04\x00\x00hi" + SEAL, bitstream.BAD_PHASE),
    (START + b"\x01\x01\x01\x07\xff\x00\x00" + SEAL, bitstream.BAD_PHASE),
    (START + b"\x01\x01\x02\x07\x00\x00\x00" + SEAL, bitstream.BAD_RECORD),  # two strings, no length
    (START + b"\x01\x01\x02\x0b\x00\x00\x00\x03\x00hi" + SEAL, bitstream.BAD_RECORD),
    (START + b"\x01\x01\x02\x0e\x00\x00\x00" + HUGE + b"\x00hi" + SEAL, bitstream.BAD_RECORD),
    (START + b"\x01\x01\x02\x0c\x00\x00\x00\x82\x00\x00hi" + SEAL, bitstream.BAD_RECORD),
    (START + b"\x01\x01" + GREEDY, bitstream.BAD_RECORD),
    (START + b"\x01\x01\x01\x09\x00\x00\x03hi" + SEAL, bitstream.BAD_RECORD),  # three escapes in two bytes
    (START + b"\x01\x01\x01\x0c\x00\x00" + HUGE + b"hi" + SEAL, bitstream.BAD_RECORD),
    (START + b"\x01\x01\x01\x0a\x00\x00\x81\x00hi" + SEAL, bitstream.BAD_RECORD),
    (START + b"\x01\x01\x01\x09\x00\x00\x01\x80\x00" + SEAL, bitstream.BAD_RECORD),
    (TILED + b"\x41\x01\x01\x01\x01\x09\x00" + RECORD, bitstream.BAD_RECORD),  # an empty second record
    (TILED + b"\x41\x01\x01\x01\x01\x09\x09" + RECORD + b"\4" + RECORD[1:], bitstream.BAD_PHASE),
    (TILED + b"\x41\x01\x01\x01\x01\x0d\x05" + RECORD + RECORD, bitstream.BAD_RECORD),
]
# Without a model, Python alone has a word for these.
HOSTILE_TO_PYTHON = [
    (START[:7] + b"\xc8" + START[8:] + b"\x01\x01" + TAIL, bitstream.BAD_QUALITY),
    (START + b"\x01\x01\x00\x09" + RECORD, bitstream.NO_STRINGS),
    (WITH_CHUNKS + b"\x03NOT\x09" + RECORD, bitstream.BAD_CHUNKS),
    (WITH_CHUNKS + b"\x06NOTE\x02o\x09" + RECORD, bitstream.BAD_CHUNKS),
    (WITH_CHUNKS + b"\x05NOT\x00\x00\x09" + RECORD, bitstream.BAD_CHUNKS),
    (TWO_BOTH + b"\x05NOTE\x01\x09\x09" + RECORD + RECORD, bitstream.BAD_CHUNKS),
]


def numbered(cases):
    """Bytes make names that no terminal likes."""
    return pytest.mark.parametrize(("body", "message"), cases, ids=range(len(cases)))


@numbered([*HOSTILE, *HOSTILE_RECORDS, *HOSTILE_TO_PYTHON])
def test_hostile_structure_under_a_fitting_crc_is_refused(body, message):
    assert refusal(sealed(body)) == message


@pytest.mark.parametrize("body", [
    START + b"\x01\x01" + TAIL, TILED + b"\x41\x01\x01\x01\x01\x09\x09" + RECORD + RECORD,
    TILED + b"\x41\x01\x80\x08\x01\x01\x09\x09" + RECORD + RECORD, WITH_CHUNKS + b"\x00\x09" + RECORD,
    TWO_BOTH + b"\x05NOTE\x00\x09\x09" + RECORD + RECORD], ids=range(5))
def test_structure_without_hostility_is_read(body):
    """The bodies of which the hostile ones are twisted forms are right themselves."""
    _, records = bitstream.parse(sealed(body))
    assert set(records) == {Record(0, (0,), (b"hi",), 0x04030201)}


def test_an_empty_chunk_section_and_unknown_chunks_are_read():
    assert bitstream.parse(sealed(WITH_CHUNKS + b"\x00\x09" + RECORD))[1][0].strings == (b"hi",)
    header, _ = bitstream.parse(sealed(WITH_CHUNKS + b"\x0bzz 9\x01!NOTE\x00\x09" + RECORD))
    assert header.chunks == (("zz 9", b"!"), ("NOTE", b""))


@pytest.mark.parametrize("body", [
    START + b"\x01\x01" + GREEDY,  # strings
    START + b"\x01\x01\xff" + HUGE,  # a record
    START + HUGE + HUGE + b"\xff" + HUGE * 9,
    TILED + b"\xff\xff\x03\xff\xff\x03\x01\x01\xff" + HUGE * 255,  # a million tiles
    TILED + b"\xff\xff\x03\xff\x01\x01\x01\x01" + HUGE * 1024 * 4,  # four thousand, with that many lengths
    TILED + HUGE + HUGE + HUGE + HUGE + b"\x01" + HUGE * 255,
    START + b"\x01\x01\x01\xe8\x07\x00\x00" + HUGE + bytes(994),  # escapes, in a record of 1000 bytes
    START + b"\x01\x01\x01\xe8\x07\x00\x00\xe7\x07" + bytes(996),  # 999 of them, in 992
    WITH_CHUNKS + HUGE + bytes(99),  # chunks
    WITH_CHUNKS + b"\x08NOTE" + HUGE + TAIL,
], ids=["strings", "record", "sides", "tiles", "records", "units", "escapes", "one-escape", "section", "chunk"])
def test_hostile_lengths_allocate_nothing(body):
    data = sealed(body)
    tracemalloc.start()
    try:
        refusal(data)
        assert tracemalloc.get_traced_memory()[1] < 200_000
    finally:
        tracemalloc.stop()


def test_random_bytes_raise_nothing_but_data_errors():
    rng = random.Random(2)
    for _ in range(3000):
        noise = rng.randbytes(rng.randrange(80))
        refusal(noise)
        refusal(START + noise)
        refusal(TILED + noise)
        try:  # under a fitting CRC some noise is a file, and nothing else may happen
            bitstream.parse(sealed(flagged(rng.choice([0, 4, 8, 12])) + noise))
        except DataError as error:
            assert "\n" not in str(error)
        try:
            bitstream.unpack_record(noise, rng.choice([1, 2, 9]))
        except DataError as error:
            assert str(error) in (bitstream.BAD_RECORD, bitstream.BAD_PHASE)


def test_what_does_not_fit_is_not_written(monkeypatch):
    for width, height in ((0, 1), (1, 65536), (65536, 1)):
        with pytest.raises(DataError, match="does not fit"):
            bitstream.build(START, width, height, [Record(0, (0,), (b"",), 0)])

    class Huge(bytes):
        def __len__(self):
            return 2 ** 28

    with pytest.raises(DataError, match="do not fit"):
        bitstream.build(START, 1, 1, [Record(0, (0, 0), (Huge(), b""), 0)])
    monkeypatch.setattr(bitstream, "MAX_LENGTH", 99)
    bitstream.build(START, 1, 1, [Record(0, (0,), (bytes(92),), 0)])
    with pytest.raises(DataError, match="do not fit"):  # the last string has no length of its own, but its record has
        bitstream.build(START, 1, 1, [Record(0, (0,), (bytes(93),), 0)])


@pytest.mark.parametrize("wrong", [
    {"records": []}, {"records": [Record(0, (0,), (b"",), 0)] * 2}, {"tile": (64, 100)},
    {"tile": (64, 64), "width": 65}, {"start": START[:-1]}, {"start": flagged(4)}, {"start": flagged(8)},
    {"records": [Record(4, (0,), (b"",), 0)]}, {"records": [Record(0, (), (), 0)]},
    {"records": [Record(0, (0, 0), (b"",), 0)]}, {"records": [Record(0, (0,) * 256, (b"",) * 256, 0)]},
    {"records": [Record(0, (0,), (b"",), 0), Record(0, (0, 0), (b"", b""), 0)], "tile": (64, 64), "width": 65}])
def test_a_writer_that_breaks_the_format_is_caught(wrong):
    right = {"start": START, "width": 1, "height": 1, "records": [Record(0, (0,), (b"",), 0)], "tile": None}
    bitstream.build(**right)
    with pytest.raises(AssertionError):
        bitstream.build(**{**right, **wrong})


def test_more_escapes_than_a_tile_may_have_are_neither_written_nor_read():
    """Each takes some 80 bytes of a reader's memory: a forged file of 100 MB would take 8 GB."""
    most = bitstream.MAX_ESCAPES
    fits = Record(0, (0,), (b"",), 0, (0,) * most)
    assert bitstream.unpack_record(bitstream.pack_record(fits), 1) == fits
    with pytest.raises(DataError, match="fit no table"):
        bitstream.pack_record(Record(0, (0,), (b"",), 0, (0,) * (most + 1)))
    with pytest.raises(DataError, match=bitstream.BAD_RECORD):
        bitstream.unpack_record(b"\0\0" + b"\x81\x80\x80\x02" + bytes(most + 1) + bytes(4), 1)
