"""The map of a picture's bits: it adds up to the file, and its numbers stand where the bits go."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

import lic
from lic import context, memory
from lic.tiling import ALIGN


@pytest.fixture(scope="module")
def x(picture):
    return picture(128, 256, seed=3)[0].astype(np.uint8)


def test_map_adds_up_to_the_file(codecs, x):
    bits = codecs["hypmqw2022"].bits_map(x)
    assert bits.shape == (8, 16) and bits.dtype == np.float32 and np.all(bits > 0)
    assert 8 * len(codecs["hypmqw2022"].compress(x)) == pytest.approx(bits.sum(), rel=0.03, abs=8 * 60)


def test_bits_for_each_position_are_the_bits_of_the_picture(tiny, x):
    pictures = tf.constant(np.stack([x, x[::-1]]), tf.float32)
    whole, maps = (tiny.estimate(pictures, per_position=each) for each in (False, True))
    for of_picture, of_position in ((whole.bits_y, maps.bits_y), (whole.bits_z, maps.bits_z)):
        np.testing.assert_allclose(np.sum(of_position, (1, 2)), of_picture, rtol=1e-4)
    assert maps.bits_y.shape == (2, 8, 16) and maps.bits_z.shape == (2, 2, 4)


@pytest.mark.parametrize("make", [
    lambda: context.Context((2, 3), "index"),
    lambda: context.SpaceChannelContext((2, 3), "index", spatial=[], channel=[], parameters=[], anchors="even"),
    lambda: context.SpaceChannelContext((2, 3), "index", spatial=[], channel=[], parameters=[], anchors="odd"),
], ids=["slices", "even anchors", "odd anchors"])
def test_each_number_stands_at_its_position(make):
    y = tf.random.stateless_uniform((2, 4, 6, 5), (1, 2))
    found = make().joined([tf.reduce_sum(part, -1) for part in make().parts(y)])
    np.testing.assert_allclose(found, tf.reduce_sum(y, -1), rtol=1e-6)


def test_detail_takes_its_bits_where_it_is(codecs):
    plain = np.full((128, 512, 3), 90, np.uint8)
    spotted = plain.copy()
    spotted[:, -64:] = np.random.default_rng(0).integers(0, 255, (128, 64, 3))
    change = np.abs(codecs["zyc2022"].bits_map(spotted) - codecs["zyc2022"].bits_map(plain)).sum(0)
    assert change[-4:].sum() > 0.7 * change.sum() and change[:16].max() < 1e-3


def test_large_picture_has_a_map_of_all_its_tiles(codecs, picture, monkeypatch):
    wide = picture(310, 4 * ALIGN - 20)[0].astype(np.uint8)
    monkeypatch.setattr(memory, "tile_side", lambda *_: ALIGN)
    bits = codecs["hypmqw2022"].bits_map(wide)
    assert bits.shape == (20, 31) and np.all(bits > 0)
    for rows, columns in ((slice(0, 8), slice(0, 8)), (slice(16, 20), slice(24, 31))):
        tile = wide[16 * rows.start:16 * rows.stop, 16 * columns.start:16 * columns.stop]
        np.testing.assert_array_equal(bits[rows, columns], codecs["hypmqw2022"].bits_map(tile))


def test_model_of_many_rates_has_a_map_of_each_quality(saved_many, x):
    coder = lic.load(str(saved_many))
    poor, rich = (coder.bits_map(x, quality).sum() for quality in (10, 90))
    assert rich > 1.5 * poor
    np.testing.assert_array_equal(coder.bits_map(x), coder.bits_map(x, 50))
