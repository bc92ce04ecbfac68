"""From a picture to the bytes of a file and back, tile by tile: what the command line and the Python API share.

Both run the traced functions of `lic.file_graph`: a model's own, those of a SavedModel, or those that were stored
beside the weights (`lic.stored_graph`). The same pixels give the same bytes by any door.
"""

from __future__ import annotations

import dataclasses
import operator
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from types import MappingProxyType
from typing import Any, Callable, NamedTuple

import numpy as np
import tensorflow as tf

import config
from lic import bitstream, images, memory, metrics, refining, registry
from lic.arithmetic import ARITHMETICS
from lic.bitstream import Header, Record
from lic.coded import Coded
from lic.errors import DataError, UsageError
from lic.kinds import is_whole
from lic.latents import Latents, latent_box
from lic.op_errors import first_line
from lic.qualities import settled
from lic.registry import maker_in_words
from lic.switches import arithmetic_of, flags_of
from lic.tiling import LATENT_STRIDE, Box, Tiling, check_side, fits_whole, tile_of

Progress = Callable[[Iterable], Iterable]
_EFFORTS_MEMORY = 3   # times what coding takes; measured 0.9 (hypmqw2022 nano), 1.5 (lsk2023), 2.8 (zyc2022)


class Codec:
    """A model that turns pictures into files.

    Args:
      graph: a `FileGraph`, what `tf.saved_model.load` made of one, or a `StoredGraph`.
      about: what its model.json says.
      apart: further functions (`lic.apart`) by their names, where they are at hand; an attribute, too.
      folder: that its model was read from, where there is one; an attribute, too.
    """

    def __init__(self, graph, about: dict, apart: Mapping[str, Callable] = MappingProxyType({}),
                 folder: str | None = None):
        self.graph, self.about, self.start, self.apart, self.folder = graph, about, start_of(about), apart, folder
        self._preset = registry.described(about)

    @property
    def weights_id(self) -> str:
        """Eight hex digits that stand in each of its files."""
        return self.about["weights_id"]

    @property
    def variable(self) -> bool:
        """Whether it takes a quality: one model for many rates."""
        return bool(self._preset.lambdas)

    def settled_quality(self, quality: float | None) -> float:
        """As `lic.qualities.settled`."""
        return settled(quality, self._preset)

    def check_effort(self, effort: int) -> None:
        """Raises a UsageError where there is no such effort, or this model can make none."""
        if not is_whole(effort) or not 0 <= effort <= config.MAX_EFFORT:
            raise UsageError(f"the effort {effort} is not a whole number within 0..{config.MAX_EFFORT}")
        if effort and not self.variable:
            raise UsageError("this model has one rate and takes no effort: it knows no lambda; give one of many rates")
        if effort and "slope" not in self.apart:
            raise UsageError("an effort needs the model's networks: a SavedModel by itself takes none")

    def probe(self, pixels: np.ndarray, quality: float, progress: Progress = iter) -> tuple[float, float]:
        """uint8 (h, w, 3) -> (bits per pixel, PSNR in dB) that a file of this quality has, about; nothing is coded.

        Raises:
          UsageError: there is no such quality, or the model has one rate.
        """
        quality, (height, width) = self.settled_quality(quality), pixels.shape[:2]
        bits, error = 0.0, 0.0
        for box in progress(Tiling(height, width, self._tile_of(height, width, None))):
            self._demand(box.height * box.width)
            of_tile = self._run(self.graph.probe, pixels[box.slices], np.float32(quality))
            bits, error = bits + float(of_tile[0]), error + float(of_tile[1])
        return bits / (height * width), metrics.psnr_of_mse(error / pixels.size)

    def bits_map(self, pixels: np.ndarray, quality: float | None = None, progress: Progress = iter
                 ) -> np.ndarray | None:
        """uint8 (h, w, 3) -> the bits that each 16 x 16 pixels take in a file, about; nothing is coded.

        Returns:
          float32 (h/16, w/16), rounded up; None of a SavedModel without stored graphs, which holds no such function.
        """
        if "bits" not in self.apart:
            return None
        quality, (height, width) = self.settled_quality(quality), pixels.shape[:2]
        found = np.zeros([-(-side // LATENT_STRIDE) for side in (height, width)], np.float32)
        for box in progress(Tiling(height, width, self._tile_of(height, width, None))):
            self._demand(box.height * box.width)
            part = found[box.top // LATENT_STRIDE:, box.left // LATENT_STRIDE:]
            of_tile = self._run(self.apart["bits"], pixels[box.slices], np.float32(quality))
            rows, columns = np.minimum(of_tile.shape, part.shape)
            part[:rows, :columns] = of_tile[:rows, :columns]
        return found

    # Pictures to files ---------------------------------------------------------------------------------------------

    def compress(self, picture, **options) -> bytes:
        """A picture -> the bytes of a file.

        Args:
          picture: uint8 (h, w, 3), or a PIL image of any kind (`lic.images` says what becomes of it).
          options: as of `compress_pixels`.
        Raises:
          DataError: it is no such thing, or as `compress_pixels`.
          UsageError: as `compress_pixels`.
        """
        return self.compress_pixels(images.of(picture).pixels, **options)

    def compress_pixels(self, pixels: np.ndarray, tile: int | None = None, verify: bool = False,
                        progress: Progress = iter, quality: float | None = None, effort: int = 0) -> bytes:
        """uint8 (h, w, 3) -> the bytes of a file.

        Args:
          tile: side of the largest tiles in pixels, a multiple of 128; 0 for a picture in one piece, None for what fits
            into memory.
          verify: decode the file's symbols again and compare them with those that were encoded.
          progress: wraps the tiles, and the steps of an effort, as `tqdm` does.
          quality: 1..100, kept in halves, of a model with many rates.
          effort: steps of refinement (`lic.refining`), each two or three times as long as coding; 0 for none.
        Raises:
          DataError: the picture is too large for the format or the memory, or does not decode again.
          UsageError: there is no such quality or effort, or the model can't make one.
        """
        quality = self.settled_quality(quality)
        self.check_effort(effort)
        self._check_sides(pixels)
        height, width = pixels.shape[:2]
        tiling = Tiling(height, width, self._tile_of(height, width, tile, effort))
        windows = ((tiling.window(box), box) for box in progress(tiling))
        coded = [self._encode(pixels[window.slices][None], box.within(window), quality, effort, progress)[0]
                 for window, box in windows]
        data = self._file(height, width, coded, tiling.tile if len(tiling) > 1 else None, quality)
        if verify:
            self.verify(data)
        return data

    def compress_batch(self, pictures: Sequence[np.ndarray], quality: float | None = None) -> list[bytes]:
        """Pictures of one size, uint8 (h, w, 3), coded side by side in one piece each -> the bytes of their files.

        Raises as `compress_pixels`; UsageError where they are none, or differ in size.
        """
        quality = self.settled_quality(quality)
        for pixels in pictures:
            self._check_sides(pixels)
        if len({pixels.shape for pixels in pictures}) != 1:
            raise UsageError("a batch takes pictures of one size, and at least one")
        height, width = pictures[0].shape[:2]
        return [self._file(height, width, [coded], None, quality)
                for coded in self._encode(np.stack(pictures), Box(0, 0, height, width), quality)]

    def at_once(self, height: int, width: int) -> int:
        """How many pictures of this size go side by side into a batch; 0 where one has to be cut into tiles."""
        if self._tile_of(height, width, None):
            return 0
        return max(1, int(memory.budget() // (self._preset.bytes_per_pixel * height * width)))

    def memory_of(self, height: int, width: int, effort: int = 0) -> float:
        """Bytes of working memory that a picture of this size takes, in tiles where it is large, about."""
        return min(self._bytes_per_pixel(effort) * height * width, memory.budget())

    def _bytes_per_pixel(self, effort: int = 0) -> int:
        return self._preset.bytes_per_pixel * (_EFFORTS_MEMORY if effort else 1)

    def _check_sides(self, pixels: np.ndarray) -> None:
        if max(pixels.shape[:2]) > bitstream.MAX_SIDE:
            raise DataError(f"the picture's sides {pixels.shape[1]} x {pixels.shape[0]} exceed {bitstream.MAX_SIDE}")

    def _tile_of(self, height: int, width: int, side: int | None, effort: int = 0) -> tuple[int, int] | None:
        if side is None:
            side = memory.tile_side(self._bytes_per_pixel(effort), memory.budget())
            if fits_whole(height, width, side):
                return None
        check_side(side)
        return tile_of(height, width, side) if 0 < side < max(height, width) else None

    def _encode(self, windows: np.ndarray, box: Box, quality: float, effort: int = 0, progress: Progress = iter
                ) -> list[_Tile]:
        """Windows (b, h, w, 3) -> what `box` holds of each, coded on a grid that no value is in doubt on."""
        self._demand(windows[..., 0].size, effort)
        margin = ARITHMETICS[self.about["arithmetic"]].margin
        phase, qualities = np.zeros(len(windows), np.int32), np.full(len(windows), quality, np.float32)
        y = self._latent(windows, box, qualities, effort, progress)
        for _ in range(bitstream.PHASES):
            coded = Coded(*self._run(self.graph.encode, y, phase))
            doubtful = (coded.slack < margin) & (phase < bitstream.PHASES - 1)
            if not doubtful.any():
                break
            phase = phase + doubtful
        return [_Tile(int(phase[i]), tuple(map(int, coded.checks[i])), tuple(coded.strings[i]),
                      tuple(map(int, coded.escapes[i, :coded.num_escapes[i]])), int(coded.crc[i]))
                for i in range(len(windows))]

    def _latent(self, windows: np.ndarray, box: Box, qualities: np.ndarray, effort: int, progress: Progress
                ) -> tf.Tensor:
        """y of what `box` holds of each window."""
        if not effort:
            return self._run(self.graph.analyse, windows, np.array(box, np.int32), qualities)
        whole = np.array((0, 0, *windows.shape[1:3]), np.int32)   # what lies around the box is refined, too
        y = self._run(self.graph.analyse, windows, whole, qualities)
        y = self._run(refining.refined, self.apart["slope"], y, windows, qualities, effort, progress)
        return y[(slice(None), *latent_box(box).slices)]

    def _file(self, height: int, width: int, tiles: Sequence[_Tile], tile: tuple[int, int] | None, quality: float
              ) -> bytes:
        records: list[Record] = []
        for number, (phase, checks, strings, escapes, crc) in enumerate(tiles):
            before = records[-1].seal if records else 0
            seal = bitstream.seal(width, height, tile, number, before, crc, phase, quality)
            records.append(Record(phase, checks, strings, seal, escapes))
        start = self.start[:7] + bytes([bitstream.quality_byte(quality)]) + self.start[8:]
        return bitstream.build(start, width, height, records, tile)

    # Files to pictures ---------------------------------------------------------------------------------------------

    def decompress(self, data: bytes, crop: tuple[int, int, int, int] | None = None, progress: Progress = iter
                   ) -> np.ndarray:
        """The bytes of a file -> uint8 (h, w, 3).

        Args:
          crop: x, y, width and height of the part to decode, in pixels; only the tiles that it needs are touched.
          progress: wraps the tiles, as `tqdm` does.
        Raises:
          DataError: the file is damaged, or made by another model or under another arithmetic.
          UsageError: the crop is not inside the picture.
        """
        header, records = self._parse(data)
        tiling = Tiling(header.height, header.width, header.tile)
        region = tiling.picture if crop is None else _region_of(crop, tiling.picture)
        if region.height * region.width > images.MAX_PIXELS:
            raise DataError(f"{images.TOO_LARGE}: give --crop")
        latents = Latents(tiling, lambda number: self._tile(header, records, number))
        pixels: np.ndarray | None = None   # a broken file is refused before room is taken for its picture
        for number in progress(tiling.touching(region)):
            piece = tiling[number].meet(region)
            assert piece is not None
            window = tiling.window(piece)
            shown = self._show(latents.of(window)[None], piece.within(window), [header.quality])[0]
            if piece == region:
                return shown
            pixels = np.empty((region.height, region.width, 3), np.uint8) if pixels is None else pixels
            pixels[piece.within(region).slices] = shown
        assert pixels is not None
        return pixels

    def decompress_batch(self, files: Sequence[bytes]) -> list[np.ndarray]:
        """Files of pictures of one size that are not cut, decoded side by side -> uint8 (h, w, 3) each.

        Raises as `decompress` does, for all of them where one is broken.
        """
        parsed = [self._parse(data) for data in files]
        sizes = {(header.height, header.width, header.tile) for header, _ in parsed}
        if len(sizes) != 1 or any(tile for *_, tile in sizes):
            raise UsageError("a batch takes files of pictures of one size, in one piece")
        box = Box(0, 0, parsed[0][0].height, parsed[0][0].width)
        y_hat, crcs = self._decode([record for _, (record,) in parsed], box)
        for (header, records), crc in zip(parsed, crcs):
            _check_seal(header, records, 0, crc)
        return list(self._show(y_hat, box, [header.quality for header, _ in parsed]))

    def verify(self, data: bytes) -> None:
        """Decodes the symbols of a file, which fails where they are not those that were encoded.

        Raises:
          DataError: the file is damaged, or this machine computes otherwise than the one that made it.
        """
        header, records = self._parse(data)
        for number in range(len(records)):
            self._tile(header, records, number)

    def _parse(self, data: bytes) -> tuple[Header, tuple[Record, ...]]:
        if not isinstance(data, (bytes, bytearray, memoryview)):
            raise DataError("only the bytes of a file can be decoded: read it first, open(name, 'rb').read()")
        header, records = bitstream.parse(data)
        self.check(header)
        if header.num_strings != self.about["num_strings"]:
            raise DataError(f"the file holds {header.num_strings} strings a tile, this model writes "
                            f"{self.about['num_strings']}")
        return header, records

    def _tile(self, header: Header, records: Sequence[Record], number: int) -> np.ndarray:
        """y_hat (h/16, w/16, M) of a tile."""
        box = Tiling(header.height, header.width, header.tile)[number]
        try:
            y_hat, (crc,) = self._decode([records[number]], box)
            _check_seal(header, records, number, crc)
        except DataError as error:
            raise DataError(f"tile {number + 1} of {len(records)}: {error}" if header.tile else error) from None
        return y_hat[0]

    def _decode(self, records: Sequence[Record], box: Box) -> tuple[np.ndarray, np.ndarray]:
        """Records of tiles of one size -> y_hat (b, h/16, w/16, M) and the CRC-32 of the symbols of each, (b,)."""
        self._demand(len(records) * box.height * box.width)
        strings = np.array([r.strings for r in records], object)
        checks, phase = (np.array(rows, np.int32) for rows in ([r.checks for r in records], [r.phase for r in records]))
        counts = np.array([len(r.escapes) for r in records], np.int32)
        escapes = np.zeros((len(records), counts.max()), np.int32)
        for row, record in zip(escapes, records):
            row[:len(record.escapes)] = record.escapes
        return self._run(self.graph.decode, strings, checks, escapes, counts, phase,
                         np.int32(box.height), np.int32(box.width))

    def _show(self, y_hat: np.ndarray, box: Box, qualities: Sequence[float]) -> np.ndarray:
        """y_hat of windows (b, h/16, w/16, M) -> what `box` shows of each, uint8 (b, h, w, 3)."""
        self._demand(y_hat[..., 0].size * LATENT_STRIDE ** 2)
        return self._run(self.graph.synthesise, y_hat, np.array(box, np.int32), np.array(qualities, np.float32))

    def _demand(self, pixels: int, effort: int = 0) -> None:
        memory.demand(pixels, self._bytes_per_pixel(effort), "this picture, or one of its tiles,")

    def check(self, header: Header) -> None:
        """Raises a DataError where a file's header does not fit this codec."""
        if dataclasses.replace(header, quality=0).prefix == self.start and bool(header.quality) == self.variable:
            return
        mine = self.start[8:12]
        if header.weights_id != mine:
            raise DataError(f"the file was made by model {header.weights_id.hex()} ({maker_in_words(header)}), not by "
                            f"{mine.hex()}: give the folder of that one")
        if header.arithmetic != self.start[5]:
            raise DataError(f"the file was made with {flags_of(header.arithmetic)}: give the same flags to decompress")
        raise DataError("the file was made by another preset of this model, or with another kind of quality")

    def _run(self, function, *arguments):
        """What a function of the graph makes of arrays, as arrays."""
        try:
            with _tf32(self.about["tf32"]):
                return tf.nest.map_structure(_array, function(*arguments))
        except tf.errors.ResourceExhaustedError:
            raise DataError("the picture does not fit into memory") from None
        except tf.errors.InvalidArgumentError as error:
            raise DataError(first_line(error)) from None


def start_of(about: Mapping[str, Any]) -> bytes:
    """The first twelve bytes (`lic.bitstream.prefix`) of the files of a model, out of what its model.json says."""
    return bitstream.prefix(arithmetic_of(about["arithmetic"], about["tf32"]), registry.described(about).code, 0,
                            bytes.fromhex(about["weights_id"]))


class _Tile(NamedTuple):
    """A tile before it has its place in a file: a `Record`, with the CRC-32 of its symbols instead of its seal."""

    phase: int
    checks: tuple[int, ...]
    strings: tuple[bytes, ...]
    escapes: tuple[int, ...]
    crc: int


def _array(result):
    return result.numpy() if isinstance(result, tf.Tensor) else result


def _check_seal(header: Header, records: Sequence[Record], number: int, crc: int) -> None:
    record, before = records[number], records[number - 1].seal if number else 0
    expected = bitstream.seal(header.width, header.height, header.tile, number, before, int(crc), record.phase,
                              header.quality)
    if expected != record.seal:
        raise DataError(bitstream.MISPLACED)


def _region_of(crop: tuple[int, int, int, int], picture: Box) -> Box:
    try:
        x, y, width, height = map(operator.index, crop)
    except (TypeError, ValueError):
        raise UsageError("a crop is x, y, width and height, in whole pixels") from None
    if x < 0 or y < 0 or width < 1 or height < 1 or x + width > picture.width or y + height > picture.height:
        raise UsageError(f"the crop {x},{y},{width},{height} is not inside the picture of {picture.width} x "
                         f"{picture.height}: give x,y,width,height in pixels")
    return Box(y, x, height, width)


@contextmanager
def _tf32(allowed: bool) -> Iterator[None]:
    """TF32 belongs to the process, and on GPUs it is on unless one says otherwise: a codec brings its own."""
    before = tf.config.experimental.tensor_float_32_execution_enabled()
    tf.config.experimental.enable_tensor_float_32_execution(allowed)
    try:
        yield
    finally:
        tf.config.experimental.enable_tensor_float_32_execution(before)
