"""The file format in pure Python: the documented example, round trips, and every kind of broken file."""
import pathlib
import random
import re
import subprocess
import sys
import tracemalloc
import zlib

import pytest

from lic import bitstream
from lic.bitstream import Arithmetic
from lic.errors import DataError

ROOT = pathlib.Path(__file__).parents[2]
START = bitstream.prefix(Arithmetic.PORTABLE, 0x21, 0, bytes.fromhex("0123ABCD"))


def small_file(chunks=()):
    return bitstream.build(START, 768, 512, [7, 250], [b"hi", b"\x00\xff" * 70], chunks)


def sealed(body):
    """`body` with the CRC that makes it look undamaged: only the structure is left to refuse it."""
    return body + zlib.crc32(body).to_bytes(4, "little")


def refusal(data):
    with pytest.raises(DataError) as caught:
        bitstream.parse(data)
    message = str(caught.value)
    assert message and "\n" not in message
    return message


def documented_example():
    block = re.search(r"```hex\n(.*?)```", (ROOT / "res/doc/format.md").read_text(encoding="utf-8"), re.S)
    assert block
    return bytes.fromhex("".join(line.split("  ")[0] for line in block[1].splitlines()))


def test_documented_example_is_what_the_code_writes_and_reads():
    data = bitstream.build(START, 768, 512, [7, 0], [b"hi", b""], [("NOTE", b"ok")])
    assert data == documented_example()
    header, strings = bitstream.parse(documented_example())
    assert header == bitstream.Header(
        Arithmetic.PORTABLE, 0x21, 0, b"\x01\x23\xab\xcd", 768, 512, (7, 0), (2, 0), (("NOTE", b"ok"),))
    assert strings == (b"hi", b"")


def test_parse_returns_what_build_was_given():
    rng = random.Random(1)
    for _ in range(300):
        count = rng.choice([1, 2, 9, 255])
        start = bitstream.prefix(rng.choice(list(Arithmetic)), rng.randrange(256), rng.randrange(101),
                                 rng.randbytes(4))
        sides = rng.choice([1, 127, 128, 16383, 16384, 65535]), rng.randint(1, 65535)
        checks = tuple(rng.randrange(256) for _ in range(count))
        strings = tuple(rng.randbytes(rng.choice([0, 1, 127, 128, 300])) for _ in range(count))
        chunks = tuple(("EXIF", rng.randbytes(rng.choice([0, 5, 200]))) for _ in range(rng.randrange(3)))
        data = bitstream.build(start, *sides, checks, strings, chunks)
        header, parsed = bitstream.parse(data)
        assert parsed == strings and header.prefix == start and (header.width, header.height) == sides
        assert header.checks == checks and header.chunks == chunks
        assert header.lengths == tuple(map(len, strings))
        assert bitstream.build(header.prefix, header.width, header.height, header.checks, parsed,
                               header.chunks) == data


def test_long_strings_round_trip_with_varints_of_three_and_four_bytes():
    strings = (bytes(16384), bytes(2 ** 21), b"end")
    header, parsed = bitstream.parse(bitstream.build(START, 1, 1, [0, 0, 0], strings))
    assert parsed == strings and header.lengths == (16384, 2 ** 21, 3)


def test_header_costs_23_bytes_before_two_usual_strings():
    assert len(bitstream.build(START, 768, 512, [0, 0], [bytes(16383), bytes(128)])) == 23 + 16383 + 128 + 4


def test_module_loads_neither_tensorflow_nor_numpy():
    code = ("import sys, lic.bitstream; heavy = {'numpy', 'tensorflow'} & set(sys.modules);"
            "sys.exit(str(heavy) if heavy else 0)")
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True)


