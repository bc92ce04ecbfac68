"""What `info` tells: about a file, a model or a preset. About a file without TensorFlow."""

from __future__ import annotations

import os

import config
from lic import bitstream, files, registry, resources
from lic.cli import starting
from lic.cli.notes import named
from lic.errors import DataError


def of_file(path: str) -> dict:
    """Facts about a .tfci file."""
    data = files.read_bytes(path)
    try:
        header, records = bitstream.parse(data)
    except DataError as error:
        raise DataError(named(path, error)) from None
    script, preset = registry.maker_of(header) or ("unknown", "unknown")
    bundled = resources.find(header.weights_id)
    return {
        "file": path, "script": script, "preset": preset,
        "weights_id": header.weights_id.hex(), "bundled": bundled is not None,
        "arithmetic": header.arithmetic.name.lower(), "quality": header.quality or "none",
        "width": header.width, "height": header.height,
        "bytes": len(data), "bits_per_pixel": round(8 * len(data) / (header.width * header.height), 6),
        "tiles": len(records), "tile": " x ".join(map(str, header.tile[::-1])) if header.tile else "none",
        "string_bytes": [sum(map(len, strings)) for strings in zip(*(r.strings for r in records))],
        "metadata_bytes": {kind.strip().lower(): len(held) for kind, held in header.chunks}}


def of_model(folder: str, runtime: config.Runtime) -> dict:
    """Facts about the model in a folder of any kind, and about its preset."""
    about = _described(folder, runtime)
    return {"folder": os.path.normpath(folder), **about, **of_preset(about["script"], registry.described(about))}


def _described(folder: str, runtime: config.Runtime) -> dict:
    """What the model.json of a folder says, or would say of a training run."""
    starting.tensorflow(runtime)
    from lic import loading, weights
    if os.path.isfile(os.path.join(folder, resources.SAVED_MODEL)):
        return weights.describe(os.path.join(folder, resources.SAVED_EXTRA))
    if os.path.isfile(os.path.join(folder, resources.MODEL)):
        return weights.describe(folder)
    return loading.load(folder, runtime).about


def of_preset(script: str, preset: config.Preset) -> dict:
    """Facts about an architecture."""
    starting.tensorflow(config.Runtime())
    from lic import complexity
    model = registry.build(script, preset)
    networks, prior = complexity.parameters(model)
    return {"script": script, "preset": preset.name, "parameters": networks, "parameters_of_the_prior": prior,
            "kmacs_per_pixel": complexity.kmacs_per_pixel(model), "architecture": config.as_dict(preset)}


def lines(facts: dict) -> list[str]:
    """A line for each fact, for people to read."""
    width = max(map(len, facts))
    return [f"{name.replace('_', ' '):{width}}  {files.shown(_readable(value))}" for name, value in facts.items()]


def _readable(value) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{name} {_readable(v)}" for name, v in value.items()) or "none"
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:,}" if isinstance(value, int) and value > 99999 else str(value)
