"""What is set when TensorFlow comes up."""

from __future__ import annotations

import gc
import os
import sys

import numpy as np
import pytest
from PIL import Image

from lic import environment
from tests.scripts import ROOT

NAMES = ("TF_CPP_MIN_LOG_LEVEL", "TF_ENABLE_ONEDNN_OPTS")


@pytest.fixture(autouse=True)
def bare(monkeypatch):
    for name in NAMES:
        monkeypatch.setenv(name, "")   # so that it is put back
        monkeypatch.delenv(name)


@pytest.mark.parametrize("machine, onednn", [("x86_64", "1"), ("AMD64", "1"), ("arm64", None), ("aarch64", None)])
def test_onednn_is_asked_for_where_it_is_quicker(monkeypatch, machine, onednn):
    monkeypatch.setattr("platform.machine", lambda: machine)
    environment.prepare()
    assert [os.environ.get(name) for name in NAMES] == ["3", onednn]


def test_what_a_user_has_set_stays(monkeypatch):
    monkeypatch.setattr("platform.machine", lambda: "x86_64")
    for name in NAMES:
        monkeypatch.setenv(name, "0")
    environment.prepare()
    assert [os.environ[name] for name in NAMES] == ["0", "0"]


def test_garbage_of_earlier_work_is_still_looked_for(monkeypatch):
    monkeypatch.setitem(sys.modules, "tensorflow", None)
    frozen = gc.get_freeze_count()
    with environment.importing():
        assert gc.isenabled()
    assert gc.get_freeze_count() == frozen


COUNTED = """
import gc, sys
whole = []
gc.callbacks.append(lambda phase, info: whole.append(1) if phase == "start" and info["generation"] == 2 else None)
from lic import cli
try:
    cli.zyc2022()
finally:
    print("looked through everything", len(whole), "times;", gc.get_freeze_count() > 100_000)
"""


def test_a_command_does_not_look_for_garbage_among_what_tensorflow_imports(process, saved, picture, tmp_path):
    Image.fromarray(picture(40, 50)[0].astype(np.uint8)).save(tmp_path / "x.png")
    ran = process("-c", COUNTED, "compress", tmp_path / "x.png", "--model_path", saved["zyc2022"], cwd=ROOT)
    assert (ran.code, ran.out) == (0, "looked through everything 0 times; True\n"), ran.err
