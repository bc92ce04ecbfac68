"""TensorFlow and the model of a command, which come up quietly, with the first command that needs them."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import config
from lic import environment, resources

if TYPE_CHECKING:
    from lic.codec import Codec


def tensorflow(runtime: config.Runtime) -> None:
    """Imports TensorFlow quietly and sets its switches."""
    with environment.importing():
        import absl.logging
        import tensorflow as tf

        from lic import loading
    tf.get_logger().setLevel("ERROR")
    absl.logging.set_verbosity(absl.logging.ERROR)
    loading.apply(runtime)


def codec(folder: str, runtime: config.Runtime, stored: bool = True) -> Codec:
    """The codec of a model's folder, as `lic.loading.load`."""
    tensorflow(runtime)
    from lic import loading
    return loading.load(folder, runtime, stored)


def model_folder(script: str, path: str | None) -> str:
    """The folder of the model to use: the one at `path`, which may have the name of a script, or the bundled one."""
    return resources.locate(os.path.join(".", path) if path else script)