@pytest.mark.parametrize("chunks", [(), [("NOTE", b"ok")]])
def test_every_flipped_bit_is_refused(chunks):
    data = small_file(chunks)
    for bit in range(8 * len(data)):
        broken = bytearray(data)
        broken[bit // 8] ^= 1 << bit % 8
        refusal(bytes(broken))


@pytest.mark.parametrize("chunks", [(), [("NOTE", b"ok")]])
def test_every_shortened_file_is_called_truncated(chunks):
    data = small_file(chunks)
    assert refusal(b"") == bitstream.EMPTY
    for length in range(1, len(data)):
        assert refusal(data[:length]) == bitstream.TRUNCATED


def test_appended_bytes_are_refused_with_and_without_a_fitting_crc():
    assert refusal(small_file() + b"\0") == bitstream.TRAILING
    assert refusal(small_file() + small_file()) == bitstream.TRAILING
    assert refusal(sealed(small_file()[:-4] + b"\0")) == bitstream.TRAILING


def test_damage_in_a_string_is_called_damage():
    data = bytearray(small_file())
    data[-10] ^= 255
    assert refusal(bytes(data)) == bitstream.DAMAGED


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
    unknown = [flags for flags in range(256) if flags & 0xF4 or flags & 3 == 3]
    for place, value in [(4, version) for version in range(2, 256)] + [(5, flags) for flags in unknown]:
        body = bytearray(small_file()[:-4])
        body[place] = value
        assert refusal(sealed(bytes(body))).startswith(bitstream.NEWER)


TAIL = b"\x01\x00\x02hi"  # one string
WITH_CHUNKS = START[:5] + b"\x08" + START[6:] + b"\x01\x01\x01\x00\x02"  # one string of two bytes, 1 x 1


@pytest.mark.parametrize(("body", "message"), [
    (START + b"\x80\x80\x80\x80\x01\x01" + TAIL, bitstream.MALFORMED),  # width in five bytes
    (START + b"\x80" * 40, bitstream.MALFORMED),
    (START + b"\x81\x00\x01" + TAIL, bitstream.MALFORMED),  # 1 in two bytes
    (START + b"\x01\x01\x01\x00\x82\x00hi", bitstream.MALFORMED),
    (START + b"\x00\x01" + TAIL, bitstream.BAD_SIDE),
    (START + b"\x01\x80\x80\x04" + TAIL, bitstream.BAD_SIDE),  # 65536
    (START + b"\x01\xff\xff\xff\x7f" + TAIL, bitstream.BAD_SIDE),
    (START[:7] + b"\x65" + START[8:] + b"\x01\x01" + TAIL, bitstream.BAD_QUALITY),
    (START + b"\x01\x01\x00", bitstream.NO_STRINGS),
    (START + b"\x01\x01\x01\x00\x03hi", bitstream.TRUNCATED),
    (START + b"\x01\x01\x01\x00\xff\xff\xff\x7fhi", bitstream.TRUNCATED),  # 2^28 - 1 bytes
    (START + b"\x01\x01\xff" + bytes(255) + b"\xff\xff\xff\x7f" * 255, bitstream.TRUNCATED),
    (START + b"\x01\x01\x01\x00\x01hi", bitstream.TRAILING),
    (WITH_CHUNKS + b"\xff\xff\xff\x7fhi", bitstream.TRUNCATED),
    (WITH_CHUNKS + b"\x03NOThi", bitstream.BAD_CHUNKS),
    (WITH_CHUNKS + b"\x06NOTE\x02ohi", bitstream.BAD_CHUNKS),
    (WITH_CHUNKS + b"\x05NOT\x00\x00hi", bitstream.BAD_CHUNKS),
])
def test_hostile_structure_under_a_fitting_crc_is_refused(body, message):
    assert refusal(sealed(body)) == message


def test_an_empty_chunk_section_and_unknown_chunks_are_read():
    assert bitstream.parse(sealed(WITH_CHUNKS + b"\x00hi"))[1] == (b"hi",)
    header, _ = bitstream.parse(sealed(WITH_CHUNKS + b"\x0bzz 9\x01!NOTE\x00hi"))
    assert header.chunks == (("zz 9", b"!"), ("NOTE", b""))


def test_hostile_lengths_allocate_nothing():
    body = START + b"\x01\x01\xff" + bytes(255) + b"\xff\xff\xff\x7f" * 255
    tracemalloc.start()
    try:
        refusal(sealed(body))
        assert tracemalloc.get_traced_memory()[1] < 200_000
    finally:
        tracemalloc.stop()


def test_random_bytes_raise_nothing_but_data_errors():
    rng = random.Random(2)
    for _ in range(3000):
        noise = rng.randbytes(rng.randrange(80))
        refusal(noise)
        refusal(START + noise)
        try:  # under a fitting CRC some noise is a file, and nothing else may happen
            bitstream.parse(sealed(START[:5] + rng.choice([b"\0", b"\x08"]) + START[6:] + noise))
        except DataError as error:
            assert "\n" not in str(error)


def test_what_does_not_fit_is_not_written():
    for width, height in ((0, 1), (1, 65536)):
        with pytest.raises(DataError, match="does not fit"):
            bitstream.build(START, width, height, [0], [b""])

    class Huge(bytes):
        def __len__(self):
            return 2 ** 28

    with pytest.raises(DataError, match="do not fit"):
        bitstream.build(START, 1, 1, [0], [Huge()])
