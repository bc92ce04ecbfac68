"""The file format as TensorFlow operations: the bytes and the refusals of pure Python, also when exported."""
import dataclasses
import json
import os
import random
import re
import subprocess
import sys
import zlib

import numpy as np
import pytest
import tensorflow as tf

from lic import bitstream, graph_bitstream
from lic.bitstream import Arithmetic, Record
from lic.errors import DataError
from tests.scripts import ROOT

WEIGHTS = bytes.fromhex("0123ABCD")
START = bitstream.prefix(Arithmetic.PORTABLE, 0x21, 0, WEIGHTS)
WITH_CHUNKS = START[:5] + b"\x08" + START[6:]
TILED = START[:5] + b"\x04" + START[6:]
LEAST, MOST = -2 ** 27, 2 ** 27 - 1  # of an escape

ANY_STRING, ANY_NUMBER = tf.TensorSpec([], tf.string), tf.TensorSpec([], tf.int32)


@tf.function(input_signature=[ANY_STRING])
def unpack_two(data):
    return tuple(graph_bitstream.unpack(data, START, 2))


@tf.function(input_signature=[ANY_STRING])
def unpack_record_of_two(data):
    return graph_bitstream.unpack_record(data, 2)


@tf.function(input_signature=[ANY_NUMBER, ANY_NUMBER, tf.TensorSpec([2], tf.int32), tf.TensorSpec([None], tf.string),
                              tf.TensorSpec([None], tf.int64), tf.TensorSpec([None], tf.int32)])
def pack_two(width, height, tile, records, crcs, phases):
    return graph_bitstream.pack(START, width, height, tile, 2, records, crcs, phases)


@tf.function(input_signature=[ANY_NUMBER, tf.TensorSpec([2], tf.int32), tf.TensorSpec([2], tf.string),
                              tf.TensorSpec([None], tf.int32)])
def pack_record_of_two(phase, checks, strings, escapes):
    return graph_bitstream.pack_record(phase, checks, strings, escapes)


graph_crc32 = tf.function(graph_bitstream.crc32, input_signature=[ANY_STRING])
graph_check = tf.function(graph_bitstream.symbol_check, input_signature=[tf.TensorSpec(None, tf.int32)])
graph_symbols_crc = tf.function(graph_bitstream.symbols_crc, input_signature=[tf.TensorSpec(None, tf.int32)])


def documented(name):
    """The reference is the definition in format.md itself."""
    code = re.search(r"```python\n(.*?)```", (ROOT / "res/doc/format.md").read_text(encoding="utf-8"), re.S)
    assert code
    names: dict = {}
    exec(code[1], names)
    return names[name]


documented_check, documented_crc, documented_seal = map(documented, ("symbol_check", "symbols_crc", "seal"))


class Served:
    """The functions above after export: a traced one looks up source lines for 20 ms each time it refuses."""

    def __init__(self, path):
        self.model = tf.saved_model.load(path)

    def file(self, data):
        return self.model.unpack(tf.constant(data))

    def record(self, data):
        return self.model.unpack_record(tf.constant(data))

    def read(self, data):
        """All of a file, as a decoder reads it: (width, height, tile), records as Python's."""
        width, height, tile, records, _ = self.file(data)
        return (int(width), int(height), tuple(tile.numpy())), tuple(
            as_record(*self.record(record)) for record in records.numpy())


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    """The folder of a SavedModel with all of the functions above."""
    module = tf.Module()
    module.pack, module.pack_record = pack_two, pack_record_of_two
    module.unpack, module.unpack_record = unpack_two, unpack_record_of_two
    module.check, module.symbols_crc = graph_check, graph_symbols_crc
    path = str(tmp_path_factory.mktemp("saved") / "model")
    tf.saved_model.save(module, path)
    return path


@pytest.fixture(scope="module")
def served(saved):
    return Served(saved)


def as_record(phase, checks, strings, seal, escapes):
    return Record(int(phase), tuple(checks.numpy()), tuple(strings.numpy()), int(seal), tuple(escapes.numpy()))


def unsealed(record):
    """A record's bytes as the graph writes them before the file is made; eagerly, so n is free."""
    return graph_bitstream.pack_record(
        record.phase, list(record.checks), list(record.strings), record.escapes).numpy()


def sealed_up(width, height, tile, records):
    """Records whose seals are the CRC-32 of symbols, with the seals that they have in a file."""
    done = []
    for number, record in enumerate(records):
        seal = bitstream.seal(width, height, tile if len(records) > 1 else None, number,
                              done[-1].seal if done else 0, record.seal, record.phase)
        done.append(dataclasses.replace(record, seal=seal))
    return tuple(done)


def random_record(rng, count=2, lengths=(0, 1, 127, 128, 300)):
    strings = tuple(rng.randbytes(rng.choice(lengths)) for _ in range(count))
    escapes = tuple(rng.choice([LEAST, MOST, 0, -1, rng.randint(-70, 70), rng.randint(-9000, 9000)])
                    for _ in range(rng.choice([0, 0, 1, 5, 130])))
    return Record(rng.randrange(4), tuple(rng.randrange(256) for _ in range(count)), strings, rng.randrange(2 ** 32),
                  escapes)


def small_file(chunks=()):
    return bitstream.build(START, 768, 512, [Record(1, (7, 250), (b"hi", b"\x00\xff!"), 0x89ABCDEF)], None, chunks)


