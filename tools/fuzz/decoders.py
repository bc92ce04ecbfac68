"""What is fuzzed, and the sound files that the mutants are made from.

A decoder has a name: "parse" (the file alone, no model), "lsk2023" or another script (its bundled model),
"lsk2023-tiny" (a small model with random weights), the folder of a model; and "export:" before any model is its
SavedModel.

Gotcha: TensorFlow comes up inside of the functions, in the process that decodes, never in the one that supervises.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from lic import bitstream
from lic.errors import DataError
from tools import random_model

PARSE, EXPORT = "parse", "export:"
SIZES = ((80, 96), (80, 96), (130, 200), (1, 1))  # height, width; two of one size, so that their strings can be swapped
TILE = 128
NOTE = ("NOTE", b"a chunk")


def model_of(name: str) -> str:
    """The model behind a decoder's name."""
    return name[len(EXPORT):] if name.startswith(EXPORT) else name


def prepare(folder: str, models: Sequence[str]) -> None:
    """Makes the files and the SavedModel of each model, in `folder`."""
    for model in models:
        _prepare(Path(folder), model)


def opener(folder: str, name: str):
    """The decoder with this name, warm: it has decoded every sound file."""
    if name == PARSE:
        return _parse
    _alone()
    decode = _exported(_home(folder, model_of(name)) / "export") if name.startswith(EXPORT) else \
        _codec(folder, name).decompress
    for data in originals(folder, model_of(name)):
        decode(data)
    return decode


def originals(folder: str, model: str) -> list[bytes]:
    """The sound files of a model."""
    return [path.read_bytes() for path in sorted(_home(folder, model).glob("*.tfci"))]


def _home(folder: str, model: str) -> Path:
    return Path(folder) / Path(model).name


def _alone() -> None:
    """One thread a decoder, no GPU, no chatter."""
    os.environ.update(TF_NUM_INTRAOP_THREADS="1", TF_NUM_INTEROP_THREADS="1", CUDA_VISIBLE_DEVICES="",
                      TF_CPP_MIN_LOG_LEVEL="3")


def _parse(data: bytes) -> np.ndarray:
    """No picture; what was parsed has to give the same file again."""
    header, records = bitstream.parse(data)
    again = bitstream.build(header.prefix, header.width, header.height, records, header.tile, header.chunks)
    assert again == data or bitstream.parse(again) == (header, records)
    return np.zeros((1, 1, 3), np.uint8)


def _codec(folder: str, model: str, **options):
    import lic
    if not model.endswith("-tiny") or os.path.isdir(model):
        return lic.load(model, **options)
    return lic.load(str(_home(folder, model) / "model"), **options)


def _exported(folder: Path):
    import tensorflow as tf
    import tensorflow_compression  # noqa: F401  registers the operations of range coding

    from lic.codec import first_line
    model = tf.saved_model.load(str(folder))  # the signatures die with it

    def decode(data: bytes) -> np.ndarray:
        try:
            stored = model.signatures["decompress"](file_bytes=tf.constant([data]))["image_bytes"]
        except (tf.errors.InvalidArgumentError, tf.errors.ResourceExhaustedError) as error:
            raise DataError(first_line(error)) from None
        return tf.io.decode_png(stored[0]).numpy()

    return decode


def _prepare(folder: Path, model: str) -> None:
    _alone()
    from lic import export
    home = _home(str(folder), model)
    home.mkdir(parents=True)
    if model.endswith("-tiny") and not os.path.isdir(model):
        random_model.save(model.partition("-")[0], "tiny", str(home / "model"))
    codec = _codec(str(folder), model)
    for number, size in enumerate(SIZES):
        (home / f"{number}.tfci").write_bytes(_with_note(codec.compress(_picture(number, *size), tile=TILE), number))
    export.save(_codec(str(folder), model, stored=False), str(home / "export"))


def _with_note(data: bytes, number: int) -> bytes:
    """The first file gets a metadata chunk."""
    header, records = bitstream.parse(data)
    chunks = [] if number else [NOTE]
    return bitstream.build(header.prefix, header.width, header.height, records, header.tile, chunks)


def _picture(seed: int, height: int, width: int) -> np.ndarray:
    """uint8 (h, w, 3): slopes, an edge and some noise."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:height, :width][..., None]
    smooth = 128 + 60 * np.sin(x * rng.uniform(0.02, 0.2, 3) + y * rng.uniform(0.02, 0.2, 3))
    return np.clip(smooth + 50 * (x > width / 2) + rng.normal(0, 5, smooth.shape), 0, 255).astype(np.uint8)

