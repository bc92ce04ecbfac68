"""Tiles and windows: every pixel once, on the grid of attention windows, with a margin where there is room."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from lic import tiling
from lic.errors import UsageError
from lic.tiling import ALIGN, MARGIN, Box, Tiling, tile_of

PICTURES = [(1, 1, None), (100, 700, None), (100, 700, (128, 256)), (513, 257, (256, 128)), (640, 640, (320, 192))]


@pytest.mark.parametrize(("height", "width", "tile"), PICTURES)
def test_tiles_cover_every_pixel_once(height, width, tile):
    seen = np.zeros((height, width), int)
    for box in Tiling(height, width, tile):
        seen[box.slices] += 1
    assert (seen == 1).all()


@pytest.mark.parametrize(("height", "width", "tile"), PICTURES)
def test_window_is_the_tile_with_its_margin_as_far_as_the_picture_goes(height, width, tile):
    tiles = Tiling(height, width, tile)
    for box in tiles:
        window = tiles.window(box)
        assert window.meet(box) == box and tiles.picture.meet(window) == window
        assert window.top % ALIGN == window.left % ALIGN == 0
        assert window.top == 0 or box.top - window.top >= MARGIN
        assert window.left == 0 or box.left - window.left >= MARGIN
        assert window.bottom == height or window.bottom - box.bottom >= MARGIN
        assert window.right == width or window.right - box.right >= MARGIN


def test_window_of_a_picture_in_one_piece_is_the_picture():
    tiles = Tiling(333, 444, None)
    assert [tiles.window(box) for box in tiles] == [tiles.picture] == [Box(0, 0, 333, 444)]


def test_touching_finds_the_tiles_that_share_a_pixel_with_a_box():
    tiles = Tiling(500, 700, (128, 256))
    rng = np.random.default_rng(0)
    for _ in range(200):
        top, left = int(rng.integers(500)), int(rng.integers(700))
        box = Box(top, left, int(rng.integers(1, 501 - top)), int(rng.integers(1, 701 - left)))
        assert tiles.touching(box) == [n for n in range(len(tiles)) if tiles[n].meet(box)]


def test_boxes_meet_and_are_counted_from_another():
    a, b = Box(10, 20, 30, 40), Box(25, 0, 100, 25)
    assert a.meet(b) == b.meet(a) == Box(25, 20, 15, 5)
    assert a.meet(b).within(a) == Box(15, 0, 15, 5)
    assert a.meet(Box(40, 20, 5, 5)) is None and a.meet(Box(10, 60, 5, 5)) is None


def test_tiles_are_even_in_size_on_the_grid_and_no_larger_than_asked():
    for height, width, side in itertools.product((1, 127, 900, 1025, 4000), (1, 640, 6000), (128, 640, 1024)):
        tile = tile_of(height, width, side)
        for length, got in zip((height, width), tile):
            assert got % ALIGN == 0 and 0 < got <= side
            count = -(-length // side)
            assert -(-length // got) <= count and (count == 1 or got - -(-length // count) < ALIGN)
    assert tile_of(1536, 2048, 1920) == (1536, 1024), "two halves, not 1920 and a rest of 128"


def test_tiles_in_a_graph_are_those_of_python():
    import tensorflow as tf

    from lic import file_graph
    choose = tf.function(lambda height, width: tf.stack(tile_of(height, width, 384)),
                         input_signature=[tf.TensorSpec((), tf.int32)] * 2)
    place = tf.function(file_graph._box_and_window, input_signature=[
        tf.TensorSpec((), tf.int32), tf.TensorSpec((2,), tf.int32), tf.TensorSpec((2,), tf.int32),
        tf.TensorSpec((), tf.int32)])
    for size in ((1, 1), (300, 1000), (1025, 500)):
        tile = tile_of(*size, 384)
        assert tuple(choose(*size).numpy()) == tile
        tiles = Tiling(*size, tile)
        for number, box in enumerate(tiles):
            found = place(number, size, tile, tiles.columns)
            assert (tuple(found[0].numpy()), tuple(found[1].numpy())) == (box, tiles.window(box))


@pytest.mark.parametrize("side", [-128, 1, 100, 129])
def test_side_off_the_grid_is_refused_with_the_grid(side):
    with pytest.raises(UsageError, match=f"multiple of {ALIGN} pixels, or 0"):
        tiling.check_side(side)


def test_sides_on_the_grid_and_none_at_all_are_taken():
    for side in (0, 128, 1920):
        tiling.check_side(side)
