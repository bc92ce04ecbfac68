"""The file format as TensorFlow operations: the bytes and the refusals of pure Python, also when exported."""
import json
import os
import pathlib
import random
import re
import subprocess
import sys
import zlib

import numpy as np
import pytest
import tensorflow as tf

from lic import bitstream, graph_bitstream
from lic.bitstream import Arithmetic
from lic.errors import DataError

ROOT = pathlib.Path(__file__).parents[2]
WEIGHTS = bytes.fromhex("0123ABCD")
START = bitstream.prefix(Arithmetic.PORTABLE, 0x21, 0, WEIGHTS)
WITH_CHUNKS = START[:5] + b"\x08" + START[6:]

ANY_STRING = tf.TensorSpec([], tf.string)


@tf.function(input_signature=[ANY_STRING])
def unpack_two(data):
    return graph_bitstream.unpack(data, START, 2)


@tf.function(input_signature=[ANY_STRING, tf.TensorSpec([], tf.int32), tf.TensorSpec([], tf.int32),
                              tf.TensorSpec([2], tf.int32), tf.TensorSpec([2], tf.string)])
def pack_two(prefix, width, height, checks, strings):
    return graph_bitstream.pack(prefix, width, height, checks, strings)


graph_crc32 = tf.function(graph_bitstream.crc32, input_signature=[ANY_STRING])
graph_check = tf.function(graph_bitstream.symbol_check, input_signature=[tf.TensorSpec(None, tf.int32)])


def documented_check():
    """The reference is the definition in format.md itself."""
    code = re.search(r"```python\n(.*?)```", (ROOT / "res/doc/format.md").read_text(encoding="utf-8"), re.S)
    assert code
    names: dict = {}
    exec(code[1], names)
    return names["symbol_check"]


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    """The folder of a SavedModel with pack, unpack and check."""
    module = tf.Module()
    module.unpack, module.check = unpack_two, graph_check
    module.pack = tf.function(lambda *parts: graph_bitstream.pack(START, *parts), input_signature=[
        tf.TensorSpec([], tf.int32), tf.TensorSpec([], tf.int32), tf.TensorSpec([2], tf.int32),
        tf.TensorSpec([2], tf.string)])
    path = str(tmp_path_factory.mktemp("saved") / "model")
    tf.saved_model.save(module, path)
    return path


@pytest.fixture(scope="module")
def served(saved):
    """`unpack_two` after export: a traced one looks up source lines for 20 ms each time it refuses."""
    model = tf.saved_model.load(saved)
    return lambda data: model.unpack(tf.constant(data))


def small_file(chunks=()):
    return bitstream.build(START, 768, 512, [7, 250], [b"hi", b"\x00\xff!"], chunks)


def sealed(body):
    return body + zlib.crc32(body).to_bytes(4, "little")


def refusal(call):
    """The message between the brackets, where the runtime puts what the assertion says."""
    with pytest.raises(tf.errors.InvalidArgumentError) as caught:
        call()
    found = re.search(r"assertion failed: \[(.*?)\]", caught.value.message)
    assert found, caught.value.message
    return found[1]


def as_python(unpacked):
    width, height, checks, strings = unpacked
    return int(width), int(height), tuple(checks.numpy()), tuple(strings.numpy())


def test_graph_and_python_write_the_same_bytes_and_read_each_other():
    rng = random.Random(1)
    for _ in range(60):
        sides = rng.choice([1, 127, 128, 16383, 16384, 65535]), rng.randint(1, 65535)
        checks = tuple(rng.randrange(256) for _ in range(2))
        strings = tuple(rng.randbytes(rng.choice([0, 1, 127, 128, 300, 16384])) for _ in range(2))
        data = bitstream.build(START, *sides, checks, strings)
        assert pack_two(START, *sides, checks, strings).numpy() == data
        assert as_python(unpack_two(data)) == (*sides, checks, strings)
        header, parsed = bitstream.parse(data)
        assert parsed == strings and header.checks == checks


