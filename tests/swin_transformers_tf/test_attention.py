"""Window attention against two slow references in numpy: one on the map itself, one as it was published.

Both in float64, with errors of 1e-15 a product; 1e-12 leaves room for the sums.
"""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from swin_transformers_tf import WindowAttention

EXACT = {"rtol": 0, "atol": 1e-12}


def made(c, heads, window, shift, scale_dim=None, seed=0):
    """An attention layer whose weights are all random and large enough to matter."""
    layer = WindowAttention(heads, window, shift, scale_dim)
    layer(tf.zeros((1, window, window, c)))
    rng = np.random.default_rng(seed)
    for v in layer.weights:
        v.assign(tf.constant(rng.normal(0, 0.5, v.shape), tf.float32))
    return layer


def softmax(x):
    e = np.exp(x - x.max(-1, keepdims=True))
    return e / e.sum(-1, keepdims=True)


def dense(x, layer):
    return x @ layer.kernel.numpy().astype(float) + layer.bias.numpy().astype(float)


def bias_of(layer, rows, columns):
    """(heads,) bias of a query that is so many rows and columns below and right of its key."""
    m = layer.window
    return layer.bias_table.numpy().astype(float)[(rows + m - 1) * (2 * m - 1) + columns + m - 1]


def on_the_map(x, layer):
    """Attention by its meaning, pixel by pixel: nothing is padded, rolled or masked.

    A pixel sees those that lie in the same cell of a grid that is shifted by `shift`.
    """
    b, h, w, c = x.shape
    m, s, heads = layer.window, layer.shift, layer.heads
    q, k, v = (t.reshape(b, h, w, heads, c // heads) for t in np.split(dense(x, layer.qkv), 3, -1))
    scale = (layer.scale_dim or c // heads) ** -0.5
    out = np.zeros((b, h, w, heads, c // heads))
    cells = [(i, j) for i in range(h) for j in range(w)]
    for i, j in cells:
        seen = [(r, t) for r, t in cells if (r - s) // m == (i - s) // m and (t - s) // m == (j - s) // m]
        scores = np.stack([np.einsum("bhd,bhd->bh", q[:, i, j], k[:, r, t]) * scale + bias_of(layer, i - r, j - t)
                           for r, t in seen], -1)                                # (b, heads, seen)
        values = np.stack([v[:, r, t] for r, t in seen], 2)                      # (b, heads, seen, d)
        out[:, i, j] = np.einsum("bhs,bhsd->bhd", softmax(scores), values)
    return dense(out.reshape(b, h, w, c), layer.proj)


def as_published(x, layer):
    """Swin's own computation: roll, cut windows, attend with a mask of -100, put back. For whole windows only."""
    b, h, w, c = x.shape
    m, s, heads = layer.window, layer.shift, layer.heads
    d = c // heads
    slices = (slice(0, -m), slice(-m, -s), slice(-s, None)) if s else (slice(None),)
    region = np.zeros((h, w))
    for i, rows in enumerate(slices):
        for j, columns in enumerate(slices):
            region[rows, columns] = 3 * i + j

    def cut(t):                                                                  # (b, windows, m * m, channels)
        t = t.reshape(len(t), h // m, m, w // m, m, -1)
        return np.moveaxis(t, 3, 2).reshape(len(t), -1, m * m, t.shape[-1])

    region = cut(region[None, :, :, None])[0, :, :, 0]
    mask = np.where(region[:, :, None] == region[:, None, :], 0, -100)           # (windows, t, t)
    x = np.roll(x, (-s, -s), (1, 2))
    q, k, v = (np.moveaxis(t.reshape(*t.shape[:3], heads, d), 3, 2) for t in np.split(cut(dense(x, layer.qkv)), 3, -1))
    scores = (q * (layer.scale_dim or d) ** -0.5) @ np.swapaxes(k, -1, -2)
    tokens = [(i, j) for i in range(m) for j in range(m)]
    bias = np.array([[bias_of(layer, a - e, g - f) for e, f in tokens] for a, g in tokens])
    out = softmax(scores + np.moveaxis(bias, -1, 0) + mask[None, :, None]) @ v
    out = np.moveaxis(out, 2, 3).reshape(b, h // m, w // m, m, m, c)
    out = np.moveaxis(out, 3, 2).reshape(b, h, w, c)
    return dense(np.roll(out, (s, s), (1, 2)), layer.proj)


def noise(*shape):
    return np.random.default_rng(1).normal(size=shape)


@pytest.mark.parametrize("shift", [0, 2])
@pytest.mark.parametrize(("h", "w"), [(8, 12), (4, 4), (5, 7), (1, 1), (3, 2), (6, 9), (9, 4)])
def test_attention_on_a_map_of_any_size_is_attention_among_its_own_pixels(h, w, shift):
    layer, x = made(6, 3, 4, shift), noise(2, h, w, 6)
    np.testing.assert_allclose(layer(tf.constant(x)), on_the_map(x, layer), **EXACT)


@pytest.mark.parametrize("shift", [0, 2])
@pytest.mark.parametrize(("h", "w"), [(8, 12), (4, 4), (12, 4)])
def test_attention_on_whole_windows_is_the_published_one(h, w, shift):
    layer, x = made(6, 3, 4, shift), noise(2, h, w, 6)
    np.testing.assert_allclose(layer(tf.constant(x)), as_published(x, layer), **EXACT)


@pytest.mark.parametrize("shift", [0, 2])
def test_what_lies_in_the_padding_changes_nothing(shift):
    """The zeros of the padding have keys and values all the same: the biases of qkv."""
    layer, x = made(4, 2, 4, shift), noise(1, 5, 6, 4)
    layer.qkv.bias.assign(layer.qkv.bias * 1000)
    y = layer(tf.constant(x)).numpy()
    np.testing.assert_allclose(y, on_the_map(x, layer), rtol=1e-10)   # the numbers are a thousand times larger here


def test_attention_of_maps_of_unknown_size_is_the_same():
    for shift in (0, 2):
        layer = made(6, 3, 4, shift)
        unknown = tf.function(layer.__call__, autograph=False,
                              input_signature=[tf.TensorSpec((None, None, None, 6), tf.float64)])
        for h, w in ((8, 4), (5, 7)):
            x = noise(2, h, w, 6)
            np.testing.assert_allclose(unknown(tf.constant(x)), layer(tf.constant(x)), **EXACT)


def test_bias_belongs_to_query_minus_key_rows_first():
    """Attention that only the bias decides: all weight on the key one row above, so the map moves down by a row."""
    layer = made(4, 2, 4, 0)
    layer.qkv.kernel.assign(tf.concat([tf.zeros((4, 8)), tf.eye(4)], -1))
    layer.qkv.bias.assign(tf.zeros(12))
    layer.proj.kernel.assign(tf.eye(4))
    layer.proj.bias.assign(tf.zeros(4))
    x = noise(1, 4, 4, 4)
    for rows, columns in ((1, 0), (0, 1), (-1, 0), (2, -1)):
        table = np.zeros((49, 2))
        table[(rows + 3) * 7 + columns + 3] = 1000
        layer.bias_table.assign(table)
        y = layer(tf.constant(x)).numpy()
        for i in range(4):
            for j in range(4):
                if 0 <= i - rows < 4 and 0 <= j - columns < 4:
                    np.testing.assert_allclose(y[0, i, j], x[0, i - rows, j - columns], **EXACT)


def test_each_head_has_its_own_bias_and_its_own_channels():
    layer, x = made(4, 2, 4, 0), noise(1, 4, 4, 4)
    layer.proj.kernel.assign(tf.eye(4))
    y = layer(tf.constant(x)).numpy()
    layer.bias_table.assign(layer.bias_table + tf.constant(noise(49, 1) * [0, 1], tf.float32))
    changed = np.abs(layer(tf.constant(x)).numpy() - y).max((0, 1, 2)) > 1e-6
    np.testing.assert_array_equal(changed, [False, False, True, True])


def test_scores_are_scaled_by_the_width_of_a_head_or_as_told():
    x = noise(1, 4, 4, 8)
    plain, told = made(8, 4, 4, 0), made(8, 4, 4, 0, scale_dim=32)
    np.testing.assert_allclose(told(tf.constant(x)), on_the_map(x, told), **EXACT)
    told.scale_dim = 2
    np.testing.assert_allclose(told(tf.constant(x)), plain(tf.constant(x)), **EXACT)


def test_channels_that_do_not_divide_into_heads_are_refused():
    with pytest.raises(ValueError, match="5 channels do not divide into 2 heads"):
        WindowAttention(2, 4)(tf.zeros((1, 4, 4, 5)))


def test_gradient_reaches_every_weight():
    layer, x = made(6, 3, 4, 2), tf.constant(noise(1, 5, 7, 6), tf.float32)
    with tf.GradientTape() as tape:
        loss = tf.reduce_sum(layer(x) ** 2)
    assert all(np.any(g != 0) for g in tape.gradient(loss, layer.trainable_weights))
