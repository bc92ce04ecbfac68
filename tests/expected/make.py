"""Makes the expected outputs from those of the PyTorch implementations: python -m tests.expected.make GOLDEN_FOLDER

The folder holds for each model `<model>.recipe.json`, how weights and input are made, and `<model>.npz`, its outputs
(NCHW: x, y, z, mu, sigma, ...). Nothing else runs this: what it writes changes only where the reference changes.
"""

from __future__ import annotations

import gzip
import json
import sys
from pathlib import Path

import numpy as np

from tests import golden


def compact(recipe: dict) -> dict:
    """A recipe without what the names or the other fields already say."""
    rules = [[r["key"], r["shape"], r["base"], r["lo"], r["hi"], r["post"]] for r in recipe["params"]]
    return {"f16": recipe.get("f16", False), "input": recipe["input"], "weights": rules}


def _hyper(arrays) -> np.ndarray:
    """Means before scales, except ELIC's, which are no means and scales yet."""
    if "latent_means" in arrays:
        return np.concatenate([arrays["latent_means"], arrays["latent_scales"]], 1)
    if "hyper_params_scales_then_means" in arrays:
        return np.concatenate(np.split(arrays["hyper_params_scales_then_means"], 2, 1)[::-1], 1)
    return arrays["hyper_params"]


def excerpt(arrays) -> dict[str, np.ndarray]:
    """What is kept of a model's outputs: symbols and bits in full, of the rest a sample and a summary."""
    kept = {name: arrays[name] for name in ("bits_y", "bits_z", "margin_y", "margin_z")}
    for name in ("y_symbols", "z_symbols"):
        assert np.abs(arrays[name]).max() < 128
        kept[name] = arrays[name][0].astype(np.int8)
    full = {name: arrays[name] for name in ("y", "z", "mu", "sigma", "y_hat", "x_hat", "lik_y", "lik_z")}
    for name, x in {**full, "hyper": _hyper(arrays)}.items():
        kept[f"{name}.sample"], kept[f"{name}.summary"] = golden.sample(x[0]), golden.summary(x[0])
    return kept


def main(folder: Path) -> None:
    found = {path.name.split(".")[0]: json.loads(path.read_text()) for path in sorted(folder.glob("*.recipe.json"))}
    recipes = {name: compact(recipe) for name, recipe in found.items()}
    text = json.dumps(recipes, separators=(",", ":")).encode()
    (golden.EXPECTED / "recipes.json.gz").write_bytes(gzip.compress(text, mtime=0))
    for name, recipe in recipes.items():
        if not (folder / f"{name}.npz").exists():
            continue
        with np.load(folder / f"{name}.npz") as arrays:
            assert np.array_equal(golden.picture(*recipe["input"].values())[0].transpose(2, 0, 1), arrays["x"][0])
            np.savez_compressed(golden.EXPECTED / f"{name}.npz", **excerpt(arrays))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
