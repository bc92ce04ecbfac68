"""Where the bits of a picture go: what the entropy model charges for each position of the latent.

Stands apart from `lic.file_graph`, whose functions an exported model carries: this one would only make it larger.
"""

from __future__ import annotations

from typing import Callable

import tensorflow as tf

from lic.arithmetic import FLOAT32
from lic.model import LatentCodec
from lic.tiling import LATENT_STRIDE, STRIDE

_Y_OF_Z = STRIDE // LATENT_STRIDE   # positions of y along a side of one of z


def traced(model: LatentCodec) -> Callable:
    """A function of a picture, uint8 (h, w, 3), and a quality (0 for models of one rate).

    It returns bits, float32, of the padded picture: a number for each 16 x 16 pixels. Those of z are spread evenly over
    the positions of y that it covers.
    """
    def bits(pixels, quality):
        estimate = model.estimate(tf.cast(pixels[None], tf.float32), arithmetic=FLOAT32, quality=quality[None],
                                  per_position=True)
        bits_z = estimate.bits_z[0] / _Y_OF_Z ** 2
        return estimate.bits_y[0] + tf.repeat(tf.repeat(bits_z, _Y_OF_Z, 0), _Y_OF_Z, 1)

    signature = [tf.TensorSpec((None, None, 3), tf.uint8), tf.TensorSpec((), tf.float32)]
    return tf.function(bits, input_signature=signature, autograph=False)