def tiled_file():
    """Four tiles, in two rows of two; one record needs a length of two bytes, and they have 0 to 3 escapes."""
    records = [Record(i, (i, 250), (b"hi" * i, bytes([i]) * (130 if i == 2 else 1)), i << 30, (-1, 300, LEAST)[:i])
               for i in range(4)]
    return bitstream.build(START, 200, 300, records, (192, 128))


FILES = {"plain": small_file(), "chunks": small_file([("NOTE", b"ok")]), "tiles": tiled_file()}
each_file = pytest.mark.parametrize("data", FILES.values(), ids=FILES)


def sealed(body):
    return body + zlib.crc32(body).to_bytes(4, "little")


def refusal(call, *arguments):
    """The message between the brackets, where the runtime puts what the assertion says."""
    with pytest.raises(tf.errors.InvalidArgumentError) as caught:
        call(*arguments)
    found = re.search(r"assertion failed: \[(.*?)\]", caught.value.message)
    assert found, caught.value.message
    return found[1]


def test_graph_and_python_write_the_same_bytes_and_read_each_other(served):
    rng = random.Random(1)
    for _ in range(60):
        sides = rng.choice([1, 127, 128, 16383, 16384, 65535]), rng.randint(1, 65535)
        record = random_record(rng, lengths=[0, 1, 127, 128, 300, 16384])
        one = pack_record_of_two(record.phase, record.checks, record.strings, record.escapes).numpy()
        assert one == bitstream.pack_record(record)[:-4] == unsealed(record)
        data = pack_two(*sides, (64, 64), [one], [record.seal], [record.phase]).numpy()
        expected = sealed_up(*sides, None, [record])
        assert data == bitstream.build(START, *sides, expected)
        rounded = tuple(-(-side // 64) * 64 for side in sides)
        assert served.read(data) == ((*sides, rounded[::-1]), expected)
        assert bitstream.parse(data)[1] == expected


def test_graph_and_python_write_the_same_tiles_and_read_each_other(served):
    rng = random.Random(2)
    for _ in range(40):
        sides, tile = (rng.randint(65, 700), rng.randint(1, 700)), (rng.choice([64, 256, 65536]), rng.choice([64, 128]))
        records = [random_record(rng) for _ in range(bitstream.num_tiles(*sides, tile))]
        expected = sealed_up(*sides, tile, records)
        data = bitstream.build(START, *sides, expected, tile if len(records) > 1 else None)
        assert pack_two(*sides, tile, [bitstream.pack_record(record)[:-4] for record in records],
                        [record.seal for record in records], [record.phase for record in records]).numpy() == data
        (*read_sides, read_tile), read = served.read(data)
        assert tuple(read_sides) == sides and read == expected == bitstream.parse(data)[1]
        assert read_tile == tile or len(records) == 1


@pytest.mark.parametrize(("sides", "tile"), [
    ((300, 60), (64, 192)), ((300, 60), None), ((65535, 65535), (64, 65536)),
    ((65535, 1), (65536, 64))])
def test_seal_is_that_of_python(sides, tile):
    count, rng = bitstream.num_tiles(*sides, tile), random.Random(11)
    graph_seal = tf.function(graph_bitstream.seal)
    for number in {0, count // 2, count - 1}:
        for phase in (0, 1, 2, 3, 3):
            before, crc = (rng.choice([0, 2 ** 31, 2 ** 32 - 1, rng.randrange(2 ** 32)]) for _ in range(2))
            found = graph_seal(tf.constant(sides), tf.constant(tile or (64, 64)), tf.constant(count),
                               tf.constant(number), tf.constant(before, tf.int64), tf.constant(crc, tf.int64),
                               tf.constant(phase))
            assert found.numpy() == bitstream.seal(*sides, tile, number, before, crc, phase)
            assert found.numpy() == documented_seal(*sides, *(tile or (0, 0)), number, before, crc, phase, 0)


def test_tiled_file_of_one_tile_is_refused_as_python_does(served):
    for units in (b"\x01\x01", b"\x02\x80\x08", b"\x80\x08\x80\x08"):
        data = sealed(TILED + b"\x3c\x1e" + units + TAIL)
        assert refusal(served.file, data) == bitstream.BAD_TILE
        with pytest.raises(DataError) as caught:
            bitstream.parse(data)
        assert str(caught.value) == bitstream.BAD_TILE


EXTREMES = (LEAST, MOST, LEAST + 1, MOST - 1, 0, -1, 1, 2 ** 24, -2 ** 24)


@pytest.mark.parametrize("escapes", [
    (), (LEAST,), (MOST,), EXTREMES, tuple(range(-200, 200)), tuple(range(-8300, -8100)), tuple(range(8100, 8300)),
    (0,) * 127, (0,) * 128, (LEAST,) * 16384], ids=range(10))
@pytest.mark.parametrize("count", [1, 2, 5])
def test_escapes_come_back_with_the_bytes_of_python(escapes, count):
    record = Record(2, tuple(range(count)), tuple(b"string"[:i] for i in range(count)), 0x80000001, escapes)
    packed = bitstream.pack_record(record)
    assert unsealed(record) == packed[:-4]
    assert as_record(*graph_bitstream.unpack_record(packed, count)) == record == bitstream.unpack_record(packed, count)


@pytest.mark.parametrize("escape", [MOST + 1, LEAST - 1, 2 ** 31 - 1, -2 ** 31])
def test_escape_beyond_the_format_is_not_written(escape):
    assert "escape" in refusal(pack_record_of_two, 0, [0, 0], [b"a", b"b"], [1, escape])


@pytest.mark.parametrize("count", [1, 255])
def test_one_and_255_strings_round_trip_eagerly(count):
    record = Record(3, tuple(range(count)), tuple(bytes([i]) * i for i in range(count)), 2 ** 32 - 1,
                    EXTREMES)
    one = tf.constant([unsealed(record)])
    assert one.numpy()[0] == bitstream.pack_record(record)[:-4]
    data = graph_bitstream.pack(START, 3, 2, tf.constant([64, 64]), count, one, tf.constant([record.seal], tf.int64),
                                tf.constant([3]))
    (expected,) = sealed_up(3, 2, None, [record])
    assert data.numpy() == bitstream.build(START, 3, 2, [expected])
    (back,) = graph_bitstream.unpack(data, START, count).records
    assert as_record(*graph_bitstream.unpack_record(back, count)) == expected


def test_strings_of_two_megabytes_round_trip(served):
    rng = random.Random(3)
    for strings in ((bytes(2 ** 21), rng.randbytes(2 ** 14)), (rng.randbytes(2 ** 14), bytes(2 ** 21))):
        expected = sealed_up(1, 1, None, [Record(0, (0, 0), strings, 5)])
        data = pack_two(1, 1, (64, 64), [pack_record_of_two(0, (0, 0), strings, [])], [5], [0]).numpy()
        assert data == bitstream.build(START, 1, 1, expected)
        assert served.read(data)[1] == expected


def test_unpack_skips_chunks_known_or_not(served):
    for chunks in ([("NOTE", b"ok")], [("zz 9", bytes(20_000)), ("EXIF", b"")]):
        assert served.read(small_file(chunks)) == served.read(small_file())
        record = Record(0, (0, 0), (b"", b""), 0)
        tiled = [bitstream.build(START, 99, 9, [record] * 2, (64, 64), some) for some in (chunks, [])]
        assert served.read(tiled[0]) == served.read(tiled[1])
    body = WITH_CHUNKS + b"\x01\x01\x02\x00\x0b\x00\x00\x00\x02\x00hi\1\0\0\0"  # an empty section
    assert served.read(sealed(body))[1] == (Record(0, (0, 0), (b"hi", b""), 1),)


def test_pack_refuses_what_the_format_does_not_hold(monkeypatch):
    strings, one, crc = [b"a", b"b"], tf.constant([b"\0\0\0\1\0ab"]), tf.constant([9], tf.int64)
    tile, phase = tf.constant([64, 64]), tf.constant([0])
    for width, height in ((0, 1), (1, 0), (1, 65536), (65536, 1)):
        assert "side" in refusal(pack_two, width, height, tile, one, crc, phase)
    assert "check byte" in refusal(pack_record_of_two, 0, [0, 256], strings, [])
    assert "check byte" in refusal(pack_record_of_two, 0, [-1, 0], strings, [])
    assert "phase" in refusal(pack_record_of_two, 4, [0, 0], strings, [])
    assert "phase" in refusal(pack_record_of_two, -1, [0, 0], strings, [])
    with pytest.raises(AssertionError):
        graph_bitstream.pack(START[:-1], 1, 1, tile, 2, one, crc, phase)
    with pytest.raises(AssertionError):
        graph_bitstream.pack_record(0, [0] * 256, [b""] * 256)
    monkeypatch.setattr(bitstream, "MAX_LENGTH", 9)
    assert "string has at most 9" in refusal(graph_bitstream.pack_record, 0, [0, 0], [b"", bytes(10)])
    assert "tile has at most 9" in refusal(graph_bitstream.pack, START, 1, 1, tile, 2, one, crc, phase)
    monkeypatch.setattr(bitstream, "MAX_LENGTH", 10)
    assert "tile has at most 10" in refusal(graph_bitstream.pack, START, 1, 1, tile, 2, one, crc, phase)
    monkeypatch.setattr(bitstream, "MAX_LENGTH", 11)   # 7 and the seal
    assert graph_bitstream.pack(START, 1, 1, tile, 2, one, crc, phase)


@each_file
def test_every_flipped_bit_is_refused(served, data):
    served.read(data)
    for bit in range(8 * len(data)):
        broken = bytearray(data)
        broken[bit // 8] ^= 1 << bit % 8
        assert refusal(served.file, bytes(broken))


@each_file
def test_every_shortened_file_is_called_truncated(served, data):
    assert refusal(served.file, b"") == bitstream.EMPTY
    for length in range(1, len(data)):
        assert refusal(served.file, data[:length]) == bitstream.TRUNCATED


@each_file
def test_appended_bytes_are_refused_with_and_without_a_fitting_crc(served, data):
    assert refusal(served.file, data + b"\0") == bitstream.TRAILING
    assert refusal(served.file, data + data) == bitstream.TRAILING
    assert refusal(served.file, sealed(data[:-4] + b"\0")) == bitstream.TRAILING


def test_model_of_one_rate_takes_quality_zero_alone():
    assert graph_bitstream.quality_byte(tf.constant(0.0), False).numpy() == 0
    with pytest.raises(tf.errors.InvalidArgumentError, match="one rate: give quality 0"):
        graph_bitstream.quality_byte(tf.constant(50.0), False)


@pytest.mark.parametrize("quality", [1, 1.5, 37, 100])
def test_file_with_a_quality_is_what_python_writes_and_reads(quality):
    byte, tile = bitstream.quality_byte(quality), (64, 192)
    records = [random_record(random.Random(seed)) for seed in (3, 4)]
    sealed_records, before = [], 0
    for number, record in enumerate(records):
        before = bitstream.seal(300, 60, tile, number, before, record.seal, record.phase, quality)
        sealed_records.append(dataclasses.replace(record, seal=before))
    data = bitstream.build(bitstream.prefix(Arithmetic.PORTABLE, 0x21, quality, WEIGHTS), 300, 60, sealed_records, tile)
    assert graph_bitstream.quality_byte(tf.constant(quality, tf.float32), quality > 0).numpy() == byte
    assert graph_bitstream.quality_of(tf.constant(byte)).numpy() == quality == bitstream.parse(data)[0].quality
    packed = graph_bitstream.pack(
        START, tf.constant(300), tf.constant(60), tf.constant(tile), 2, tf.constant([unsealed(r) for r in records]),
        tf.constant([r.seal for r in records], tf.int64), tf.constant([r.phase for r in records]), tf.constant(byte))
    assert packed.numpy() == data
    assert graph_bitstream.unpack(data, START, 2, has_quality=True).quality.numpy() == byte
    assert refusal(unpack_two, data) == "the file was made by another model: that has many rates, this has one rate"


def test_model_of_many_rates_refuses_files_of_one():
    refused = refusal(lambda data: graph_bitstream.unpack(data, START, 2, has_quality=True), small_file())
    assert refused == "the file was made by another model: that has one rate, this has many rates"


def test_each_kind_of_foreign_file_has_its_own_line():
    def coded_as(*prefix):
        return bitstream.build(bitstream.prefix(*prefix), 768, 512, [Record(0, (0, 0), (b"", b"x"), 0)])

    unpack = lambda data: refusal(unpack_two, data)
    assert unpack(b"\x89PNG\r\n\x1a\n" + bytes(40)) == bitstream.FOREIGN
    assert unpack(b"x") == unpack(b"\xf1LIC\0" + bytes(40)) == bitstream.FOREIGN
    assert unpack(coded_as(0, 0x22, 0, WEIGHTS)) == (
        "the file was made by another model or preset: model code 34, here 33")
    assert unpack(coded_as(0, 0x21, 9, WEIGHTS)) == (
        "the file was made by another model: that has many rates, this has one rate")
    assert unpack(coded_as(0, 0x21, 0, b"\xde\xad\xbe\xef")) == (
        "the file was made by another model: weights id deadbeef, here 0123abcd")
    assert unpack(coded_as(2, 0x21, 0, WEIGHTS)) == (
        "the file was coded with TF32 arithmetic, this model decodes portable arithmetic")
    assert unpack(bitstream.build(START, 1, 1, [Record(0, (0,), (b"",), 0)])) == (
        "the file holds 1 strings a tile, this model writes 2")
    assert unpack(small_file() + b"\0") == bitstream.TRAILING
    assert unpack(small_file()[:-1] + b"\0") == bitstream.DAMAGED


@pytest.mark.parametrize("place", range(6, 12))
def test_each_byte_of_the_prefix_must_be_that_of_the_model(place):
    for data in (small_file(), tiled_file()):
        body = bytearray(data[:-4])
        body[place] ^= 1
        assert refusal(unpack_two, sealed(bytes(body))).startswith("the file was made by another model")


@pytest.mark.parametrize(("place", "values"), [
    (4, [3, 4, 255]), (5, [3, 7, 0x10, 0x20, 0x40, 0x80, 0x0B, 0x14])])
def test_newer_versions_and_unknown_flags_are_refused_as_newer(place, values):
    for value in values:
        body = bytearray(small_file()[:-4])
        body[place] = value
        assert refusal(unpack_two, sealed(bytes(body))).startswith(bitstream.NEWER)


def test_version_1_is_refused_as_older(served):
    for data in FILES.values():
        assert refusal(served.file, sealed(data[:4] + b"\1" + data[5:-4])) == bitstream.OLDER
    example = "F14C494301082100 0123ABCD 8006 8004 02 0700 0200 07 4E4F5445 02 6F6B 6869 0CF9431E"
    assert refusal(served.file, bytes.fromhex(example)) == bitstream.OLDER


SEAL = b"\1\2\3\4"
RECORD = b"\0\0\0\1\0hi" + SEAL  # two strings, no escapes: 11 bytes
TAIL = b"\x02\x0b" + RECORD  # n, the record's length
TWO_TILES = TILED + b"\x41\x01\x01\x01\x02"
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
    (START + HUGE + HUGE + TAIL, bitstream.BAD_SIDE),
    (START + b"\x01\x01", bitstream.TRUNCATED),  # the CRC is where the count should be
    (START + b"\x01\x01\x02", bitstream.TRUNCATED),  # ... and where the record's length should be
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
    (TILED + b"\xff\xff\x03\xff\xff\x03\x01\x01" + TAIL, bitstream.TRUNCATED),  # 2^20 tiles in 11 bytes
    (TILED + b"\x41\x41\x01\x01\x02" + b"\x06" * 3, bitstream.TRUNCATED),  # 4 tiles in 3 bytes
    (TILED + b"\x41\x01\x01\x01" + TAIL, bitstream.TRUNCATED),  # 2 tiles, one record: its phase is a length
    (TWO_TILES + b"\x0b\x0b" + RECORD, bitstream.TRUNCATED),  # the second record is missing
    (TWO_TILES + b"\x0b\x81\x00" + RECORD + RECORD, bitstream.MALFORMED),
    (TWO_TILES + b"\x0b\x0a" + RECORD + RECORD, bitstream.TRAILING),
    (TWO_TILES + b"\x0b\x0c" + RECORD + RECORD, bitstream.TRUNCATED),
    (TILED + b"\x40\x01\x01\x01\x02\x0b" + RECORD + RECORD, bitstream.BAD_TILE),  # 64 pixels are one tile
    (TILED + b"\x40\x01\x01\x01" + TAIL, bitstream.BAD_TILE),
    (TILED + b"\x80\x01\x80\x02\x04\x02" + TAIL, bitstream.BAD_TILE),  # the picture is as large as its tile
    (TILED + b"\x01\x01\x80\x08\x80\x08" + TAIL, bitstream.BAD_TILE),
    (TILED + b"\xff\x0f\xff\x0f\x01\x01\x02" + HUGE * 1024, bitstream.TRUNCATED),  # a sum above 2^32
    # Lengths of records.
    (START + b"\x01\x01\x02\x0c" + RECORD, bitstream.TRUNCATED),
    (START + b"\x01\x01\x02" + HUGE + RECORD, bitstream.TRUNCATED),
    (START + b"\x01\x01\x02\x0a" + RECORD, bitstream.TRAILING),
    (START + b"\x01\x01\x02\x00" + RECORD, bitstream.TRAILING),
    (START + b"\x01\x01\x02\x8b\x00" + RECORD, bitstream.MALFORMED),
    (START + b"\x01\x01\x02\x80\x80\x80\x80\x01" + RECORD, bitstream.MALFORMED),
    # Chunks.
    (WITH_CHUNKS + b"\x01\x01\x02" + HUGE + b"\x0b" + RECORD, bitstream.TRUNCATED),
    (WITH_CHUNKS + b"\x01\x01\x02\x80\x80\x80\x80\x80\x00" + RECORD, bitstream.MALFORMED),
    (WITH_CHUNKS + b"\x01\x01\x02\x81\x00\x00\x0b" + RECORD, bitstream.MALFORMED),
    (WITH_CHUNKS + b"\x01\x01\x02\x0c" + RECORD, bitstream.TRUNCATED),
    # Insides of records.
    (TWO_TILES + b"\x0b\x00" + RECORD, bitstream.BAD_RECORD),  # an empty second record
    (TWO_TILES + b"\x0b\x0b" + RECORD + b"\4" + RECORD[1:], bitstream.BAD_PHASE),
    (TWO_TILES + b"\x0f\x07" + RECORD + RECORD, bitstream.BAD_RECORD),
]
HOSTILE += [(START + b"\x01\x01\x02" + bytes([len(inside) + 4]) + inside + SEAL, message) for inside, message in [
    (b"\0\0", bitstream.BAD_RECORD),  # a check is missing
    (b"\0\0\0", bitstream.BAD_RECORD),  # ... and the length
    (b"\0\0\0\0", bitstream.BAD_RECORD),  # ... and the number of escapes
    (b"\0\0\0\3\0hi", bitstream.BAD_RECORD),
    (b"\0\0\0" + HUGE + b"\0hi", bitstream.BAD_RECORD),
    (b"\0\0\0\x82\0\0hi", bitstream.BAD_RECORD),
    (b"\0\0\0\x80\x80\x80\x80\0\0hi", bitstream.BAD_RECORD),
    (b"\4\0\0\1\0hi", bitstream.BAD_PHASE),
    (b"\xff\0\0\1\0hi", bitstream.BAD_PHASE),
    (b"\4\0\0\1\1\0hi", bitstream.BAD_PHASE),
    # Escapes.
    (b"\0\0\0\0\1", bitstream.BAD_RECORD),  # one, and none there
    (b"\0\0\0\0\3hi", bitstream.BAD_RECORD),
    (b"\0\0\0\0" + HUGE + b"hi", bitstream.BAD_RECORD),
    (b"\0\0\0\0\x81\0hi", bitstream.BAD_RECORD),  # 1 in two bytes
    (b"\0\0\0\0\x80\x80\x80\x80\1hi", bitstream.BAD_RECORD),  # in five bytes
    (b"\0\0\0\0\1\x80", bitstream.BAD_RECORD),  # the seal ends the number
    (b"\0\0\0\0\2\1\x80", bitstream.BAD_RECORD),
    (b"\0\0\0\0\1\x80\0hi", bitstream.BAD_RECORD),  # 0 in two bytes
    (b"\0\0\0\0\1\x80\x80\x80\x80\1hi", bitstream.BAD_RECORD),  # an escape in five bytes
    (b"\0\0\0\2\2\0\0h", bitstream.BAD_RECORD),  # two escapes leave one byte, not two
]]
HOSTILE += [(START + b"\x01\x01\x02" + length, bitstream.BAD_RECORD) for length in (b"\x00", b"\x03\0\0\0")]


@pytest.mark.parametrize(("body", "message"), HOSTILE, ids=range(len(HOSTILE)))
def test_hostile_structure_under_a_fitting_crc_is_refused_as_python_does(served, body, message):
    assert refusal(served.read, sealed(body)) == message
    with pytest.raises(DataError) as caught:
        bitstream.parse(sealed(body))
    assert str(caught.value) == message


def test_255_lengths_whose_sum_passes_32_bits_are_refused():
    data = sealed(START + b"\x01\x01" + GREEDY)
    (record,) = graph_bitstream.unpack(data, START, 255).records
    assert refusal(graph_bitstream.unpack_record, record, 255) == bitstream.BAD_RECORD


REFUSE = """
import json, os, resource, sys
os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
import tensorflow as tf
model, grown = tf.saved_model.load(sys.argv[1]), []
def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10
for function, data, zeros in json.load(sys.stdin):
    data = bytes.fromhex(data) + bytes(zeros)
    before = peak()
    try:
        getattr(model, function)(tf.constant(data))
    except tf.errors.InvalidArgumentError as error:
        grown.append(peak() - before)
print(json.dumps(grown))
"""


def test_hostile_lengths_allocate_nothing(saved):
    """Strings and records of 2^28 bytes, as many escapes, and a million tiles.

    In megabytes, in a process without a past.
    """
    hostile = [  # the first one is there to warm up
        ("unpack_record", bytes(3), 0), ("unpack", bytes(3), 0),
        ("unpack_record", b"\0\0\0" + HUGE, 9),
        ("unpack_record", b"\0\0\0\0" + HUGE, 9),
        ("unpack_record", b"\0\0\0\0" + HUGE, 4000),
        ("unpack_record", b"\0\0\0\0\xa5\x1f", 4000),
        ("unpack", START + b"\x01\x01\x02" + HUGE, 9),
        ("unpack", START + HUGE + HUGE + b"\x02" + HUGE, 9),
        ("unpack", WITH_CHUNKS + b"\x01\x01\x02" + HUGE, 9),
        ("unpack", TILED + HUGE * 4 + b"\x02" + HUGE, 9),
        ("unpack", TILED + b"\xff\xff\x03\xff\xff\x03\x01\x01\x02" + HUGE, 9),
        ("unpack", TILED + HUGE * 2 + b"\x01\x01\x02", 20_000_000)]
    given = json.dumps([(function, data.hex(), zeros) for function, data, zeros in hostile])
    done = subprocess.run([sys.executable, "-c", REFUSE, saved], input=given, check=True, stdout=subprocess.PIPE,
                          text=True, env={**os.environ, "PYTHONPATH": ""})
    _, _, *small, large = json.loads(done.stdout.splitlines()[-1])
    assert len(small) == len(hostile) - 3 and max(small) < 32
    assert large < 500, "no more tiles are counted than a picture can have, however large the file"


def test_graph_and_python_say_the_same_of_mutations(served):
    """Bytes after the prefix are changed, inserted and removed under a fitting CRC; both must agree to the word."""
    rng, accepted, refused = random.Random(4), 0, set()
    record = Record(3, (1, 2), (b"abc", b"defg"), 0x01020304, (-1, 300, LEAST))
    tiles = [Record(i % 4, (i, 250), (b"x" * i, b"yz"), i, (5, -700)[:i % 3]) for i in range(6)]
    for valid in (bitstream.build(START, 300, 200, [record]), bitstream.build(START, 300, 200, tiles, (128, 128)),
                  bitstream.build(START, 300, 200, [record], None, [("NOTE", b"ok")]),
                  bitstream.build(START, 300, 200, tiles, (128, 128), [("NOTE", b"ok")])):
        for _ in range(300):
            body = bytearray(valid[:-4])
            for _ in range(rng.choice([1, 1, 2, 3])):
                at = rng.randrange(12, len(body))
                value = rng.choice([0, 1, 2, 3, 4, 127, 128, 129, 255, rng.randrange(256)])
                body[at:at + rng.choice([0, 1, 1, 1, 2])] = bytes([value] * rng.choice([0, 1, 1, 1, 2]))
            data = sealed(bytes(body))
            try:
                header, records = bitstream.parse(data)
            except DataError as error:
                refused.add(str(error))
                if str(error) == bitstream.BAD_CHUNKS:
                    continue  # the graph skips the chunks unseen; what it finds behind them is tried elsewhere
                said = refusal(served.read, data)
                assert said == str(error) or "this model writes 2" in said
                continue
            if header.num_strings != 2:
                assert "this model writes 2" in refusal(served.read, data)
                continue
            accepted += 1
            (width, height, tile), read = served.read(data)
            assert (width, height, read) == (header.width, header.height, records)
            assert tile == (header.tile or (-(-height // 64) * 64, -(-width // 64) * 64))
    assert 240 < accepted < 960
    assert refused >= {bitstream.BAD_SIDE, bitstream.BAD_TILE, bitstream.TRUNCATED, bitstream.TRAILING,
                       bitstream.MALFORMED, bitstream.BAD_RECORD, bitstream.BAD_PHASE, bitstream.BAD_CHUNKS}


def test_graph_and_python_say_the_same_of_random_records(served):
    rng, accepted, escaped = random.Random(12), 0, 0
    for _ in range(800):
        phase, length = rng.choice([0, 1, 2, 3, 3, 4, 200]), rng.choice([0, 1, 9, 128, 255])
        noise = bytes([phase, 7, 250, length, rng.choice([0, 1, 2, 3, 9, 128, 255])]) + rng.randbytes(rng.randrange(20))
        noise = noise[:rng.choice([99, 99, 99, rng.randrange(12)])]
        try:
            expected = bitstream.unpack_record(noise, 2)
        except DataError as error:
            assert refusal(served.record, noise) == str(error)
            continue
        accepted += 1
        escaped += bool(expected.escapes)
        assert as_record(*served.record(noise)) == expected
    assert 70 < accepted < 720 and escaped > 20


def test_random_bytes_are_refused_and_never_crash(served):
    rng = random.Random(5)
    for _ in range(200):
        noise = rng.randbytes(rng.randrange(80))
        assert refusal(served.file, noise)
        assert refusal(served.file, sealed(WITH_CHUNKS + b"\xff" + noise))
        assert refusal(served.file, sealed(TILED + b"\xff" + noise))


def test_crc32_is_that_of_zlib_for_every_length_up_to_5000():
    data = random.Random(6).randbytes(5000)
    lengths = tf.range(5001)
    crcs = tf.function(lambda: tf.map_fn(  # also the test that it runs inside of map_fn
        lambda length: graph_bitstream.crc32(tf.strings.substr(data, 0, length)), lengths,
        fn_output_signature=tf.int64))()
    assert crcs.numpy().tolist() == [zlib.crc32(data[:length]) for length in range(5001)]


@pytest.mark.parametrize("data", [bytes(3_000_000), b"\xff" * 65536, b"123456789", bytes(1), bytes(4099)])
def test_crc32_is_that_of_zlib_for_uniform_and_known_strings(data):
    assert graph_crc32(data).numpy() == zlib.crc32(data) == graph_bitstream.crc32(data).numpy()


def test_crc32_is_that_of_zlib_for_three_megabytes():
    data = random.Random(7).randbytes(3_000_000)
    assert graph_crc32(data).numpy() == zlib.crc32(data)


@pytest.mark.parametrize("shape", [(0,), (), (1,), (3, 0, 2), (249,), (250,), (251,), (7, 9, 320), (62_501,)])
def test_symbol_check_is_the_documented_one(shape):
    symbols = np.random.default_rng(8).integers(-2 ** 31, 2 ** 31, shape).astype(np.int32)
    expected = documented_check(symbols.reshape(-1).tolist())
    assert graph_check(symbols).numpy() == expected == graph_bitstream.symbol_check(symbols).numpy()


def test_symbol_check_is_the_documented_one_where_it_works_in_pieces():
    symbols = np.random.default_rng(9).integers(-300, 300, 1_000_000 + 77_777).astype(np.int32)
    symbols[::3] = 2 ** 31 - 1  # remainders near 250 would show an overflow
    assert graph_check(symbols).numpy() == documented_check(symbols.tolist())
    largest = np.full(2_000_001, 250, np.int32)
    assert graph_check(largest).numpy() == documented_check(largest.tolist())


@pytest.mark.parametrize("shape", [(0,), (), (1,), (2,), (3, 0, 2), (255,), (256,), (257,), (7, 9, 320), (62_501,)])
def test_crc_of_symbols_is_that_of_zlib_for_their_little_endian_words(shape):
    symbols = np.random.default_rng(12).integers(-2 ** 31, 2 ** 31, shape).astype(np.int32)
    expected = zlib.crc32(symbols.astype("<i4").tobytes())
    assert graph_symbols_crc(symbols).numpy() == expected == graph_bitstream.symbols_crc(symbols).numpy()
    assert documented_crc([symbols.reshape(-1).tolist()]) == expected


def test_crc_of_symbols_is_that_of_zlib_for_every_length_up_to_1000():
    symbols = np.random.default_rng(13).integers(-300, 300, 1000).astype(np.int32)
    crcs = tf.function(lambda x: tf.map_fn(lambda n: graph_bitstream.symbols_crc(x[:n]), tf.range(1001),
                                           fn_output_signature=tf.int64))(symbols)
    assert crcs.numpy().tolist() == [zlib.crc32(symbols[:n].astype("<i4").tobytes()) for n in range(1001)]


def test_crc_of_symbols_goes_on_from_string_to_string():
    all_of_them = np.array([3, -1, 2, 2 ** 31 - 1, -2 ** 31], np.int32)
    assert documented_crc([[3, -1, 2], [], [2 ** 31 - 1, -2 ** 31]]) == graph_symbols_crc(all_of_them).numpy()


def test_symbol_check_sees_every_wrong_symbol_and_every_swap_in_a_row():
    rng, check = np.random.default_rng(10), documented_check
    symbols = np.arange(250) - 125  # all differ
    right = check(symbols.tolist())
    for at in range(250):
        wrong = symbols.copy()
        wrong[at] += rng.integers(1, 251) * rng.choice([-1, 1])
        assert graph_check(wrong).numpy() != right
        swapped = symbols.copy()
        other = (at + rng.integers(1, 250)) % 250
        swapped[[at, other]] = swapped[[other, at]]
        assert graph_check(swapped).numpy() != right


def test_symbol_check_sees_shifts_with_the_chance_it_should_have():
    rng, missed = np.random.default_rng(11), 0
    for _ in range(500):
        symbols = rng.integers(-3, 4, rng.integers(1000, 5000)).astype(np.int32)
        shift = rng.choice([1, 2, 32, 250, 320, 500])
        missed += int(graph_check(symbols).numpy() == graph_check(np.roll(symbols, shift)).numpy())
    assert missed < 10  # 2 expected


def test_batches_of_unknown_size_pack_and_unpack_inside_map_fn():
    @tf.function(input_signature=[tf.TensorSpec([None], tf.int32), tf.TensorSpec([None, 2], tf.string)])
    def there_and_back(widths, strings):
        def packed(both):
            record = graph_bitstream.pack_record(3, [1, 2], both[1], [-1, both[0]])
            return graph_bitstream.pack(START, both[0], 5, tf.constant([64, 128]), 2, record[None],
                                        tf.constant([9], tf.int64), tf.constant([3]))

        def unpacked(data):
            width, height, tile, records, _ = graph_bitstream.unpack(data, START, 2)
            return width, height, tile, *graph_bitstream.unpack_record(records[0], 2)

        files = tf.map_fn(packed, (widths, strings), fn_output_signature=tf.string)
        return files, tf.map_fn(unpacked, files, fn_output_signature=(
            tf.int32, tf.int32, tf.int32, tf.int32, tf.int32, tf.string, tf.int64, tf.int32))

    strings = [[b"", b"a" * 200], [b"bc", b""], [b"d", b"e"]]
    files, back = there_and_back([1, 300, 65535], strings)
    widths, heights, tiles, phases, checks, strings_back, seals, escapes = (t.numpy().tolist() for t in back)
    assert strings_back == strings and widths == [1, 300, 65535] and heights == [5] * 3
    assert tiles == [[64, 64], [64, 320], [64, 65536]]
    assert phases == [3] * 3 and checks == [[1, 2]] * 3
    assert escapes == [[-1, 1], [-1, 300], [-1, 65535]]
    assert seals == [bitstream.seal(width, 5, None, 0, 0, 9, 3) for width in widths]
    assert bitstream.parse(files.numpy()[1])[1] == (Record(3, (1, 2), (b"bc", b""), seals[1], (-1, 300)),)


def test_shapes_of_a_record_are_known_when_a_graph_is_made():
    phase, checks, strings, seal, escapes = unpack_record_of_two.get_concrete_function().structured_outputs
    assert (phase.shape, checks.shape, strings.shape, seal.shape) == ([], [2], [2], [])
    assert escapes.shape.as_list() == [None] and escapes.dtype == tf.int32


SERVE = """
import json, os, sys
os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
import tensorflow as tf
model, report = tf.saved_model.load(sys.argv[1]), {}
records = [model.pack_record(tf.constant(phase), tf.constant([7, 250]), tf.constant([b"hi", last]),
                             tf.constant(escapes, tf.int32))
           for phase, last, escapes in ((0, b"there", []), (3, b"you", [-300, 2 ** 27 - 1]))]
def packed(*records):
    crcs = tf.constant([2 ** 32 - 1] * len(records), tf.int64)
    return model.pack(tf.constant(100), tf.constant(50), tf.constant([64, 64]), tf.stack(records), crcs,
                      tf.constant([0, 3][:len(records)]))
def unpacked(file):
    width, height, tile, records, _ = model.unpack(file)
    parts = [model.unpack_record(record) for record in records]
    return [int(width), int(height), tile.numpy().tolist(), [
        [int(phase), checks.numpy().tolist(), [s.decode() for s in strings.numpy()], int(seal),
         escapes.numpy().tolist()]
        for phase, checks, strings, seal, escapes in parts]]
files = [packed(records[0]), packed(*records)]
report["packed"] = [file.numpy().hex() for file in files]
report["unpacked"] = [unpacked(file) for file in files]
report["check"], report["crc"] = int(model.check(tf.range(-5, 700))), int(model.symbols_crc(tf.range(-5, 700)))
report["refused"] = []
data = files[1].numpy()
for broken in (data[:-1], data[:-5] + b"?" + data[-4:], b"GIF89a", data[:4] + b"\\1" + data[5:]):
    try:
        model.unpack(tf.constant(broken))
    except tf.errors.InvalidArgumentError as error:
        report["refused"].append(error.message)
assert "lic" not in sys.modules and "tensorflow_compression" not in sys.modules
print(json.dumps(report))
"""


def test_saved_model_reads_and_writes_files_in_a_process_with_tensorflow_alone(saved, tmp_path):
    done = subprocess.run([sys.executable, "-c", SERVE, saved], cwd=tmp_path, check=True,
                          stdout=subprocess.PIPE, text=True, env={**os.environ, "PYTHONPATH": ""})
    report = json.loads(done.stdout.splitlines()[-1])
    coded = [Record(phase, (7, 250), (b"hi", last), 2 ** 32 - 1, escapes)
             for phase, last, escapes in ((0, b"there", ()), (3, b"you", (-300, MOST)))]
    one, two = sealed_up(100, 50, None, coded[:1]), sealed_up(100, 50, (64, 64), coded)
    assert [bytes.fromhex(data) for data in report["packed"]] == [
        bitstream.build(START, 100, 50, one), bitstream.build(START, 100, 50, two, (64, 64))]

    def listed(record):
        return [record.phase, list(record.checks), [string.decode() for string in record.strings], record.seal,
                list(record.escapes)]

    assert report["unpacked"] == [[100, 50, [64, 128], [*map(listed, one)]], [100, 50, [64, 64], [*map(listed, two)]]]
    assert report["check"] == documented_check(range(-5, 700)) and report["crc"] == documented_crc([range(-5, 700)])
    expected = [bitstream.TRUNCATED, bitstream.DAMAGED, bitstream.FOREIGN, bitstream.OLDER]
    assert len(report["refused"]) == len(expected)
    for message, words in zip(report["refused"], expected):
        assert words in message


def test_more_escapes_than_a_tile_may_have_are_refused():
    data = b"\0\0\0\0" + b"\x81\x80\x80\x02" + bytes(bitstream.MAX_ESCAPES + 1) + bytes(4)
    assert refusal(graph_bitstream.unpack_record, data, 2) == bitstream.BAD_RECORD
