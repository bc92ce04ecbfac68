"""The traced functions of a frozen model: a tile to its latent, that to strings, strings to latents, latents to pixels.

`lic.codec` goes from tile to tile with the first four; the last two hold that loop in the graph, for exported models.
The same pixels give the same bytes either way.
"""

from __future__ import annotations

import tensorflow as tf

from lic import bitstream, graph_bitstream, images, kernels, tiling, weights
from lic.arithmetic import FLOAT32
from lic.coded import Coded
from lic.model import Encoded, LatentCodec, cut, flat, pad
from lic.tiling import LATENT_STRIDE, STRIDE
from swin_transformers_tf import products


class FileGraph(tf.Module):
    """Traced functions, and nothing of Keras around them.

    Args:
      model: a frozen model; those of its kernels that decide symbols are rounded.
      start: the first twelve bytes of its files (`bitstream.prefix`).
      side: of the tiles, in pixels, into which `compress_pixels` cuts pictures larger than one with its margins.
    Attributes:
      weights: the variables of the model, by name.
      summed: the names of the kernels that decide symbols, with the axes that are summed over.
      constants: of `analyse` and `synthesise`, the weights that are constants once they are traced.
      storable: whether `lic.graph_storing` takes the functions, as it does where XLA compiles nothing.
    """

    def __init__(self, model: LatentCodec, start: bytes, side: int):
        super().__init__()
        model.round_kernels()
        # The functions below hold the model in their closures; saving needs the variables, and only them, here.
        self.weights, self.storable = weights.frozen_variables(model), not model.xla
        axes = {kernel.ref(): axes for kernel, axes in kernels.of_entropy_path(model)}
        self.summed = {name: axes[v.ref()] for name, v in self.weights.items() if v.ref() in axes}
        n, depth, many = model.num_strings, model.preset.latent_depth, bool(model.gains)

        self.constants = {name: products.Constants() for name in ("analyse", "synthesise")}

        def traced(function, *signature):
            return tf.function(function, input_signature=signature, autograph=False)

        def of_constants(constants, function, *signature):
            def within(*arguments):
                with products.constants(constants):
                    return function(*arguments)
            return traced(within, *signature)

        number, numbers = tf.TensorSpec((), tf.int32), tf.TensorSpec((None,), tf.int32)
        quality, qualities = tf.TensorSpec((), tf.float32), tf.TensorSpec((None,), tf.float32)   # 0 for one rate
        box, one_picture = tf.TensorSpec((4,), tf.int32), tf.TensorSpec((None, None, 3), tf.uint8)
        latents = tf.TensorSpec((None, None, None, depth), tf.float32)
        self.analyse = of_constants(
            self.constants["analyse"],
            lambda pixels, box, quality: cut(model.analyse(pad(tf.cast(pixels, tf.float32)), quality), box),
            tf.TensorSpec((None, None, None, 3), tf.uint8), box, qualities)
        self.encode = traced(lambda y, phase: _coded(model, model.encode_latent(y, phase)), latents, numbers)
        self.decode = traced(
            lambda *arguments: _decode(model, *arguments),
            tf.TensorSpec((None, n), tf.string), tf.TensorSpec((None, n), tf.int32),
            tf.TensorSpec((None, None), tf.int32), numbers, numbers, number, number)
        self.synthesise = of_constants(
            self.constants["synthesise"],
            lambda y_hat, box, quality: model.reconstruct(y_hat, box[2], box[3], box[0], box[1], quality),
            latents, box, qualities)
        if many:   # of no use to others, and long to trace for an export
            self.probe = traced(lambda pixels, quality: _probe(model, pixels, quality), one_picture, quality)
        self.compress_pixels = traced(
            lambda pixels, quality: _compress(self, start, side, n, many, model.arithmetic.margin, pixels, quality),
            one_picture, quality)
        self.decompress_pixels = traced(
            lambda data: _decompress(self, start, n, many, data), tf.TensorSpec((), tf.string))


def _coded(model: LatentCodec, encoded: Encoded) -> Coded:
    """What a file holds of encoded pictures."""
    strings = tf.ensure_shape(tf.stack(encoded.strings, 1), (None, model.num_strings))
    checks = tf.stack([_of_each(graph_bitstream.symbol_check, s, tf.int32) for s in encoded.symbols], 1)
    return Coded(strings, checks, encoded.escapes.to_tensor(), tf.cast(encoded.escapes.row_lengths(), tf.int32),
                 _crc_of(encoded.symbols), encoded.slack)


