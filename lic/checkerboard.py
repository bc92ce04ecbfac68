"""The two colours of a checkerboard, each packed into a map of half the width.

Row r of a packed colour holds columns r % 2, r % 2 + 2, ... (the even colour: row + column even) or the others (odd).
Height and width must be even.
"""

from __future__ import annotations

import tensorflow as tf

from arch_ops import Conv


def split(x: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """(b, h, w, c) -> the even and the odd colour, each (b, h, w/2, c)."""
    b, h, w = tf.unstack(tf.shape(x)[:3])
    x = tf.reshape(x, (b, h // 2, 2, w // 2, 2, x.shape[-1]))
    even = tf.stack([x[:, :, 0, :, 0], x[:, :, 1, :, 1]], 2)
    odd = tf.stack([x[:, :, 0, :, 1], x[:, :, 1, :, 0]], 2)
    shape = (b, h, w // 2, x.shape[-1])
    return tf.reshape(even, shape), tf.reshape(odd, shape)


def merge(even: tf.Tensor, odd: tf.Tensor) -> tf.Tensor:
    """The inverse of `split`."""
    b, h, w = tf.unstack(tf.shape(even)[:3])
    even, odd = (tf.reshape(x, (b, h // 2, 2, w, x.shape[-1])) for x in (even, odd))
    top = tf.stack([even[:, :, 0], odd[:, :, 0]], 3)
    bottom = tf.stack([odd[:, :, 1], even[:, :, 1]], 3)
    return tf.reshape(tf.stack([top, bottom], 2), (b, h, 2 * w, even.shape[-1]))


def convolve_across(x: tf.Tensor, kernel: tf.Tensor, odd: bool) -> tf.Tensor:
    """What a masked convolution of one colour gives at the places of the other, (b, h, w/2, out).

    The same as to merge x with zeros, convolve with the taps at odd row + column distance, zeros around, and split; but
    only what is not zero is multiplied, less than a quarter.

    Args:
      x: (b, h, w/2, in), the colour that is seen.
      kernel: (k, k, in, out), k odd; taps at even distance are not looked at.
      odd: whether x is the odd colour.
    """
    b, h, w = tf.unstack(tf.shape(x)[:3])
    rows = tf.unstack(tf.reshape(x, (b, h // 2, 2, w, x.shape[-1])), axis=2)   # the even ones, the odd ones
    made = [tf.add_n([_between_rows(rows[source], kernel, parity, source, parity != odd) for source in (0, 1)])
            for parity in (0, 1)]
    return tf.reshape(tf.stack(made, 2), (b, h, w, kernel.shape[-1]))


def _between_rows(x: tf.Tensor, kernel: tf.Tensor, parity: int, source: int, is_left: bool) -> tf.Tensor:
    """What rows of one parity take from those of another.

    Args:
      is_left: whether the first place of such a row is left of the first place that is seen in it; where it is not, it
        is right of it.
    """
    reach = kernel.shape[0] // 2
    down = [d for d in range(-reach, reach + 1) if (parity + d) % 2 == source]
    right = [d for d in range(-reach, reach + 1) if (d + down[0]) % 2]
    # Rows and places are counted within their parity and colour: two of the map are one here.
    first, last = ((parity + d - source) // 2 for d in (down[0], down[-1]))
    begin, end = ((d + (0 if d % 2 == 0 else -1 if is_left else 1)) // 2 for d in (right[0], right[-1]))
    taps = kernel[down[0] + reach::2, right[0] + reach::2]
    return tf.nn.conv2d(tf.pad(x, [[0, 0], [-first, last], [-begin, end], [0, 0]]), taps, 1, "VALID")


class CrossConv(Conv):
    """A masked convolution that sees one colour of a checkerboard, at the places of the other (He et al. 2022, 4.2).

    Maps are packed: (b, h, w/2, c) -> (b, h, w/2, filters). Half the taps of its kernel rest.

    Args:
      odd: whether it sees the odd colour.
    """

    def __init__(self, filters: int, kernel: int, odd: bool, **kwargs):
        super().__init__(filters, kernel, **kwargs)
        self.odd = odd

    def _convolve(self, x, kernel):
        return convolve_across(x, kernel, self.odd)
