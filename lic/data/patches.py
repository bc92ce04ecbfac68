"""From an encoded picture to a random patch of it."""

from __future__ import annotations

import tensorflow as tf


def cut(contents: tf.Tensor, patchsize: int, seed: tf.Tensor) -> tf.Tensor:
    """A random patch of an encoded picture, uint8 (p, p, 3)."""
    return _window(contents, lambda shape: patchsize, seed)


def shrink_and_cut(contents: tf.Tensor, patchsize: int, seed: tf.Tensor, factor_seed: tf.Tensor) -> tf.Tensor:
    """The same of the picture made smaller by a random factor: sharper, and with less of a JPEG's noise.

    The factor's logarithm is uniform, from 1 down to where the shorter side is a patch.
    """
    def side(shape):
        largest = tf.cast(tf.reduce_min(shape[:2]), tf.float32) / patchsize
        return tf.cast(tf.round(patchsize * largest ** tf.random.stateless_uniform((), factor_seed)), tf.int32)

    window = tf.cast(_window(contents, side, seed), tf.float32)
    patch = tf.image.resize(window, (patchsize, patchsize), "bicubic", antialias=True)
    return tf.cast(tf.round(tf.clip_by_value(patch, 0, 255)), tf.uint8)


def _window(contents: tf.Tensor, side_of, seed: tf.Tensor) -> tf.Tensor:
    """A square somewhere in an encoded picture; of a JPEG only the blocks under it are decoded.

    Args:
      side_of: a function from the shape of the picture to the side of the square.
    """

    def from_jpeg():
        corner, sides = _place(tf.io.extract_jpeg_shape(contents), side_of, seed)
        return tf.io.decode_and_crop_jpeg(contents, tf.concat([corner, sides], 0), channels=3)

    def from_other():
        picture = tf.io.decode_image(contents, channels=3, expand_animations=False)
        corner, sides = _place(tf.shape(picture), side_of, seed)
        return tf.slice(picture, tf.concat([corner, [0]], 0), tf.concat([sides, [3]], 0))

    return tf.cond(tf.io.is_jpeg(contents), from_jpeg, from_other)


def _place(shape: tf.Tensor, side_of, seed: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """A random upper left corner (row, column) and the sides of a square in a picture of that shape."""
    side = side_of(shape)
    room = tf.cast(shape[:2] - side, tf.float32)
    u = tf.random.stateless_uniform((2,), seed)
    return tf.minimum(tf.cast(u * (room + 1), tf.int32), shape[:2] - side), tf.stack([side, side])


def flip(patch: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
    """Left and right exchanged, every other time."""
    return tf.image.stateless_random_flip_left_right(patch, seed)
