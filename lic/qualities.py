"""The quality of a file: which rate it has, of a model for many."""

from __future__ import annotations

import config
from lic import bitstream
from lic.errors import UsageError
from lic.kinds import is_number


def settled(quality: float | None, preset: config.Preset) -> float:
    """The quality that a file will have: the nearest half, a default where none is given, 0 for models of one rate.

    Raises:
      UsageError: it is not within 1..100, or the model has one rate.
    """
    if not preset.lambdas:
        if quality is not None:
            raise UsageError("the model has one rate and takes no quality: give one of many rates")
        return 0
    quality, (least, most) = config.DEFAULT_QUALITY if quality is None else quality, config.QUALITIES
    if not is_number(quality):
        raise UsageError(f"the quality {quality!r} is no number")
    if not least <= quality <= most:
        raise UsageError(f"the quality {quality:g} is not within {least:g}..{most:g}")
    return bitstream.quality_of(bitstream.quality_byte(quality))
