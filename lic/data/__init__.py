"""Training patches from a folder of pictures or from TFDS, as a function of the seed and the step alone.

The n-th patch of a run is the same however often the run was interrupted, so that `train` goes on exactly where it was.
"""

from __future__ import annotations

import tensorflow as tf

from lic.data.batches import WHOLE, Share, Source
from lic.data.folders import find, from_files
from lic.data.tfds import from_tfds

__all__ = ["WHOLE", "Share", "Source", "find", "from_files", "from_tfds", "open_source", "patches"]


def open_source(settings) -> Source:
    """The training data that the settings (`config.Training`) ask for."""
    return from_files(settings) if settings.train_glob else from_tfds(settings)


def patches(settings, start_step: int = 0) -> tf.data.Dataset:
    """Batches (b, p, p, 3) uint8 of the same from a step on, without end."""
    return open_source(settings).batches(start_step)
