"""Bytes of a picture -> pixels, as TensorFlow operations: what `lic.images` does, as far as a SavedModel can do it.

JPEG, PNG, BMP and the first frame of a GIF; a JPEG is turned upright as its EXIF orientation says, and a PNG that is
transparent is laid over white. Colour profiles are not looked at, and 16 bits lose their lower 8.
"""

from __future__ import annotations

import tensorflow as tf
from PIL.ExifTags import Base

_PNG = b"\x89PNG\r\n\x1a\n"
_EXIF = b"Exif\0\0"
_HEAD = 1 << 16       # bytes in which EXIF stands: it has to come early, and a segment of JPEG is no longer
_ENTRIES = 512        # of a directory that are looked at


def decode(contents: tf.Tensor) -> tf.Tensor:
    """Encoded bytes -> uint8 (h, w, 3)."""
    pixels = tf.cond(
        tf.io.is_jpeg(contents), lambda: _of_jpeg(contents),
        lambda: tf.cond(tf.strings.substr(contents, 0, len(_PNG)) == _PNG, lambda: _of_png(contents),
                        lambda: tf.io.decode_image(contents, 3, expand_animations=False)))
    return tf.ensure_shape(pixels, (None, None, 3))


def _of_jpeg(contents):
    pixels = tf.io.decode_jpeg(contents, 3, dct_method="INTEGER_ACCURATE")   # as Pillow decodes
    return _upright(pixels, _orientation(contents))


def _of_png(contents):
    # Of a palette of fewer than 8 bits that has no alpha, TensorFlow makes one that is no 255.
    return tf.cond(_has_alpha(contents), lambda: _over_white(tf.io.decode_png(contents, 4)),
                   lambda: tf.io.decode_png(contents, 3))


def _has_alpha(contents):
    """Whether a PNG's header says so, or a chunk that stands before its pixels."""
    colour_type = tf.strings.substr(contents, tf.minimum(25, tf.strings.length(contents)), 1)
    chunks = tf.strings.split(contents, "IDAT", 1)[0]
    return (colour_type == b"\4") | (colour_type == b"\6") | (tf.size(tf.strings.split(chunks, "tRNS", 1)) > 1)


def _over_white(pixels):
    pixels = tf.cast(pixels, tf.int32)
    colour, alpha = pixels[..., :3], pixels[..., 3:]
    weighed = colour * alpha + 255 * (255 - alpha) + 128
    return tf.cast((weighed // 256 + weighed) // 256, tf.uint8)   # a division by 255, rounded as Pillow's


def _upright(pixels, orientation):
    """Applies the EXIF orientation 1..8; any other value is no orientation."""
    def where(these, turned, pixels):
        return tf.cond(tf.reduce_any(orientation == these), lambda: turned(pixels), lambda: pixels)

    pixels = where([5, 6, 7, 8], lambda x: tf.transpose(x, (1, 0, 2)), pixels)
    pixels = where([2, 3, 6, 7], lambda x: tf.reverse(x, [1]), pixels)
    return where([3, 4, 7, 8], lambda x: tf.reverse(x, [0]), pixels)


def _orientation(contents):
    """What a JPEG's EXIF, a small TIFF, says of it; 1 where it says nothing."""
    parts = tf.strings.split(tf.strings.substr(contents, 0, tf.minimum(tf.strings.length(contents), _HEAD)), _EXIF, 1)
    tiff = tf.cast(tf.io.decode_raw(tf.concat([parts[1:], [""]], 0)[0], tf.uint8), tf.int64)
    tiff = tf.concat([tiff, tf.zeros(16, tf.int64)], 0)   # what is read beyond its end is zero
    little = tiff[0] == ord("I")

    def number(at, size):
        digits = tf.gather(tiff, tf.clip_by_value(at[..., None] + tf.range(size, dtype=tf.int64),
                                                  0, tf.size(tiff, tf.int64) - 1))
        digits = tf.cond(little, lambda: digits, lambda: tf.reverse(digits, [-1]))
        return tf.reduce_sum(digits * tf.constant([256 ** i for i in range(size)], tf.int64), -1)

    directory = number(tf.constant(4, tf.int64), 4)
    entries = directory + 2 + 12 * tf.range(tf.minimum(number(directory, 2), _ENTRIES))
    found = tf.boolean_mask(number(entries + 8, 2), number(entries, 2) == Base.Orientation)
    return tf.concat([found, [1]], 0)[0]
