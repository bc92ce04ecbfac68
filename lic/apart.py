"""The functions of a model that stand apart from `lic.file_graph`: a SavedModel would only become larger by them."""

from __future__ import annotations

from typing import Callable

from lic import bits_map, slope
from lic.model import LatentCodec


def traced(model: LatentCodec) -> dict[str, Callable]:
    """"bits" (`lic.bits_map`) and, of a model with many rates, "slope" (`lic.slope`)."""
    functions = {"bits": bits_map.traced(model)}
    return {**functions, "slope": slope.traced(model)} if model.gains else functions