def _probe(model: LatentCodec, pixels, quality) -> tuple[tf.Tensor, tf.Tensor]:
    """uint8 (h, w, 3) -> the bits that its symbols would take, and the squared error of what is decoded, summed."""
    estimate = model.estimate(tf.cast(pixels[None], tf.float32), arithmetic=FLOAT32, quality=quality[None])
    shown = tf.round(tf.clip_by_value(estimate.x_hat[0], 0, 255))
    error = tf.reduce_sum(tf.math.squared_difference(tf.cast(pixels, tf.float32), shown))
    return estimate.bits_y[0] + estimate.bits_z[0], error


def _decode(model: LatentCodec, strings, checks, escapes, num_escapes, phase, height, width):
    """Strings (b, n) of tiles of one size -> y_hat (b, h, w, M) and the CRC-32 of all symbols of each, (b,) int64.

    Fails at the first string that does not end with its symbols, or whose symbols do not fit their check byte.
    """
    def approve(k, symbols, sound):
        right = sound & (_of_each(graph_bitstream.symbol_check, symbols, tf.int32) == checks[:, k])
        return _if_true(tf.reduce_all(right), f"the symbols of {model.string_names[k]} (string {k}) "
                        "are not those that were encoded: this machine computes otherwise", symbols)

    values = tf.RaggedTensor.from_tensor(escapes, num_escapes)
    decoded = model.decode_latent(tf.unstack(strings, axis=1), values, height, width, phase, approve)
    return _if_true(decoded.complete, bitstream.ESCAPES, decoded.y_hat), _crc_of(decoded.symbols)


def _crc_of(symbols: list) -> tf.Tensor:
    """int32 symbols of each string, (b, ...) each -> CRC-32 of all symbols of each picture, (b,) int64."""
    return _of_each(graph_bitstream.symbols_crc, flat(symbols), tf.int64)


def _of_each(function, x, dtype) -> tf.Tensor:
    """A scalar of each picture of a batch."""
    return tf.map_fn(function, x, fn_output_signature=tf.TensorSpec((), dtype))


def _if_true(condition, message: str, x: tf.Tensor) -> tf.Tensor:
    """x, or an error with this message; what is made of x waits for it."""
    # The raw operation, because its message is the same in eager execution and in graphs.
    with tf.control_dependencies([tf.raw_ops.Assert(condition=condition, data=[message])]):
        return tf.identity(x)


# The loop over tiles, in the graph ---------------------------------------------------------------------------------

