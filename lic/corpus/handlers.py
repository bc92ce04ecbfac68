"""How RunInference compresses and decompresses: a handler for each, whose model is a codec or several.

A batch holds inputs of about one size; those that can are coded side by side. What fails in company is tried alone, so
that a bad one takes no other with it: a handler returns an outcome for each input, a `Made` or a `Failed`.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Hashable, Sequence
from typing import Any, Callable, NamedTuple, Union

import numpy as np
from apache_beam.ml.inference.base import ModelHandler

from lic import bitstream, codecs, environment, images
from lic.errors import DataError, UserError


class Made(NamedTuple):
    """The bytes of an output, and what there is to say of it."""

    data: bytes
    facts: dict[str, Any]


class Failed(NamedTuple):
    """Why there is none."""

    reason: str


Outcome = Union[Made, Failed]


class Compressor(ModelHandler):
    """uint8 (h, w, 3) -> the bytes of a file.

    Args:
      model: as of `lic.load`.
      quality: of a model for many rates.
      measure: also decode each file, and add its PSNR in dB to the facts.
    """

    def __init__(self, model: str, quality: float | None = None, measure: bool = False):
        super().__init__()
        self._model, self._quality, self._measure = model, quality, measure

    def load_model(self):
        environment.prepare()
        return codecs.Codecs().named(self._model)

    def run_inference(self, batch: Sequence[np.ndarray], model, inference_args=None) -> list[Outcome]:
        return in_company(batch, lambda pixels: pixels.shape, lambda group: self._compress(group, model))

    def _compress(self, pictures: Sequence[np.ndarray], codec) -> list[Outcome]:
        most = max(codec.at_once(*pictures[0].shape[:2]), 1)
        groups = (pictures[start:start + most] for start in range(0, len(pictures), most))
        data = [one for group in groups for one in self._side_by_side(group, codec)]
        return [Made(one, self._facts(pixels, one, codec)) for pixels, one in zip(pictures, data)]

    def _side_by_side(self, pictures: Sequence[np.ndarray], codec) -> list[bytes]:
        if len(pictures) == 1:   # also one that has to be cut into tiles
            return [codec.compress_pixels(pictures[0], quality=self._quality)]
        return codec.compress_batch(pictures, self._quality)

    def _facts(self, pixels: np.ndarray, data: bytes, codec) -> dict[str, Any]:
        from lic import metrics
        height, width = pixels.shape[:2]
        measured = {"psnr": round(metrics.psnr(pixels, codec.decompress(data)), 4)} if self._measure else {}
        return {"width": width, "height": height, "bpp": round(metrics.bits_per_pixel(len(data), height, width), 6),
                **measured}

    def get_num_bytes(self, batch: Sequence[np.ndarray]) -> int:
        return sum(pixels.nbytes for pixels in batch)   # Beam would pickle them to see


class Decompressor(ModelHandler):
    """The bytes of a file -> the bytes of a PNG picture.

    Args:
      model: as of `lic.load`, for files that no bundled model made.
    """

    def __init__(self, model: str = ""):
        super().__init__()
        self._model = model

    def load_model(self):
        environment.prepare()
        return codecs.Codecs([self._model] if self._model else [], "give its folder with --model")

    def run_inference(self, batch: Sequence[bytes], model, inference_args=None) -> list[Outcome]:
        return in_company(batch, _kind_of_file, lambda group: _decompress(group, model))

    def get_num_bytes(self, batch: Sequence[bytes]) -> int:
        return sum(map(len, batch))


def _decompress(batch: Sequence[bytes], known: codecs.Codecs) -> list[Outcome]:
    headers = [bitstream.parse(data)[0] for data in batch]
    codec = known.that_made(headers[0])
    if 1 < len(batch) <= codec.at_once(headers[0].height, headers[0].width):
        pictures = codec.decompress_batch(batch)
    else:
        pictures = [codec.decompress(data) for data in batch]
    return [Made(images.encode_png(pixels), {"width": pixels.shape[1], "height": pixels.shape[0]})
            for pixels in pictures]


def _kind_of_file(data: bytes) -> Hashable:
    """Files of one kind can be decoded side by side."""
    try:
        header = bitstream.head(data)
        return dataclasses.replace(header, quality=0).prefix, header.width, header.height, header.tile
    except DataError:
        return None


def in_company(batch: Sequence[Any], kind: Callable[[Any], Hashable], work: Callable[[list], list[Outcome]]
               ) -> list[Outcome]:
    """The outcome of each input: `work` is given all of a kind, and where it raises, one after another."""
    outcomes: dict[int, Outcome] = {}
    kinds = [kind(one) for one in batch]
    for each in dict.fromkeys(kinds):
        numbers = [number for number, of in enumerate(kinds) if of == each]
        outcomes.update(zip(numbers, _tried([batch[number] for number in numbers], work)))
    return [outcomes[number] for number in range(len(batch))]


def _tried(inputs: list, work: Callable[[list], list[Outcome]]) -> list[Outcome]:
    try:
        return work(inputs)
    except UserError as error:
        if len(inputs) == 1:
            return [Failed(str(error))]
    return [outcome for one in inputs for outcome in _tried([one], work)]