@pytest.mark.parametrize("count", [1, 255])
def test_one_and_255_strings_round_trip_eagerly(count):
    strings, checks = [bytes([i]) * i for i in range(count)], list(range(count))
    data = graph_bitstream.pack(START, 3, 2, checks, strings)
    assert data.numpy() == bitstream.build(START, 3, 2, checks, strings)
    assert as_python(graph_bitstream.unpack(data, START, count)) == (3, 2, tuple(checks), tuple(strings))


def test_strings_of_two_megabytes_round_trip():
    strings = (bytes(2 ** 21), random.Random(3).randbytes(2 ** 14))
    data = pack_two(START, 1, 1, [0, 0], strings).numpy()
    assert data == bitstream.build(START, 1, 1, [0, 0], strings)
    assert as_python(unpack_two(data))[3] == strings


def test_unpack_skips_chunks_known_or_not():
    for chunks in ([("NOTE", b"ok")], [("zz 9", bytes(20_000)), ("EXIF", b"")]):
        assert as_python(unpack_two(small_file(chunks))) == as_python(unpack_two(small_file()))
    body = WITH_CHUNKS + b"\x01\x01\x02\x00\x00\x02\x00\x00hi"  # an empty section
    assert as_python(unpack_two(sealed(body)))[3] == (b"hi", b"")


def test_pack_refuses_what_the_format_does_not_hold():
    strings = [b"a", b"b"]
    assert "side" in refusal(lambda: pack_two(START, 0, 1, [0, 0], strings))
    assert "side" in refusal(lambda: pack_two(START, 1, 65536, [0, 0], strings))
    assert "check byte" in refusal(lambda: pack_two(START, 1, 1, [0, 256], strings))
    assert "check byte" in refusal(lambda: graph_bitstream.pack(START, 1, 1, [0, -1], strings))
    assert "prefix" in refusal(lambda: pack_two(START[:-1], 1, 1, [0, 0], strings))


