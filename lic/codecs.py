"""The codecs of files and of names: which model made a file, loaded once, the last few of them kept.

TensorFlow comes up with the first codec, not before.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import TYPE_CHECKING

from lic import bitstream, switches
from lic.errors import DataError

if TYPE_CHECKING:
    from lic.codec import Codec

DEFAULT = "hypmqw2022"   # the bundled model for every rate
HELD = 4   # of the models used last; each has some tens of megabytes of weights and traces


class Codecs:
    """Codecs of the bundled models, and of some others.

    Args:
      folders: of the others.
      advice: what to do about a file that none of them made.
    """

    def __init__(self, folders: Sequence[str] = (), advice: str = "give its folder"):
        self._folders, self._advice = tuple(map(str, folders)), advice
        self._load = functools.lru_cache(HELD)(_load)

    def named(self, name: str, arithmetic: bitstream.Arithmetic = bitstream.Arithmetic.PORTABLE) -> Codec:
        """The codec of a bundled model or of a folder. Raises DataError where there is none."""
        from lic import resources
        return self._load(resources.locate(name), arithmetic)

    def that_made(self, header: bitstream.Header) -> Codec:
        """The codec that a file needs, with the arithmetic that it needs. Raises DataError where it is not known."""
        from lic import resources
        bundled = resources.find(header.weights_id)
        for folder in [bundled] if bundled else self._folders:
            codec = self.named(folder, header.arithmetic)
            if codec.weights_id == header.weights_id.hex():
                return codec
        raise not_bundled(header, self._advice)


def not_bundled(header: bitstream.Header, advice: str) -> DataError:
    """What to raise where the model that made a file is not at hand, with what to do about it."""
    from lic import registry
    return DataError(f"the file was made by model {header.weights_id.hex()} of {registry.maker_in_words(header)}, "
                     f"which is not bundled: {advice}")


def _load(folder: str, arithmetic: bitstream.Arithmetic) -> Codec:
    import config
    from lic import loading
    return loading.load(folder, config.Runtime(**switches.switches_of(arithmetic)))
