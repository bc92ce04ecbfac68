"""What stands in the environment when TensorFlow comes up."""

from __future__ import annotations

import os

import pytest

from lic import environment

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