@pytest.mark.parametrize("chunks", [(), [("NOTE", b"ok")]])
def test_every_flipped_bit_is_refused(served, chunks):
    data = small_file(chunks)
    for bit in range(8 * len(data)):
        broken = bytearray(data)
        broken[bit // 8] ^= 1 << bit % 8
        assert refusal(lambda broken=broken: served(bytes(broken)))


@pytest.mark.parametrize("chunks", [(), [("NOTE", b"ok")]])
def test_every_shortened_file_is_called_truncated(served, chunks):
    data = small_file(chunks)
    assert refusal(lambda: served(b"")) == bitstream.EMPTY
    for length in range(1, len(data)):
        assert refusal(lambda length=length: served(data[:length])) == bitstream.TRUNCATED


def test_each_kind_of_foreign_file_has_its_own_line():
    def coded_as(*prefix):
        return bitstream.build(bitstream.prefix(*prefix), 768, 512, [0, 0], [b"", b"x"])

    unpack = lambda data: refusal(lambda: unpack_two(data))
    assert unpack(b"\x89PNG\r\n\x1a\n" + bytes(40)) == bitstream.FOREIGN
    assert unpack(b"x") == bitstream.FOREIGN
    assert unpack(coded_as(0, 0x22, 0, WEIGHTS)) == (
        "the file was made by another model or preset: "
        "model code 34, quality 0, here model code 33, quality 0")
    assert "quality 9, here" in unpack(coded_as(0, 0x21, 9, WEIGHTS))
    assert unpack(coded_as(0, 0x21, 0, b"\xde\xad\xbe\xef")) == (
        "the file was made by another model: weights id deadbeef, here 0123abcd")
    assert unpack(coded_as(2, 0x21, 0, WEIGHTS)) == (
        "the file was coded with TF32 arithmetic, this model decodes portable arithmetic")
    assert unpack(bitstream.build(START, 1, 1, [0], [b""])) == "the file holds 1 strings, this model writes 2"
    assert unpack(small_file() + b"\0") == bitstream.TRAILING
    assert unpack(small_file()[:-1] + b"\0") == bitstream.DAMAGED


@pytest.mark.parametrize("place", range(6, 12))
def test_each_byte_of_the_prefix_must_be_that_of_the_model(place):
    body = bytearray(small_file()[:-4])
    body[place] ^= 1
    assert refusal(lambda: unpack_two(sealed(bytes(body)))).startswith("the file was made by another model")


@pytest.mark.parametrize(("place", "values"), [
    (4, [2, 255]), (5, [3, 4, 0x10, 0x20, 0x40, 0x80, 0x0B])])
def test_newer_versions_and_unknown_flags_are_refused_as_newer(place, values):
    for value in values:
        body = bytearray(small_file()[:-4])
        body[place] = value
        assert refusal(lambda body=body: unpack_two(sealed(bytes(body)))).startswith(bitstream.NEWER)


@pytest.mark.parametrize(("body", "message"), [
    (START + b"\x80\x80\x80\x80\x01\x01\x02\x00\x00\x01\x01hi", bitstream.MALFORMED),  # width in five bytes
    (START + b"\x80" * 40, bitstream.MALFORMED),
    (START + b"\xff" * 300, bitstream.MALFORMED),
    (START + b"\x81\x00\x01\x02\x00\x00\x01\x01hi", bitstream.MALFORMED),  # 1 in two bytes
    (START + b"\x01\x01\x02\x00\x00\x81\x00\x01hi", bitstream.MALFORMED),
    (START + b"\x00\x01\x02\x00\x00\x01\x01hi", bitstream.BAD_SIDE),
    (START + b"\x01\x80\x80\x04\x02\x00\x00\x01\x01hi", bitstream.BAD_SIDE),  # 65536
    (START + b"\x01\x01", bitstream.TRUNCATED),  # the CRC is where the count should be
    (START + b"\x01\x01\x02\x00\x00\x01\x02hi", bitstream.TRUNCATED),
    (START + b"\x01\x01\x02\x00\x00\xff\xff\xff\x7f\xff\xff\xff\x7fhi", bitstream.TRUNCATED),
    (START + b"\x01\x01\x02\x00\x00\x01\x00hi", bitstream.TRAILING),
    (WITH_CHUNKS + b"\x01\x01\x02\x00\x00\x01\x01\xff\xff\xff\x7fhi", bitstream.TRUNCATED),
    (WITH_CHUNKS + b"\x01\x01\x02\x00\x00\x01\x01\x80\x80\x80\x80\x80\x00hi", bitstream.MALFORMED),
])
def test_hostile_structure_under_a_fitting_crc_is_refused_as_python_does(body, message):
    assert refusal(lambda: unpack_two(sealed(body))) == message
    with pytest.raises(DataError) as caught:
        bitstream.parse(sealed(body))
    assert str(caught.value) == message


def test_255_lengths_whose_sum_passes_32_bits_are_refused():
    body = START + b"\x01\x01\xff" + bytes(255) + b"\xff\xff\xff\x7f" * 255
    assert refusal(lambda: graph_bitstream.unpack(sealed(body), START, 255)) == bitstream.TRUNCATED


def test_graph_and_python_accept_and_refuse_the_same_mutations(served):
    """Bytes after the prefix are changed, inserted and removed under a fitting CRC; both must agree."""
    valid = bitstream.build(START, 300, 200, [1, 2], [b"abc", b"defg"])[:-4]
    rng, accepted = random.Random(4), 0
    for _ in range(600):
        body = bytearray(valid)
        for _ in range(rng.choice([1, 1, 2, 3])):
            at = rng.randrange(12, len(body))
            value = rng.choice([0, 1, 2, 3, 4, 127, 128, 129, 255, rng.randrange(256)])
            body[at:at + rng.choice([0, 1, 1, 1, 2])] = bytes([value] * rng.choice([0, 1, 1, 1, 2]))
        data = sealed(bytes(body))
        try:
            header, strings = bitstream.parse(data)
        except DataError:
            assert refusal(lambda data=data: served(data))
            continue
        if len(strings) != 2:
            assert "this model writes 2" in refusal(lambda data=data: served(data))
            continue
        accepted += 1
        assert as_python(served(data)) == (header.width, header.height, header.checks, strings)
    assert 60 < accepted < 540


def test_random_bytes_are_refused_and_never_crash(served):
    rng = random.Random(5)
    for _ in range(200):
        noise = rng.randbytes(rng.randrange(80))
        assert refusal(lambda noise=noise: served(noise))
        assert refusal(lambda noise=noise: served(sealed(WITH_CHUNKS + b"\xff" + noise)))


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
    expected = documented_check()(symbols.reshape(-1).tolist())
    assert graph_check(symbols).numpy() == expected == graph_bitstream.symbol_check(symbols).numpy()


def test_symbol_check_is_the_documented_one_where_it_works_in_pieces():
    symbols = np.random.default_rng(9).integers(-300, 300, 1_000_000 + 77_777).astype(np.int32)
    symbols[::3] = 2 ** 31 - 1  # remainders near 250 would show an overflow
    assert graph_check(symbols).numpy() == documented_check()(symbols.tolist())
    largest = np.full(2_000_001, 250, np.int32)
    assert graph_check(largest).numpy() == documented_check()(largest.tolist())


def test_symbol_check_sees_every_wrong_symbol_and_every_swap_in_a_row():
    rng, check = np.random.default_rng(10), documented_check()
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
        files = tf.map_fn(lambda both: graph_bitstream.pack(START, both[0], 5, [1, 2], both[1]),
                          (widths, strings), fn_output_signature=tf.string)
        return files, tf.map_fn(lambda data: graph_bitstream.unpack(data, START, 2), files,
                                fn_output_signature=(tf.int32, tf.int32, tf.int32, tf.string))

    strings = [[b"", b"a" * 200], [b"bc", b""], [b"d", b"e"]]
    files, (widths, heights, checks, back) = there_and_back([1, 300, 65535], strings)
    assert back.numpy().tolist() == strings and widths.numpy().tolist() == [1, 300, 65535]
    assert heights.numpy().tolist() == [5] * 3 and checks.numpy().tolist() == [[1, 2]] * 3
    assert bitstream.parse(files.numpy()[1])[1] == (b"bc", b"")
    assert unpack_two.get_concrete_function().structured_outputs[3].shape == [2]


SERVE = """
import json, os, sys
os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
import tensorflow as tf
model, report = tf.saved_model.load(sys.argv[1]), {}
packed = model.pack(tf.constant(768), tf.constant(512), tf.constant([7, 250]), tf.constant([b"hi", b"there"]))
report["packed"] = packed.numpy().hex()
width, height, checks, strings = model.unpack(packed)
report["unpacked"] = [int(width), int(height), checks.numpy().tolist(), [s.decode() for s in strings.numpy()]]
report["check"] = int(model.check(tf.range(-5, 700)))
report["refused"] = []
for data in (packed.numpy()[:-1], packed.numpy()[:-5] + b"?" + packed.numpy()[-4:], b"GIF89a"):
    try:
        model.unpack(tf.constant(data))
    except tf.errors.InvalidArgumentError as error:
        report["refused"].append(error.message)
assert "lic" not in sys.modules and "tensorflow_compression" not in sys.modules
print(json.dumps(report))
"""


def test_saved_model_reads_and_writes_files_in_a_process_with_tensorflow_alone(saved, tmp_path):
    done = subprocess.run([sys.executable, "-c", SERVE, saved], cwd=tmp_path, check=True,
                          stdout=subprocess.PIPE, text=True, env={**os.environ, "PYTHONPATH": ""})
    report = json.loads(done.stdout.splitlines()[-1])
    expected = bitstream.build(START, 768, 512, [7, 250], [b"hi", b"there"])
    assert bytes.fromhex(report["packed"]) == expected
    assert report["unpacked"] == [768, 512, [7, 250], ["hi", "there"]]
    assert report["check"] == documented_check()(range(-5, 700))
    for message, words in zip(report["refused"], [bitstream.TRUNCATED, bitstream.DAMAGED, bitstream.FOREIGN]):
        assert words in message
    assert len(report["refused"]) == 3
