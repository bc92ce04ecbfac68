"""The slice loops: which part is predicted from what, in which order, and never from what comes later."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from lic import checkerboard, coders
from lic.arithmetic import FLOAT32, PORTABLE
from lic.coders import Coder
from lic.context import ChannelContext, Context, HyperContext, SpaceChannelContext


class Watched(Coder):
    """Rounds the parts as every coder does, and notes with what predictions it was asked for them."""

    def __init__(self, parts, arithmetic=PORTABLE):
        super().__init__(None, arithmetic)
        self.left, self.asked = list(parts), []

    def __call__(self, loc, index):
        self.asked.append((loc, index))
        loc, _ = self.settle(loc, index)
        return tf.round(self.left.pop(0) - loc) + loc


def noise(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape)


def latents(*shape):
    """Integers: with means of zero they are their own quantisation."""
    return tf.constant(np.round(4 * noise(*shape)), tf.float32)


def test_sigma_is_an_index_or_a_scale_that_has_one():
    sigma = tf.constant([0.05, 0.11, 3.0, 256.0])
    np.testing.assert_array_equal(Context([1], "index").index(sigma), sigma)
    np.testing.assert_array_equal(Context([1], "scale").index(sigma), coders.index_of_scale(sigma))


def test_hyperprior_alone_is_asked_once_for_everything():
    y, means, sigma = latents(1, 2, 3, 5), tf.zeros((1, 2, 3, 5), tf.float64), tf.ones((1, 2, 3, 5), tf.float64)
    context = HyperContext([5], "index")
    coder = Watched(context.parts(y))
    np.testing.assert_array_equal(context.code((means, sigma), coder), y)
    assert context.num_parts == 1 and coder.asked[0][0] is means and coder.asked[0][1] is sigma


def channel_context(depths, supports, **kwargs):
    """Networks that note their support and predict a mean of zero and an index of k."""
    def network(k):
        def predict(hyper, support):
            supports.append(list(support))
            shape = (*hyper[0].shape[:3], depths[k])
            return tf.zeros(shape, hyper[0].dtype), tf.fill(shape, tf.constant(k, hyper[0].dtype)), hyper[0][..., :1]
        return predict

    return ChannelContext(depths, "index", [network(k) for k in range(len(depths))], **kwargs)


HYPER = (tf.constant(noise(1, 2, 3, 4)), tf.constant(noise(1, 2, 3, 4)))


@pytest.mark.parametrize("most", [None, 0, 2, 4])
def test_slices_see_the_first_slices_before_them(most):
    depths, supports = (2, 1, 3, 2), []
    y = latents(1, 2, 3, 8)
    context = channel_context(depths, supports, max_support_slices=most)
    coder = Watched(context.parts(y))
    np.testing.assert_array_equal(context.code(HYPER, coder), y)
    slices = tf.split(y, depths, -1)
    assert context.num_parts == 4 and [int(index[0, 0, 0, 0]) for _, index in coder.asked] == [0, 1, 2, 3]
    for k, support in enumerate(supports):
        expected = slices[:k][:most]
        assert len(support) == len(expected)
        for got, part in zip(support, expected):
            assert got.dtype == tf.float64, "the networks compute in the type of hyper"
            np.testing.assert_array_equal(got, part)


@pytest.mark.parametrize(("most", "num_seen"), [(None, 2), (3, 2), (2, 2), (1, 1)])
def test_refined_slices_are_on_the_grid_where_later_slices_see_them_and_the_rest_are_for_the_synthesis(most, num_seen):
    depths, supports, inputs = (2, 2, 2), [], []

    def refine(x):
        inputs.append(x)
        return x[..., 1:3] * 0.3 + 1

    y = latents(1, 2, 3, 6)
    context = channel_context(depths, supports, refine=[refine] * 3, max_support_slices=most)
    coder = Watched(context.parts(y))
    y_hat = context.code(HYPER, coder).numpy()
    refined = y.numpy() + 0.5 * np.tanh(0.3 * y.numpy().astype(np.float64) + 1)
    assert np.abs(refined - y).max() > 0.1 and y_hat.dtype == np.float32
    cut = 2 * num_seen
    np.testing.assert_array_equal(y_hat[..., :cut], (np.round(refined * 256) / 256)[..., :cut])
    np.testing.assert_allclose(y_hat[..., cut:], refined[..., cut:], rtol=1e-6)    # float32
    assert np.all(y_hat[..., cut:] * 256 % 1 != 0), "no grid"
    assert len(coder.slack) == 2 * len(depths) + num_seen, "only what is rounded can be in doubt"
    for k, x in enumerate(inputs):
        assert x.dtype == (tf.float64 if k < num_seen else tf.float32)
        np.testing.assert_array_equal(x[..., :1], tf.cast(HYPER[0][..., :1], x.dtype))   # the mean support, then the
        np.testing.assert_array_equal(x[..., 1:], y[..., 2 * k:2 * k + 2])               # slice itself
    for k, support in enumerate(supports):
        assert len(support) == min(k, num_seen)
        if k:
            np.testing.assert_array_equal(tf.concat(support, -1), y_hat[..., :2 * len(support)])


class Groups:
    """A space-channel context over groups of 1, 2, 1 channels whose networks note what they see."""

    def __init__(self, **kwargs):
        self.depths, self.spatial, self.channel, self.parameters = (1, 2, 1), [], [], []
        self.context = SpaceChannelContext(
            self.depths, "index", **kwargs,
            spatial=[self._wide(self.spatial, 2 * g, 100) for g in self.depths],
            channel=[self._wide(self.channel, 2 * g, 200) for g in self.depths[1:]],
            parameters=[self._predict(g) for g in self.depths])

    @staticmethod
    def _wide(seen, depth, plus):
        def network(x):
            seen.append(x.numpy())
            return tf.repeat(tf.reduce_sum(x, -1, keepdims=True), depth, -1) + plus
        return network

    def _predict(self, g):
        def network(x):
            self.parameters.append(x.numpy())
            return tf.concat([tf.zeros_like(x[..., :g]), tf.ones_like(x[..., :g])], -1)
        return network


Y, WIDE = latents(2, 4, 6, 4), tf.constant(noise(2, 4, 6, 3))


@pytest.mark.parametrize("anchors", ["even", "odd"])
def test_parts_are_the_colours_of_each_group_anchors_first(anchors):
    context = Groups(anchors=anchors).context
    parts = context.parts(Y)
    assert len(parts) == context.num_parts == 6
    for k, group in enumerate(tf.split(Y, (1, 2, 1), -1)):
        even, odd = checkerboard.split(group)
        first, second = (even, odd) if anchors == "even" else (odd, even)
        np.testing.assert_array_equal(parts[2 * k], first)
        np.testing.assert_array_equal(parts[2 * k + 1], second)


@pytest.mark.parametrize("anchors", ["even", "odd"])
@pytest.mark.parametrize("channel_first", [True, False])
@pytest.mark.parametrize("support", ["all", "first_and_last"])
def test_space_channel_context_sees_what_figure_5_shows(anchors, channel_first, support):
    groups = Groups(anchors=anchors, channel_first=channel_first, support=support)
    coder = Watched(groups.context.parts(Y))
    y_hat = groups.context.code(WIDE, coder)
    np.testing.assert_array_equal(y_hat, Y)

    def half(x, anchor):
        even, odd = (part.numpy() for part in checkerboard.split(tf.constant(np.asarray(x, np.float64))))
        return even if anchor == (anchors == "even") else odd

    start = np.cumsum((0, *groups.depths))
    assert len(groups.parameters) == 6 and len(groups.spatial) == 3 and len(groups.channel) == 2
    for k, g in enumerate(groups.depths):
        group = Y.numpy()[..., start[k]:start[k + 1]]
        np.testing.assert_array_equal(groups.spatial[k], half(group, True))      # the rest isn't known yet
        before = Y.numpy()[..., :start[k]]
        if support == "first_and_last" and k > 1:
            before = np.concatenate([Y[..., :1], Y[..., start[k - 1]:start[k]]], -1)
        if k:
            np.testing.assert_array_equal(groups.channel[k - 1], before)
        for seen, anchor in zip(groups.parameters[2 * k:2 * k + 2], (True, False)):
            assert seen.dtype == np.float64
            spatial = np.repeat(half(group, True).sum(-1, keepdims=True), 2 * g, -1) + 100
            context = [spatial * (not anchor)]                   # nothing at all for anchors, not even the bias
            if k:
                channel = half(np.repeat(before.sum(-1, keepdims=True), 2 * g, -1) + 200, anchor)
                context = [channel, *context] if channel_first else [*context, channel]
            np.testing.assert_array_equal(seen, np.concatenate([*context, half(WIDE, anchor)], -1))


@pytest.mark.parametrize("means_first", [True, False])
def test_parameter_networks_put_out_means_and_sigmas_in_the_order_told(means_first):
    groups = Groups(means_first=means_first)
    coder = Watched(groups.context.parts(Y))
    groups.context.code(WIDE, coder)
    for loc, index in coder.asked:
        assert (np.any(loc), np.all(index == 1)) == (not means_first, means_first)


# The contexts of the papers -------------------------------------------------------------------------------------------


def test_no_part_is_predicted_from_itself_or_from_what_follows(tiny, picture):
    """Other latents from the k-th part on: up to it every prediction has the same bits, and some later one differs."""
    y = tiny.analyse(tf.constant(picture(64, 128, 1)))
    z_hat = tf.round(tiny.h_a(y))

    def predictions(y_parts):
        coder = Watched(y_parts)
        tiny.predict(z_hat, coder)
        assert not coder.left and len(coder.asked) == tiny.context.num_parts
        return [np.stack([np.broadcast_to(np.asarray(t), y_parts[k].shape) for t in asked])
                for k, asked in enumerate(coder.asked)]

    parts = tiny.context.parts(y)
    plain = predictions(parts)
    for k in range(len(parts)):
        other = predictions([*parts[:k], *(5 - 2 * part for part in parts[k:])])
        assert all(np.array_equal(a, b) for a, b in zip(plain[:k + 1], other))
        if k + 1 < len(parts):
            assert not np.array_equal(plain[k + 1], other[k + 1]), "the next part makes use of this one"


def test_predictions_are_float32_but_for_scales_whose_logarithm_is_nearly_the_same_only(tiny, picture):
    y = tiny.analyse(tf.constant(picture(64, 64)))
    for arithmetic in (PORTABLE, FLOAT32):
        coder = Watched(tiny.context.parts(y), arithmetic)
        y_hat = tiny.predict(tf.round(tiny.h_a(y)), coder)
        assert y_hat.dtype == tf.float32 and y_hat.shape == y.shape
        locations, indices = ({t.dtype for t in kind} for kind in zip(*coder.asked))
        wide = arithmetic is PORTABLE and tiny.context.sigma == "scale"
        assert locations == {tf.float32} and indices == {tf.float64 if wide else tf.float32}
