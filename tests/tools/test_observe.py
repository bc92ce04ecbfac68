"""A model of before gets range-coding tables of what it rounds."""

from __future__ import annotations

import sys

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from lic import weights
from lic.coders import gaussian_tables
from tests.lic.training.runs import MICRO, SCRIPT
from tools import observe


def called(monkeypatch, *arguments) -> None:
    monkeypatch.setattr(sys, "argv", ["observe", *map(str, arguments)])
    observe.main()


def test_model_gets_tables_of_its_own_and_codes_with_them(lively, picture, tmp_path, monkeypatch, capsys):
    trained, model = lively(SCRIPT, MICRO), tmp_path / "model"
    trained.freeze()
    weights.save(trained, SCRIPT, str(model), steps=3)
    before, kept = weights.read(str(model))
    for n in range(3):
        Image.fromarray(picture(260, 300, seed=n)[0].astype(np.uint8)).save(tmp_path / f"{n}.png")
    called(monkeypatch, model, "--train_glob", tmp_path, "--batches", 2)
    about, arrays = weights.read(str(model))
    assert about["weights_id"] in capsys.readouterr().out and about["weights_id"] != before["weights_id"]
    assert {k: v for k, v in about.items() if k != "weights_id"} == {
        k: v for k, v in before.items() if k != "weights_id"}
    assert not np.array_equal(arrays["y/cdf"], gaussian_tables().cdf)
    for name in set(kept) - {"y/cdf", "y/offset"}:
        np.testing.assert_array_equal(arrays[name], kept[name])
    codes, x = weights.load(str(model))[0], tf.constant(picture(64, 64))
    codes.round_kernels()
    made = codes.encode(x)
    for read, written in zip(codes.decode_latent(made.strings, made.escapes, 64, 64).symbols, made.symbols):
        np.testing.assert_array_equal(read, written)


def test_folder_that_is_no_model_is_a_line(tmp_path, monkeypatch, capsys):
    with pytest.raises(SystemExit) as end:
        called(monkeypatch, tmp_path, "--train_glob", tmp_path)
    said = capsys.readouterr().err
    assert end.value.code == 1 and said == f"observe: no model in '{tmp_path}': it has no model.json\n"
