"""The slice loops, each written once: how y is predicted part by part from the hyperprior and from itself.

`code(hyper, coder)` runs a loop with any of the three coders (`lic.coders`) and returns y_hat, (b, h, w, M) float32.
The networks compute in the type of `hyper`, or as the coder has them multiply.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Callable

import tensorflow as tf

from lic import checkerboard, coders
from swin_transformers_tf import Layer, products


class Context(Layer):
    """What the loops share.

    Args:
      depths: channels of the slices, in order.
      sigma: whether the networks put out a "scale" or an "index" (config.Conventions).
    """

    def __init__(self, depths: Sequence[int], sigma: str, **kwargs):
        super().__init__(**kwargs)
        self.depths, self.sigma = tuple(depths), sigma

    @property
    def deciding(self) -> list[Layer]:
        """The networks that decide symbols."""
        return [self]

    def parts(self, y: tf.Tensor) -> list[tf.Tensor]:
        """y cut into the parts that `code` will ask for, in its order."""
        return tf.split(y, self.depths, -1)

    def joined(self, maps: Sequence[tf.Tensor]) -> tf.Tensor:
        """Something for each position of each part, in the order of `parts` -> its sum over the slices, (b, h, w)."""
        return tf.add_n(maps)

    @property
    def num_parts(self) -> int:
        """How many parts (and strings) there are."""
        return len(self.depths)

    @property
    def part_names(self) -> list[str]:
        """What the parts are, for whoever reads an error."""
        return [f"slice {k}" for k in range(len(self.depths))]

    def index(self, sigma: tf.Tensor) -> tf.Tensor:
        """The networks' sigma as a fractional scale index."""
        return coders.index_of_scale(products.wide(sigma)) if self.sigma == "scale" else sigma


class HyperContext(Context):
    """No context but the hyperprior, which gives mean and scale at once (Minnen et al., NeurIPS 2018)."""

    def code(self, hyper, coder):
        means, scales = hyper
        return coder(means, self.index(scales))


class ChannelContext(Context):
    """Slices one after another, each predicted from the hyperprior and the slices before (Minnen & Singh 2020).

    Args:
      parameters: for each slice a network (k-th of hyper, support slices) -> (mean, sigma, mean support).
      refine: for each slice a network (mean support, slice) -> latent residual, or None (TCM has it, ChARM not).
      max_support_slices: how many of the first slices may be seen.
    """

    def __init__(self, depths: Sequence[int], sigma: str, parameters: Sequence[Callable],
                 refine: Sequence[Callable] | None = None, max_support_slices: int | None = None, **kwargs):
        super().__init__(depths, sigma, **kwargs)
        self.parameters, self.refine = list(parameters), list(refine) if refine else None
        self.max_support_slices = max_support_slices

    def code(self, hyper, coder):
        y_hat, dtype = [], hyper[0].dtype
        for k, network in enumerate(self.parameters):
            support = [tf.cast(part, dtype) for part in y_hat[:self.max_support_slices]]
            mean, sigma, seen = network(hyper, support)
            part = coder(mean, self.index(sigma))                            # (b, h, w, depth)
            y_hat.append(self._refined(self.refine[k], k, seen, part, coder) if self.refine else part)
        return tf.concat(y_hat, -1)

    @property
    def _num_seen(self) -> int:
        """How many of the first slices are seen by others."""
        return min(self.max_support_slices or len(self.depths), len(self.depths) - 1)

    @property
    def deciding(self):
        return [*self.parameters, *(self.refine or [])[:self._num_seen]]

    def _refined(self, network, k, seen, part, coder):
        """Part plus its latent residual; settled where later slices see it, else for synthesis alone, in float32."""
        if k < self._num_seen:
            return coder.snap(self._with_residual(network, seen, part))
        with products.multiplying(None):
            return self._with_residual(network, tf.cast(seen, tf.float32), part)

    @staticmethod
    def _with_residual(network, seen, part):
        residual = products.wide(network(tf.concat([seen, tf.cast(part, seen.dtype)], -1)))
        return tf.cast(part, residual.dtype) + 0.5 * tf.tanh(residual)


class SpaceChannelContext(Context):
    """ELIC's: in each group first the anchors of a checkerboard, then the rest with the anchors in sight.

    He et al., CVPR 2022, section 4.2 and figure 5. Everything after the spatial and channel contexts is 1x1, so it
    runs on packed half maps.

    Args:
      spatial: for each group a convolution of its anchors, (b, h, w/2, g), at the places of the rest, (b, h, w/2, 2g).
      channel: for each group but the first a network of earlier groups -> (b, h, w, 2g).
      parameters: for each group a 1x1 network -> mean and sigma, 2g channels.
      anchors: which colour comes first, "even" or "odd".
      means_first: order of mean and sigma in the parameter networks' output.
      channel_first: order of the parameter networks' input: (channel, spatial, hyper) or (spatial, channel, hyper).
      support: "all" groups before, or the "first_and_last" of them.
    """

    def __init__(self, depths: Sequence[int], sigma: str, *, spatial, channel, parameters, anchors: str = "even",
                 means_first: bool = True, channel_first: bool = True, support: str = "all", **kwargs):
        super().__init__(depths, sigma, **kwargs)
        self.spatial, self.channel, self.parameters = list(spatial), list(channel), list(parameters)
        self.odd_first, self.means_first, self.channel_first = anchors == "odd", means_first, channel_first
        self.support = support

    @property
    def num_parts(self):
        return 2 * len(self.depths)

    @property
    def part_names(self):
        return [f"{colour} of slice {k}" for k in range(len(self.depths)) for colour in ("anchors", "rest")]

    def _split(self, x):
        """(anchors, rest), each (b, h, w/2, c)."""
        even, odd = checkerboard.split(x)
        return (odd, even) if self.odd_first else (even, odd)

    def _merge(self, anchors, rest):
        return checkerboard.merge(rest, anchors) if self.odd_first else checkerboard.merge(anchors, rest)

    def parts(self, y):
        return [half for group in tf.split(y, self.depths, -1) for half in self._split(group)]

    def joined(self, maps):
        anchors, rest = (tf.add_n(maps[first::2])[..., None] for first in (0, 1))
        return self._merge(anchors, rest)[..., 0]

    def code(self, hyper, coder):
        hypers = self._split(hyper)
        y_hat = []
        for k, depth in enumerate(self.depths):
            channel = self._split(self.channel[k - 1](self._support(y_hat, hyper.dtype))) if k else (None, None)
            blank = tf.zeros_like(hypers[0][..., :1]) * tf.zeros((2 * depth,), hyper.dtype)
            anchors = coder(*self._predict(k, blank, channel[0], hypers[0]))
            spatial = self.spatial[k](tf.cast(anchors, hyper.dtype))
            rest = coder(*self._predict(k, spatial, channel[1], hypers[1]))
            y_hat.append(self._merge(anchors, rest))
        return tf.concat(y_hat, -1)

    def _support(self, y_hat, dtype):
        if self.support == "first_and_last" and len(y_hat) > 1:
            y_hat = [y_hat[0], y_hat[-1]]
        return tf.cast(tf.concat(y_hat, -1), dtype)

    def _predict(self, k, spatial, channel, hyper):
        """Mean and scale index of one colour of group k, each (b, h, w/2, g)."""
        context = [spatial] if channel is None else [channel, spatial] if self.channel_first else [spatial, channel]
        first, second = tf.split(self.parameters[k](tf.concat([*context, hyper], -1)), 2, -1)
        mean, sigma = (first, second) if self.means_first else (second, first)
        return mean, self.index(sigma)
