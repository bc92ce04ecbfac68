"""What no paper should have to know: the slice loops, coding, files, pictures, training, measuring, the command line.

    import lic
    codec = lic.load("lsk2023")                    # a bundled model, or the folder of one
    data = codec.compress(PIL.Image.open("picture.png"))
    pixels = codec.decompress(data)                # uint8 (h, w, 3)
    PIL.Image.open("picture.tfci").save("picture.png")   # Pillow knows the format from here on
"""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

from lic.errors import DataError, UsageError, UserError

with contextlib.suppress(ImportError):   # `pjrt_train.pyz` is without it, and may be without Pillow
    from lic import pillow_plugin
    pillow_plugin.register()

if TYPE_CHECKING:
    from lic.codec import Codec

__all__ = ["DataError", "UsageError", "UserError", "load"]


def load(name: str, *, stored: bool = True, **switches) -> Codec:
    """A codec that compresses pictures to bytes and back.

    Args:
      name: "lsk2023", "zyc2022" or "hypmqw2022" for the bundled model, or the folder of a trained or exported one.
      stored: whether graphs that stand beside the weights will do, which is quick; False builds the model, as exports
        need it.
      switches: fields of `config.Runtime`, e.g. arithmetic="float32", precision="bfloat16".
    Raises:
      DataError: there is no such model.
      UsageError: there is no such switch, it comes too late, or a SavedModel was made with another.
    """
    import config
    from lic import loading
    return loading.load(str(name), config.Runtime(**switches), stored)
