"""The compressed file, version 2, as TensorFlow operations, for exported models; format.md is the definition.

Only operations of TensorFlow itself: no py_function, no custom operation, so a SavedModel with them
inside reads and writes files wherever it is served. All of it is pinned to the CPU: it is strings
and small integers, and range coding, its neighbour, runs there too.

Gotchas:
* A graph computes all of a file's fields before it can refuse one. So every read here is harmless on any
  bytes: it reads a zero-padded copy of the beginning, and `_refuse_first` picks the first fault afterwards.
* CRC registers are int32 with the bits of a uint32: int32 has kernels for everything used here.
"""
from __future__ import annotations

import functools
import zlib
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, TypeVar

import numpy as np
import tensorflow as tf

from lic import bitstream

CHECK_MODULUS = 251  # a prime below 256: no factor of a product vanishes
CHECK_ROW = 250  # one weight each of 1..250
_CHECK_PIECE = 16 * CHECK_ROW * CHECK_ROW  # symbols at a time: whole periods of the weights, 4 MB a temporary

# Four bytes that take the CRC register from 0 to all ones, the value it starts with in zlib.
_CRC_START = b"\x62\xf5\x26\x92"
_ALL_ONES = 0xFFFFFFFF

_RATES = ("one rate", "many rates")
_ARITHMETIC_NAMES = ("portable", "float32", "TF32", "unknown")

# Prefix, sides of picture and tiles, count, length of the chunks; a varint moves on by five, see `_read_varints`.
_LONGEST_HEAD = bitstream.PREFIX_BYTES + 10 + 10 + 1 + 5

_F = TypeVar("_F", bound=Callable[..., Any])


def _on_cpu(function: _F) -> _F:
    @functools.wraps(function)
    def pinned(*args, **kwargs):
        with tf.device("/CPU:0"):
            return function(*args, **kwargs)
    return pinned  # type: ignore[return-value]


@_on_cpu
def pack_record(phase: tf.Tensor, checks: tf.Tensor, strings: tf.Tensor, escapes: tf.Tensor | Sequence[int] = ()
                ) -> tf.Tensor:
    """The bytes of a tile's record, those of `bitstream.pack_record` but for the seal.

    Args:
      phase: int32 scalar, 0..3.
      checks: int32 (n,), the check byte of each string.
      strings: string (n,), n static, 1..255.
      escapes: int32 (e,), -2^27..2^27 - 1.
    Returns:
      String scalar.
    Raises:
      tf.errors.InvalidArgumentError: a value is outside of what the format holds.
    """
    strings, checks = tf.convert_to_tensor(strings, tf.string), tf.convert_to_tensor(checks, tf.int32)
    escapes = tf.convert_to_tensor(escapes, tf.int32)
    count = strings.shape.merge_with(checks.shape).num_elements()
    assert count is not None and 1 <= count <= bitstream.MAX_STRINGS
    lengths = tf.strings.length(strings)
    guard = _refuse_first([
        (_outside(phase, 0, bitstream.PHASES - 1), f"a phase is 0..{bitstream.PHASES - 1}"),
        (_outside(checks, 0, 255), "a check byte is 0..255"),
        (_outside(lengths, 0, bitstream.MAX_LENGTH), f"a string has at most {bitstream.MAX_LENGTH} bytes"),
        (tf.size(escapes) > bitstream.MAX_ESCAPES, f"a tile has at most {bitstream.MAX_ESCAPES} escapes"),
        (_outside(escapes, *bitstream.ESCAPE_RANGE), "an escape is -2^27..2^27 - 1")])
    with tf.control_dependencies([guard]):
        start = _bytes(tf.concat([tf.reshape(phase, [1]), checks], 0))
        zigzag = tf.where(escapes >= 0, 2 * escapes, -2 * escapes - 1)
        numbers = _varints(tf.concat([lengths[:-1], [tf.size(escapes)], zigzag], 0))
        return tf.strings.join([start, numbers, tf.strings.reduce_join(strings)])


