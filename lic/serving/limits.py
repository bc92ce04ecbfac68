"""How large a request may be: its bytes, its batch, and the pixels that its pictures or files have.

A few hundred bytes can claim a picture of gigabytes; what they claim is read before anything is decoded.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Callable, NamedTuple

import numpy as np

from lic import bitstream, images
from lic.errors import DataError
from lic.serving.refusals import Code, Refusal

MAX_BATCH = 1024   # strings a tensor
_KINDS = ("JPEG", "PNG", "BMP", "GIF")   # what the graph decodes


class Limits(NamedTuple):
    """The bytes of a request, and the pixels of all its pictures together."""

    request_bytes: int
    pixels: int

    def require_elements(self, name: str, count: int, itemsize: int | None) -> None:
        """Raises a Refusal where a tensor would have more elements than a request holds; strings have no item size."""
        if count > (MAX_BATCH if itemsize is None else self.request_bytes // itemsize):
            raise Refusal(Code.INVALID_ARGUMENT, f"input '{name}' claims {count} elements: send fewer in a request")

    def check(self, inputs: Mapping[str, np.ndarray]) -> None:
        """Raises a Refusal where pictures or files are none, or together have too many pixels."""
        total = 0
        for name, sizes_of in _SIZES.items():
            for place, data in enumerate(_strings(inputs.get(name)), 1):
                try:
                    height, width = sizes_of(data)
                except DataError as error:
                    raise Refusal(Code.INVALID_ARGUMENT, f"{name}, number {place}: {error}") from None
                total += width * height
        if total > self.pixels:
            raise Refusal(Code.INVALID_ARGUMENT, f"the request has {total} pixels, and {self.pixels} are allowed: send "
                                                 "smaller pictures, or fewer in a request")


def _strings(values: np.ndarray | None) -> Iterable[bytes]:
    return () if values is None or values.dtype != object else values.ravel()


def _size_of_picture(data: bytes) -> tuple[int, int]:
    size = images.size_told_by(data, _KINDS)
    if size is None:
        raise DataError(f"this is no picture that is read here: send {', '.join(_KINDS)}")
    return size


def _size_of_file(data: bytes) -> tuple[int, int]:
    header, _ = bitstream.parse(data)
    return header.height, header.width


# Of the signatures that `export` writes. Other models may have such inputs too: they'd be pictures and files as well.
_SIZES: Mapping[str, Callable[[bytes], tuple[int, int]]] = MappingProxyType(
    {"image_bytes": _size_of_picture, "file_bytes": _size_of_file})
