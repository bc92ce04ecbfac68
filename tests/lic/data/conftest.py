"""Training settings of a folder of pictures, and pictures that say of each pixel where it was."""

from __future__ import annotations

import dataclasses
import itertools

import numpy as np
import pytest
from PIL import Image

from config import Training
from lic import data


def _settings(folder, **kwargs) -> Training:
    return dataclasses.replace(Training(), **{
        "train_glob": f"{folder}/**/*", "patchsize": 32, "batchsize": 3, "preprocess_threads": 2, **kwargs})


def _take(count, made_of, start_step=0) -> np.ndarray:
    return np.stack(list(itertools.islice(data.patches(made_of, start_step).as_numpy_iterator(), count)))


def _coordinates(height, width, number) -> np.ndarray:
    rows, columns = np.mgrid[:height, :width]
    return np.stack([rows, columns, np.full((height, width), number)], -1).astype(np.uint8)


@pytest.fixture(scope="session")
def settings():
    """settings(folder, **fields): of patches of 32 x 32 out of a folder."""
    return _settings


@pytest.fixture(scope="session")
def take():
    """take(count, settings, start_step): so many batches."""
    return _take


@pytest.fixture(scope="session")
def coordinates():
    """coordinates(height, width, number): a picture of (row, column, which picture)."""
    return _coordinates


@pytest.fixture
def folder(tmp_path):
    """Seven pictures (PNG: nothing is lost) of different sizes, some in a folder below."""
    (tmp_path / "below").mkdir()
    for n in range(7):
        where = tmp_path / ("below" if n % 2 else ".") / f"{n}.png"
        Image.fromarray(_coordinates(32 + 9 * n, 100 - 8 * n, n)).save(where)
    return tmp_path
