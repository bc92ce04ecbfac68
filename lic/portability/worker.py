"""What runs under a configuration: pictures to files, files to pixels. The folder is described in `crew`.

Gotchas: a file is checked against its codec before it is decoded, so that what is refused afterwards is refused for its
symbols or strings.
"""

from __future__ import annotations

import dataclasses
import hashlib
import io
import os
from collections.abc import Callable, Iterator, Sequence
from typing import Any, TypeVar

import numpy as np

import lic
from lic import bitstream, files
from lic.codec import Codec
from lic.errors import DataError
from lic.portability.configurations import Configuration

BATCH = 3    # pictures at once in a configuration of kind "batch"
Item = TypeVar("Item")


@dataclasses.dataclass(frozen=True)
class Case:
    """A model and an arithmetic under the configuration of this process.

    Attributes:
      folder: FOLDER, see `crew`.
      model: what the report calls it; name: what `lic.load` takes for it.
    """

    configuration: Configuration
    folder: str
    model: str
    name: str
    arithmetic: str

    def path(self, kind: str, name: str = "") -> str:
        """A path under FOLDER/MODEL/ARITHMETIC/KIND, which is made."""
        folder = os.path.join(self.folder, self.model, self.arithmetic, kind)
        os.makedirs(folder, exist_ok=True)
        return os.path.join(folder, name)

    @property
    def switches(self) -> dict[str, Any]:
        """Fields of `config.Runtime`."""
        return {"arithmetic": self.arithmetic, **self.configuration.switches}

    def codec(self) -> Codec:
        """The codec; a SavedModel is exported by the process that comes first."""
        if self.configuration.kind != "saved":
            return lic.load(self.name, stored=self.configuration.kind == "stored", **self.switches)
        folder = self.path("exported", self.configuration.name)
        if not os.path.isdir(folder):
            from lic import export
            export.save(lic.load(self.name, stored=False, **self.switches), folder)
        return lic.load(folder, stored=False, **self.switches)


def each_case(job: dict, work: Callable[[Case, dict], Any]) -> dict[str, dict[str, Any]]:
    """{model: {arithmetic: what `work` answers}}."""
    configuration = Configuration(**job["configuration"])
    return {model: {a: work(Case(configuration, job["folder"], model, name, a), job) for a in job["arithmetics"]}
            for model, name in job["models"].items()}


def pixels_of(job: dict, key: str) -> np.ndarray:
    """A picture, uint8 (h, w, 3)."""
    return np.load(os.path.join(job["folder"], "pictures", f"{key}.npy"))


def step() -> None:
    """Moves the bar."""
    print(".", end="", flush=True)


# Encoding ------------------------------------------------------------------------------------------------------------

def encode(job: dict) -> dict:
    """{model: {arithmetic: {picture: name of its file}}}."""
    return each_case(job, _encode)


def _encode(case: Case, job: dict) -> dict[str, str]:
    codec, names = case.codec(), {}
    for keys in _batches(case, {key: pixels_of(job, key).shape for key in job["pictures"]}):
        pixels = [pixels_of(job, key) for key in keys]
        for key, data in zip(keys, _compress(case, codec, pixels)):
            names[key] = hashlib.sha256(data).hexdigest()
            _keep(case, codec, names[key], data)
            step()
    return names


def _keep(case: Case, codec: Codec, name: str, data: bytes) -> None:
    """Stores a file, and pixels to compare with where nobody did before."""
    files.write_atomically(case.path("files", f"{name}.tfci"), data)
    reference = case.path("pixels", f"{name}.npy")
    if not os.path.exists(reference):
        restored, = _decompress(case, codec, [data])
        if isinstance(restored, np.ndarray):
            files.write_atomically(reference, _npy(restored))


def _npy(array: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, array)
    return buffer.getvalue()


# Decoding ------------------------------------------------------------------------------------------------------------

def decode(job: dict) -> dict:
    """{model: {arithmetic: {name of a file: why it is refused or "", whether for its symbols}}}."""
    return each_case(job, _decode)


def _decode(case: Case, job: dict) -> dict[str, dict]:
    codec, verdicts = case.codec(), {}
    stored = {name: files.read_bytes(case.path("files", name)) for name in sorted(os.listdir(case.path("files")))}
    for names in _batches(case, {name: _size(data) for name, data in stored.items()}):
        for name, restored in zip(names, _decompress(case, codec, [stored[name] for name in names])):
            sha = os.path.splitext(name)[0]
            verdicts[sha] = _verdict(codec, stored[name], restored)
            _keep_difference(case, sha, restored)
            step()
    return verdicts


def _size(data: bytes) -> tuple[int, int]:
    header, _ = bitstream.parse(data)
    return header.height, header.width


def _verdict(codec: Codec, data: bytes, restored: np.ndarray | DataError) -> dict:
    if isinstance(restored, np.ndarray):
        return {"refused": "", "symbols": False}
    try:
        codec.check(bitstream.parse(data)[0])
    except DataError as error:
        return {"refused": str(error), "symbols": False}
    return {"refused": str(restored), "symbols": True}


def _keep_difference(case: Case, name: str, restored: np.ndarray | DataError) -> None:
    """The difference is nearly all zeros, so its file is small."""
    reference = case.path("pixels", f"{name}.npy")
    if isinstance(restored, np.ndarray) and os.path.exists(reference):
        difference = restored.astype(np.int16) - np.load(reference)
        np.savez_compressed(case.path(case.configuration.name, f"{name}.npz"), difference=difference)


# By ones or in batches -----------------------------------------------------------------------------------------------

def _batches(case: Case, sizes: dict[str, tuple]) -> Iterator[list[str]]:
    """Keys of things of one size, so many at once as the configuration takes."""
    count = BATCH if case.configuration.kind == "batch" else 1
    for size in sorted(set(sizes.values())):
        keys = [key for key in sizes if sizes[key] == size]
        yield from (keys[i:i + count] for i in range(0, len(keys), count))


def _full(items: Sequence[Item]) -> list[Item]:
    """A whole batch: things are repeated where there are too few."""
    return (list(items) * BATCH)[:BATCH]


def _compress(case: Case, codec: Codec, pixels: list[np.ndarray]) -> list[bytes]:
    if case.configuration.kind == "batch":
        return codec.compress_batch(_full(pixels))[:len(pixels)]
    return [codec.compress_pixels(x, tile=0) for x in pixels]   # else free memory would decide on tiles


def _decompress(case: Case, codec: Codec, datas: list[bytes]) -> Sequence[np.ndarray | DataError]:
    """Pixels or why not; a batch that is refused is tried file by file, each as a batch of itself."""
    try:
        if case.configuration.kind == "batch":
            return codec.decompress_batch(_full(datas))[:len(datas)]
        return [codec.decompress(data) for data in datas]
    except DataError as error:
        return [error] if len(datas) == 1 else [_decompress(case, codec, [data])[0] for data in datas]
