"""Our models as settings: one of variable rate is a curve, those of one rate and one preset are a curve together."""

from __future__ import annotations

import functools
from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from lic.errors import UsageError
from lic.evaluation.setting import Setting

if TYPE_CHECKING:
    from lic.codec import Codec

QUALITIES = (10.0, 30.0, 50.0, 70.0, 90.0)   # of a model of variable rate, which has all of 1..100


def settings(codecs: Sequence[Codec], qualities: Sequence[float] | None, effort: int = 0) -> list[Setting]:
    """Each model at each of its rates.

    Args:
      qualities: of the models of variable rate, 1..100; None for QUALITIES.
      effort: steps of refinement of each file.
    Raises:
      UsageError: a model is there twice, no model takes the qualities, or one can't make the effort.
    """
    _refuse_twins(codecs)
    for codec in codecs:
        codec.check_effort(effort)
    if qualities and not any(codec.variable for codec in codecs):
        raise UsageError("the model has one rate: leave --quality out, or give a model of variable rate")
    names = _names(codecs, effort)
    return [setting for codec, name in zip(codecs, names)
            for setting in _of(codec, name, qualities or QUALITIES, effort)]


def about(codecs: Sequence[Codec], effort: int = 0) -> list[dict]:
    """What each model is."""
    return [{"curve": name, "script": c.about["script"], "preset": c.about["preset"], "weights_id": c.weights_id,
             "variable_rate": c.variable, "effort": effort} for c, name in zip(codecs, _names(codecs, effort))]


def warm_up(codecs: Sequence[Codec]) -> None:
    """Has TensorFlow trace each model's functions, which would count as the first picture's seconds."""
    for codec in codecs:
        codec.decompress(codec.compress_pixels(np.full((64, 64, 3), 127, np.uint8)))


def _of(codec: Codec, name: str, qualities: Sequence[float], effort: int) -> list[Setting]:
    if not codec.variable:
        return [Setting(name, codec.weights_id, None, codec.compress_pixels, codec.decompress)]
    encoders = ((q, functools.partial(codec.compress_pixels, quality=q, effort=effort)) for q in sorted(set(qualities)))
    return [Setting(name, codec.weights_id, q, encode, codec.decompress) for q, encode in encoders]


def _refuse_twins(codecs: Sequence[Codec]) -> None:
    for weights_id, count in Counter(c.weights_id for c in codecs).items():
        if count > 1:
            raise UsageError(f"model {weights_id} is given {count} times: give each once")


def _names(codecs: Sequence[Codec], effort: int) -> list[str]:
    """The name of each codec's curve: script and preset, and the weights id where that would mean several curves."""
    made = f", effort {effort}" if effort else ""
    presets = [f"{c.about['script']} {c.about['preset']}{made}" for c in codecs]
    curves = {(name, c.weights_id if c.variable else "") for name, c in zip(presets, codecs)}
    several = {name for name, count in Counter(name for name, _ in curves).items() if count > 1}
    return [f"{name} {c.weights_id if c.variable else 'of fixed rates'}" if name in several else name
            for name, c in zip(presets, codecs)]