@_on_cpu
def pack(prefix: bytes, width: tf.Tensor, height: tf.Tensor, tile: tf.Tensor, num_strings: int,
         records: tf.Tensor, crcs: tf.Tensor, phases: tf.Tensor, quality: tf.Tensor | int = 0) -> tf.Tensor:
    """Writes a file; the bytes are those of `bitstream.build`.

    Args:
      prefix: the 12 bytes of `bitstream.prefix` without quality.
      width, height: int32 scalars, pixels.
      tile: int32 (2,), height and width of a tile in pixels, multiples of 64. It does not stand in the file where there
        is one record.
      num_strings: strings a tile.
      records: string (t,), of each tile, row by row, without their seals.
      crcs: int64 (t,), the CRC-32 of each tile's symbols; phases: int32 (t,), of their grids.
      quality: int32 scalar, the byte of `bitstream.quality_byte`.
    Returns:
      String scalar, the file.
    Raises:
      tf.errors.InvalidArgumentError: a value is outside of what the format holds.
    """
    assert len(prefix) == bitstream.PREFIX_BYTES
    sides, lengths = tf.stack([width, height]), tf.strings.length(records) + bitstream.CRC_BYTES
    guard = _refuse_first([
        (_outside(sides, 1, bitstream.MAX_SIDE), f"a side of a picture is 1..{bitstream.MAX_SIDE} pixels"),
        (_outside(lengths, 0, bitstream.MAX_LENGTH), f"a tile has at most {bitstream.MAX_LENGTH} bytes")])
    with tf.control_dependencies([guard]):
        count = tf.size(records)
        _, seals = tf.scan(
            lambda last, each: (last[0], seal(sides, tile, count, each[0], last[1], each[1], each[2], quality)),
            (tf.range(count), crcs, phases), (0, tf.constant(0, tf.int64)))
        sealed = tf.map_fn(lambda both: tf.strings.join([both[0], _crc_bytes(both[1])]), (records, seals),
                           fn_output_signature=tf.string)
        flags = prefix[5] | tf.where(count > 1, bitstream.TILED_BIT, 0)
        units = tf.where(count > 1, _varints(tile // bitstream.TILE_UNIT), "")
        body = tf.strings.join([
            prefix[:5], _bytes(tf.stack([flags, prefix[6], quality])), prefix[8:],
            _varints(sides), units, bytes([num_strings]),
            _varints(lengths), tf.strings.reduce_join(sealed)])
        return tf.strings.join([body, _crc_bytes(crc32(body))])


@_on_cpu
def seal(sides: tf.Tensor, tile: tf.Tensor, count: tf.Tensor, number: tf.Tensor, before: tf.Tensor, crc: tf.Tensor,
         phase: tf.Tensor, quality: tf.Tensor | int = 0) -> tf.Tensor:
    """`bitstream.seal` of a tile: int64 scalar, 0..2^32 - 1.

    Args:
      sides: int32 (2,), width and height of the picture; tile: int32 (2,), height and width of a tile, in pixels.
      count, number: int32 scalars, how many tiles there are and which this is.
      before, crc: int64 scalars, the seal of the tile before it (0 for the first) and the CRC-32 of its symbols.
      phase: int32 scalar, of its grid.
      quality: int32 scalar, the byte of `bitstream.quality_byte`.
    """
    words = tf.bitcast(tf.stack([before, crc]), tf.int32)[:, 0]   # the low halves
    return symbols_crc(tf.concat([sides, tf.where(count > 1, tile, 0), [number], words, [phase + 256 * quality]], 0))


def quality_byte(quality: tf.Tensor, has_quality: bool) -> tf.Tensor:
    """`bitstream.quality_byte` of a float32 scalar, 0 for a model of one rate: int32 scalar.

    Fails where the model takes no such quality, for no decoder would take the file.
    """
    most = bitstream.MAX_QUALITY
    is_one = (quality >= 1) & (quality <= most) if has_quality else quality == 0   # which NaN is not
    line = f"the quality is not within 1..{most:g}" if has_quality else "the model has one rate: give quality 0"
    with tf.control_dependencies([_refuse_first([(~is_one, line)])]):
        return tf.maximum(tf.cast(tf.round(bitstream.QUALITY_STEPS * quality), tf.int32) - 1, 0)


def quality_of(byte: tf.Tensor) -> tf.Tensor:
    """`bitstream.quality_of` of an int32 scalar: float32 scalar."""
    return tf.where(byte > 0, tf.cast(byte + 1, tf.float32) / bitstream.QUALITY_STEPS, 0.0)


class Unpacked(NamedTuple):
    """What `unpack` reads: int32 scalars, a tile's (height, width) in pixels, and the record of each tile, (t,).

    `quality` is the byte of `bitstream.quality_byte`.
    """

    width: tf.Tensor
    height: tf.Tensor
    tile: tf.Tensor
    records: tf.Tensor
    quality: tf.Tensor


@_on_cpu
def unpack(data: tf.Tensor, prefix: bytes, num_strings: int, has_quality: bool = False) -> Unpacked:
    """Reads a file of the one model that has this `prefix`; metadata chunks are skipped.

    Args:
      data: string scalar, the whole file.
      prefix: the 12 bytes of `bitstream.prefix`, which the file must have but for the quality.
      num_strings: the number of strings a tile that it must have, 1..255.
      has_quality: whether it must have a quality, as the files of a model with many rates do.
    Returns:
      `tile` of a picture that is not cut is its size, rounded up to a multiple of 64.
    Raises:
      tf.errors.InvalidArgumentError: the file is broken, of another version or of another model; one line says which.
    """
    assert len(prefix) == bitstream.PREFIX_BYTES and 1 <= num_strings <= bitstream.MAX_STRINGS
    data = tf.convert_to_tensor(data, tf.string)
    size = tf.strings.length(data)
    end = size - bitstream.CRC_BYTES
    head = tf.cast(tf.io.decode_raw(data, tf.uint8, fixed_length=_LONGEST_HEAD), tf.int32)
    has_tiles, has_chunks = (tf.bitwise.bitwise_and(head[5], bit) > 0
                             for bit in (bitstream.TILED_BIT, bitstream.CHUNKS_BIT))
    sides, at_tile, side_faults = _read_varints(head, bitstream.PREFIX_BYTES, 2, end)
    units, after_tile, tile_faults = _read_varints(head, at_tile, 2, end)
    at_count = tf.where(has_tiles, after_tile, at_tile)
    section, after_section, chunk_faults = _read_varints(head, at_count + 1, 1, end)
    index_at = tf.where(has_chunks, after_section + section[0], at_count + 1)
    tile, count = _tiling(sides, units, has_tiles, size)
    index, longest = _piece(data, index_at, bitstream.VARINT_BYTES * count)
    lengths, after_index, index_faults = _read_varints(tf.pad(index, [[0, longest]]), 0, count, end - index_at)
    ends = tf.cast(index_at + after_index, tf.int64) + tf.cumsum(tf.cast(lengths, tf.int64))   # more than an int32
    guard = _refuse_first([
        *_prefix_faults(head, size, prefix, has_quality),
        *side_faults,
        *((has_tiles & fault, message) for fault, message in tile_faults),
        (at_count >= end, bitstream.TRUNCATED),
        *((has_chunks & fault, message) for fault, message in chunk_faults),
        (index_at > end, bitstream.TRUNCATED),
        (_outside(sides, 1, bitstream.MAX_SIDE), bitstream.BAD_SIDE),
        (has_tiles & (_outside(units, 1, bitstream.MAX_TILE) | (count == 1)), bitstream.BAD_TILE),
        (count > end - index_at, bitstream.TRUNCATED),
        *index_faults,
        (ends[-1] > tf.cast(end, tf.int64), bitstream.TRUNCATED),
        (ends[-1] < tf.cast(end, tf.int64), bitstream.TRAILING),
        (_stored_crc(data, end) != crc32(tf.strings.substr(data, 0, tf.maximum(end, 0))), bitstream.DAMAGED),
        (head[at_count] != num_strings, tf.strings.format(
            f"the file holds {{}} strings a tile, this model writes {num_strings}", head[at_count]))])
    with tf.control_dependencies([guard]):
        ends = tf.cast(ends, tf.int32)
        # One by one: a vector of positions would copy the whole file once for each record.
        records = tf.map_fn(lambda span: tf.strings.substr(data, span[0], span[1]), (ends - lengths, lengths),
                            fn_output_signature=tf.string)
        return Unpacked(tf.identity(sides[0]), tf.identity(sides[1]), tf.identity(tile), records,
                        tf.identity(head[7]))


class UnpackedRecord(NamedTuple):
    """What `unpack_record` reads: phase, int32 scalar; checks, int32 (n,); strings (n,); seal; escapes, int32 (e,)."""

    phase: tf.Tensor
    checks: tf.Tensor
    strings: tf.Tensor
    seal: tf.Tensor
    escapes: tf.Tensor


@_on_cpu
def unpack_record(data: tf.Tensor, num_strings: int) -> UnpackedRecord:
    """Reads the bytes of a record, a string scalar.

    Raises:
      tf.errors.InvalidArgumentError: they are no record.
    """
    end = tf.strings.length(data) - bitstream.CRC_BYTES
    begin = 1 + num_strings
    head, missing = _piece(data, 0, begin + bitstream.VARINT_BYTES * num_strings + 1)
    head = tf.pad(head, [[0, missing]])
    numbers, at, faults = _read_varints(head, begin, num_strings, end)   # lengths, and how many escapes there are
    most = tf.clip_by_value(end - at, 0, bitstream.MAX_ESCAPES)
    lengths, count = numbers[:-1], tf.clip_by_value(numbers[-1], 0, most)
    tail, missing = _piece(data, at, bitstream.VARINT_BYTES * count)
    zigzag, after, more_faults = _read_varints(tf.pad(tail, [[0, missing + 1]]), 0, count, end - at)
    ends = tf.cast(at + after, tf.int64) + tf.cumsum(tf.cast(lengths, tf.int64))
    last = tf.concat([[tf.cast(at + after, tf.int64)], ends], 0)[-1]
    wrong = [fault for fault, _ in (*faults, *more_faults)]
    guard = _refuse_first([
        ((end < begin) | (numbers[-1] > most) | tf.reduce_any(wrong) | (last > tf.cast(end, tf.int64)),
         bitstream.BAD_RECORD),
        (_outside(head[0], 0, bitstream.PHASES - 1), bitstream.BAD_PHASE)])
    with tf.control_dependencies([guard]):
        ends, last = tf.cast(ends, tf.int32), tf.cast(last, tf.int32)
        strings = [tf.strings.substr(data, ends[i] - lengths[i], lengths[i]) for i in range(num_strings - 1)]
        strings.append(tf.strings.substr(data, last, end - last))
        escapes = tf.where(zigzag % 2 > 0, -(zigzag + 1) // 2, zigzag // 2)
        return UnpackedRecord(
            tf.identity(head[0]), tf.ensure_shape(head[1:begin], [num_strings]), tf.stack(strings),
            _stored_crc(data, end), escapes)


@_on_cpu
def seal_of(record: tf.Tensor) -> tf.Tensor:
    """The seal that stands at the end of a record, a string scalar: int64 scalar."""
    return _stored_crc(record, tf.strings.length(record) - bitstream.CRC_BYTES)


@_on_cpu
def crc32(data: tf.Tensor) -> tf.Tensor:
    """zlib's CRC-32 of a string scalar, as an int64 scalar, 0..2^32 - 1."""
    data = tf.strings.join([_CRC_START, data])
    data = tf.strings.join([tf.strings.substr(bytes(3), 0, -tf.strings.length(data) % 4), data])
    return _crc_of_words(tf.io.decode_raw(data, tf.int32))


@_on_cpu
def symbols_crc(symbols: tf.Tensor) -> tf.Tensor:
    """CRC-32 of symbols as little-endian 32-bit words: int32 of any shape -> int64 scalar, 0..2^32 - 1."""
    start = tf.constant(int.from_bytes(_CRC_START, "little", signed=True))
    return _crc_of_words(tf.concat([[start], tf.reshape(symbols, [-1])], 0))


def _crc_of_words(words: tf.Tensor) -> tf.Tensor:
    """A CRC is linear over GF(2) and leading zeros do not move a register of 0: so pairs of words fold into one
    as shift(left) ^ right, level by level, where shift appends as many zero bytes as the right half has. A
    shift is four lookups, one for each byte of the register; a table applied to itself shifts twice as far.
    """
    def fold(words, table):
        words = tf.pad(words, [[tf.shape(words)[0] % 2, 0]])
        pairs = tf.reshape(words, [-1, 2])
        return tf.bitwise.bitwise_xor(_shift(pairs[:, 0], table), pairs[:, 1]), _shift(table, table)

    table = tf.constant(_shift_by_word())
    words, _ = tf.while_loop(
        lambda words, _: tf.shape(words)[0] > 1, fold, [words, table],
        shape_invariants=[tf.TensorShape([None]), table.shape], parallel_iterations=1)
    # So far a word stood for itself; the register has gone past all four bytes of the last one.
    register = tf.cast(_shift(words[0], table), tf.int64)
    ones = tf.constant(_ALL_ONES, tf.int64)
    return tf.bitwise.bitwise_and(tf.bitwise.invert(register), ones)


@_on_cpu
def symbol_check(symbols: tf.Tensor) -> tf.Tensor:
    """The check byte of a string's symbols: int32 of any shape -> int32 scalar, 0..250.

    sum over i of symbol[i] * (i mod 250 + 1) * (i div 250 mod 250 + 1), mod 251, in row-major order. A single
    wrong symbol (off by no multiple of 251) is always seen, and so is a swap inside a row of 250.
    """
    symbols = tf.reshape(tf.convert_to_tensor(symbols, tf.int32), [-1])
    size = tf.shape(symbols)[0]
    weights = tf.range(1, CHECK_ROW + 1)

    def add(start, total):
        piece = symbols[start:start + tf.minimum(_CHECK_PIECE, size - start)] % CHECK_MODULUS
        rows = tf.reshape(tf.pad(piece, [[0, -tf.shape(piece)[0] % CHECK_ROW]]), [-1, CHECK_ROW])
        sums = tf.reduce_sum(rows * weights, axis=1) % CHECK_MODULUS
        row_weights = tf.range(tf.shape(sums)[0]) % CHECK_ROW + 1
        total += tf.reduce_sum(sums * row_weights)  # at most 4000 * 250 * 250
        return start + tf.shape(piece)[0], total % CHECK_MODULUS

    _, total = tf.while_loop(lambda start, _: start < size, add, [0, 0], parallel_iterations=1)
    return total


def _prefix_faults(head: tf.Tensor, size: tf.Tensor, prefix: bytes, has_quality: bool) -> list[tuple[tf.Tensor, Any]]:
    """What can be wrong with the first 12 bytes, worst first: (bool scalar, message)."""
    def differs(begin, end):
        return tf.reduce_any(head[begin:end] != list(prefix[begin:end]))

    magic_differs = (head[:4] != list(bitstream.MAGIC)) & (tf.range(4) < size)
    version, flags = head[4], head[5]
    arithmetic = tf.bitwise.bitwise_and(flags, bitstream.ARITHMETIC_BITS)
    expected = prefix[5] & bitstream.ARITHMETIC_BITS
    unknown = tf.bitwise.bitwise_and(flags, bitstream.UNKNOWN_BITS) != 0
    return [
        (size == 0, bitstream.EMPTY),
        (tf.reduce_any(magic_differs), bitstream.FOREIGN),
        (size < bitstream.PREFIX_BYTES + bitstream.CRC_BYTES, bitstream.TRUNCATED),
        (version == 0, bitstream.FOREIGN),
        (version < bitstream.VERSION, bitstream.OLDER),
        (version != bitstream.VERSION, tf.strings.format(
            f"{bitstream.NEWER}: it has format {{}}, this one reads {bitstream.VERSION}", version)),
        (unknown | (arithmetic > max(bitstream.Arithmetic)), tf.strings.format(
            f"{bitstream.NEWER}: it has flags {{}}, which this one does not know", flags)),
        (differs(6, 7), tf.strings.format(
            f"the file was made by another model or preset: model code {{}}, here {prefix[6]}", head[6])),
        (differs(8, 12), tf.strings.join([
            "the file was made by another model: weights id ", tf.strings.reduce_join(_hex(head[8:12])),
            f", here {prefix[8:12].hex()}"])),
        ((head[7] > 0) != has_quality, f"the file was made by another model: that has {_RATES[not has_quality]}, "
         f"this has {_RATES[has_quality]}"),
        (head[7] > bitstream.quality_byte(bitstream.MAX_QUALITY), bitstream.BAD_QUALITY),
        (arithmetic != expected, tf.strings.join([
            "the file was coded with ", tf.gather(_ARITHMETIC_NAMES, arithmetic),
            f" arithmetic, this model decodes {_ARITHMETIC_NAMES[expected]} arithmetic"])),
    ]


def _refuse_first(faults: Sequence[tuple[tf.Tensor, Any]]) -> tf.Operation | None:
    """Fails with the message of the first fault that is true; to be used as a control dependency.

    One assertion for all, because a graph runs several in any order. The raw operation, because its message
    is the same in eager execution and in graphs.
    """
    found = tf.stack([fault for fault, _ in faults])
    message = tf.stack([message for _, message in faults])[tf.argmax(tf.cast(found, tf.int32))]
    return tf.raw_ops.Assert(condition=~tf.reduce_any(found), data=[message])


def _piece(data: tf.Tensor, at: tf.Tensor | int, length: tf.Tensor | int) -> tuple[tf.Tensor, tf.Tensor]:
    """The bytes from `at` on as int32, `length` of them or as many as there are, and how many are missing."""
    at = tf.clip_by_value(at, 0, tf.strings.length(data))
    piece = tf.cast(tf.io.decode_raw(tf.strings.substr(data, at, length), tf.uint8), tf.int32)
    return piece, length - tf.size(piece)


def _tiling(sides: tf.Tensor, units: tf.Tensor, has_tiles: tf.Tensor, most: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """A tile's (height, width) in pixels, and the number of tiles; at most `most`, where more can't be true."""
    size = tf.clip_by_value(sides[::-1], 1, bitstream.MAX_SIDE)   # height and width; `unpack` refuses others
    whole = -(-size // bitstream.TILE_UNIT)
    tile = tf.where(has_tiles, tf.clip_by_value(units, 1, bitstream.MAX_TILE), whole) * bitstream.TILE_UNIT
    return tile, tf.minimum(tf.reduce_prod(-(-size // tile)), tf.maximum(most, 1))


def _read_varints(head: tf.Tensor, at: tf.Tensor | int, count: int, end: tf.Tensor
                  ) -> tuple[tf.Tensor, tf.Tensor, list[tuple[tf.Tensor, str]]]:
    """Reads `count` numbers in LEB128 from `head`, whose varints lie before `end`.

    Returns:
      values: int32 (count,), garbage where a fault is true.
      at: int32 scalar, the position behind them, at most 5 * count further on.
      faults: (bool scalar, message), in the order in which they matter.
    """
    longest = bitstream.VARINT_BYTES
    # The zeros end any varint that does not end by itself.
    window = tf.pad(head[at:at + longest * count], [[0, count]])
    stops = tf.cast(tf.where(window < 128)[:count, 0], tf.int32)
    starts = tf.concat([[0], stops + 1], 0)[:-1]
    sizes = stops - starts + 1
    places = tf.range(longest)
    groups = tf.gather(window, tf.minimum(starts[:, None] + places, tf.size(window) - 1))
    groups = tf.where(places < sizes[:, None], groups % 128, 0)
    values = tf.reduce_sum(groups * [1 << 7 * place for place in range(longest)], axis=1)
    endless = (sizes > longest) & (at + starts + longest <= end)
    padded = (sizes > 1) & (tf.gather(window, stops) == 0) & (at + stops < end)
    after = at + tf.concat([[-1], stops], 0)[-1] + 1   # also where there are none
    malformed = tf.reduce_any(endless | padded)
    return values, after, [(malformed, bitstream.MALFORMED), (after > end, bitstream.TRUNCATED)]


def _varints(values: tf.Tensor) -> tf.Tensor:
    """int32 (n,), 0..2^28 - 1 -> string scalar: the numbers in LEB128, one after another."""
    shifts = [7 * place for place in range(bitstream.VARINT_BYTES + 1)]
    shifted = tf.bitwise.right_shift(values[:, None], shifts)
    more = tf.cast(shifted[:, 1:] > 0, tf.int32)
    used = (shifted[:, :-1] > 0) | (tf.range(bitstream.VARINT_BYTES) == 0)
    groups = tf.gather(_byte_strings(), shifted[:, :-1] % 128 + 128 * more)
    return tf.strings.reduce_join(tf.where(used, groups, ""))


def _bytes(values: tf.Tensor) -> tf.Tensor:
    """Integers (n,), 0..255 -> string scalar of n bytes."""
    return tf.strings.reduce_join(tf.gather(_byte_strings(), values))


def _byte_strings() -> tf.Tensor:
    return tf.constant([bytes([value]) for value in range(256)])


def _crc_bytes(crc: tf.Tensor) -> tf.Tensor:
    """int64 scalar, 0..2^32 - 1 -> string scalar of 4 bytes, least significant first."""
    return _bytes(tf.bitwise.right_shift(crc, tf.constant([0, 8, 16, 24], tf.int64)) % 256)


def _hex(values: tf.Tensor) -> tf.Tensor:
    """Integers, 0..255 -> strings of two hexadecimal digits."""
    return tf.gather([f"{value:02x}" for value in range(256)], values)


def _outside(values: tf.Tensor, low: int, high: int) -> tf.Tensor:
    return tf.reduce_any((values < low) | (values > high))


def _stored_crc(data: tf.Tensor, end: tf.Tensor) -> tf.Tensor:
    last = tf.io.decode_raw(tf.strings.substr(data, tf.maximum(end, 0), 4), tf.uint8, fixed_length=4)
    return tf.reduce_sum(tf.cast(last, tf.int64) * [1, 1 << 8, 1 << 16, 1 << 24])


def _shift(registers: tf.Tensor, table: tf.Tensor) -> tf.Tensor:
    """CRC registers, int32 of any shape, after the zero bytes that `table`, int32 (1024,), stands for."""
    def lookup(lane):
        byte = tf.bitwise.bitwise_and(tf.bitwise.right_shift(registers, 8 * lane), 255)
        return tf.gather(table, byte + 256 * lane)

    return functools.reduce(tf.bitwise.bitwise_xor, [lookup(lane) for lane in range(4)])


def _shift_by_word() -> np.ndarray:
    """int32 (1024,): at 256 * lane + byte the register byte << 8 * lane after four zero bytes."""
    registers = [byte << 8 * lane for lane in range(4) for byte in range(256)]
    # zlib inverts the register before and after.
    shifted = [zlib.crc32(bytes(4), register ^ _ALL_ONES) ^ _ALL_ONES for register in registers]
    return np.array(shifted, np.uint32).view(np.int32)
