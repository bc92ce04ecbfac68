"""What has to be set before TensorFlow is imported. What a user has set in the environment stays."""

from __future__ import annotations

import contextlib
import gc
import os
import platform
import sys
from collections.abc import Iterator


@contextlib.contextmanager
def importing() -> Iterator[None]:
    """What is imported in here stays until the end, and Python never looks for garbage among it.

    To do so while TensorFlow is imported takes 0.4 s, a fifth of the time. Where it is there already nothing changes:
    the garbage of what was done since would stay, too.
    """
    if "tensorflow" in sys.modules:
        yield
        return
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        gc.enable()


def prepare() -> None:
    """Has TensorFlow log errors only, and use oneDNN.

    By itself it uses oneDNN only on processors with AVX512 and more; with AVX2 alone the bundled models are 1.0 to 1.4
    times as fast with it.
    """
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    if platform.machine().lower() in ("x86_64", "amd64"):
        os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")
