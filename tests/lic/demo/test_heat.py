"""The map of bits as a picture."""

from __future__ import annotations

import numpy as np
import pytest

from lic.demo import heat


@pytest.fixture
def bits():
    """Few everywhere, many at row 6, column 9, and a little fewer beside it."""
    bits = np.ones((12, 20), np.float32)
    bits[5:8, 8:11] = 50
    bits[6, 9] = 60
    return bits


def test_each_position_is_a_square_that_is_the_brighter_the_more_bits_it_has(bits):
    shown = heat.picture(np.arange(12.0).reshape(3, 4), 48, 64).astype(int)
    assert shown.shape == (48, 64, 3)
    squares = shown.reshape(3, 16, 4, 16, 3)
    assert np.all(squares == squares[:, :1, :, :1]), "no colour between those of two positions"
    assert np.all(np.diff(squares[:, 0, :, 0].sum(-1).ravel())[:-1] > 0)


def test_map_of_a_picture_of_any_size_has_its_size():
    assert heat.picture(np.ones((2, 3), np.float32), 17, 40).shape == (17, 40, 3)
    assert heat.picture(np.zeros((1, 1), np.float32), 1, 1).shape == (1, 1, 3), "no bits at all are no trouble"


def test_middle_of_the_square_with_the_most_bits_is_found(bits):
    assert heat.hottest(bits, 48) == (9 * 16 + 8, 6 * 16 + 8)


def test_gradient_runs_from_dark_to_bright():
    words = heat.gradient(3)
    assert words.startswith("linear-gradient(to right, rgb(0, 0, 3), ") and words.count("rgb(") == 3
