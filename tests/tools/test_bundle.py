"""A trained model takes the place of the bundled one."""

from __future__ import annotations

import json
import sys

import numpy as np

import lic
from lic import registry, resources, weights
from tests.lic.training.runs import MICRO, SCRIPT
from tools import bundle


def test_trained_model_becomes_the_bundled_one(tmp_path, monkeypatch, capsys):
    trained, target = tmp_path / "trained", tmp_path / "zyc2022-nano"
    model = registry.build(SCRIPT, MICRO)
    model.freeze()
    training = {"seed": 7, "train_path": "runs/7"}
    weights.save(model, SCRIPT, str(trained), training=training, steps=3, note="not for others")
    monkeypatch.setattr(resources, "bundled", lambda script: str(target) if script == SCRIPT else None)
    monkeypatch.setattr(sys, "argv", ["bundle", str(trained)])
    bundle.main()
    about = json.loads((target / "model.json").read_text())
    assert (about["training"], about["steps"], "note" in about) == ({"seed": 7}, 3, False)
    assert about["weights_id"] in capsys.readouterr().out
    assert (target / "weights.npz").stat().st_size < 0.6 * (trained / "weights.npz").stat().st_size
    codec, x = lic.load(str(target)), np.zeros((64, 64, 3), np.uint8)
    assert codec.decompress(codec.compress(x)).shape == x.shape