def _compress(graph: FileGraph, start: bytes, side: int, num_strings: int, has_quality: bool, margin: float, pixels,
              quality) -> tf.Tensor:
    """uint8 (h, w, 3) -> the bytes of a file."""
    quality_byte = graph_bitstream.quality_byte(quality, has_quality)
    quality = graph_bitstream.quality_of(quality_byte)[None]
    size = tf.shape(pixels)[:2]
    height, width = tf.unstack(tf.cast(size, tf.int64))
    whole = tiling.fits_whole(height, width, side)
    tile = tf.stack(tiling.tile_of(size[0], size[1], tf.where(whole, tf.reduce_max(size), side)))
    rows_and_columns = -(-size // tile)

    def record(number):
        box, window = _box_and_window(number, size, tile, rows_and_columns[1])
        seen = pixels[window[0]:window[0] + window[2], window[1]:window[1] + window[3]][None]
        within = tf.concat([box[:2] - window[:2], box[2:]], 0)
        y = graph.analyse(seen, within, quality)
        encode = lambda phase: Coded(*graph.encode(y, phase))
        first = tf.constant([0])
        phase, coded = tf.while_loop(
            lambda phase, coded: (coded.slack[0] < margin) & (phase[0] < bitstream.PHASES - 1),
            lambda phase, coded: (phase + 1, encode(phase + 1)), (first, encode(first)), parallel_iterations=1)
        checks, strings = (tf.ensure_shape(each[0], (num_strings,)) for each in (coded.checks, coded.strings))
        return graph_bitstream.pack_record(phase[0], checks, strings, coded.escapes[0]), coded.crc[0], phase[0]

    records, crcs, phases = _for_each_tile(record, tf.reduce_prod(rows_and_columns), (tf.string, tf.int64, tf.int32))
    return graph_bitstream.pack(start, size[1], size[0], tile, num_strings, records, crcs, phases, quality_byte)


def _decompress(graph: FileGraph, start: bytes, num_strings: int, has_quality: bool, data) -> tf.Tensor:
    """The bytes of a file -> uint8 (h, w, 3)."""
    file = graph_bitstream.unpack(data, start, num_strings, has_quality)
    quality = graph_bitstream.quality_of(file.quality)[None]
    size = tf.stack([file.height, file.width])
    size = _if_true(tf.reduce_prod(tf.cast(size, tf.int64)) <= images.MAX_PIXELS, images.TOO_LARGE, size)
    tile = tf.minimum(file.tile, -(-size // STRIDE) * STRIDE)   # a forged one may be larger than the picture
    grid = -(-size // tile)
    latents = _mosaic(lambda number: _latents_of(graph, num_strings, number, file, size, grid),
                      grid, tile // LATENT_STRIDE, tf.float32)
    latents = _cut(latents, tf.zeros_like(size), -(-size // STRIDE) * (STRIDE // LATENT_STRIDE))

    def shown(number):
        box, window = _box_and_window(number, size, tile, grid[1])
        end = -(-(window[:2] + window[2:]) // STRIDE) * (STRIDE // LATENT_STRIDE)
        y_hat = _cut(latents, window[:2] // LATENT_STRIDE, end)
        return graph.synthesise(y_hat[None], tf.concat([box[:2] - window[:2], box[2:]], 0), quality)[0]

    return _cut(_mosaic(shown, grid, tile, tf.uint8), tf.zeros_like(size), size)


def _latents_of(graph: FileGraph, num_strings: int, number, file: graph_bitstream.Unpacked, size, grid) -> tf.Tensor:
    """y_hat (h/16, w/16, M) of a tile."""
    box, _ = _box_and_window(number, size, file.tile, grid[1])
    record = graph_bitstream.unpack_record(file.records[number], num_strings)
    before = graph_bitstream.seal_of(file.records[tf.maximum(number - 1, 0)])
    batch = [x[None] for x in (record.strings, record.checks, record.escapes, tf.size(record.escapes), record.phase)]
    y_hat, crc = graph.decode(*batch, box[2], box[3])
    expected = graph_bitstream.seal(size[::-1], file.tile, tf.reduce_prod(grid), number,
                                    tf.where(number > 0, before, 0), crc[0], record.phase, file.quality)
    return _if_true(expected == record.seal, bitstream.MISPLACED, y_hat[0])


def _box_and_window(number, size, tile, columns) -> tuple[tf.Tensor, tf.Tensor]:
    """`tiling.Tiling.__getitem__` and `.window` on tensors: top, left, height, width, int32 (4,) each."""
    first = tf.stack([number // columns, number % columns]) * tile
    end = tf.minimum(first + tile, size)
    begin = tf.maximum(first - tiling.MARGIN, 0) // tiling.ALIGN * tiling.ALIGN
    stop = tf.minimum(-(-(end + tiling.MARGIN) // tiling.ALIGN) * tiling.ALIGN, size)
    return tf.concat([first, end - first], 0), tf.concat([begin, stop - begin], 0)


def _for_each_tile(function, count, dtype) -> tf.Tensor:
    """One tile after another, which bounds the memory."""
    return tf.map_fn(function, tf.range(count), fn_output_signature=dtype, parallel_iterations=1)


def _mosaic(piece_of, grid, side, dtype) -> tf.Tensor:
    """Pieces (h, w, c) of each tile, of `side` but for the last ones of a row or column -> one map."""
    def padded(number):
        piece = piece_of(number)
        missing = side - tf.shape(piece)[:2]
        return tf.pad(piece, [[0, missing[0]], [0, missing[1]], [0, 0]])

    pieces = _for_each_tile(padded, tf.reduce_prod(grid), dtype)
    depth = tf.shape(pieces)[-1]
    pieces = tf.reshape(pieces, tf.stack([grid[0], grid[1], side[0], side[1], depth]))
    return tf.reshape(tf.transpose(pieces, (0, 2, 1, 3, 4)), tf.stack([*tf.unstack(grid * side), depth]))


def _cut(x: tf.Tensor, begin, end) -> tf.Tensor:
    return x[begin[0]:end[0], begin[1]:end[1]]
