"""Pictures to train on, and settings of short runs."""

from __future__ import annotations

import dataclasses

import pytest
from PIL import Image

from config import Training
from lic import graph_storing, registry
from tests.lic.training.runs import MICRO, SCRIPT, smooth


@pytest.fixture(scope="module", autouse=True)
def micro():
    """The preset `micro` is known while these tests run."""
    known = registry.preset
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(registry, "preset", lambda script, name=None:
                      MICRO if (script, name) == (SCRIPT, MICRO.name) else known(script, name))
        yield


@pytest.fixture(scope="module", autouse=True)
def stored():
    """The folders that graphs would have been stored in: tracing them for each short run would take minutes."""
    folders: list[str] = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(graph_storing, "save", folders.append)
        yield folders


@pytest.fixture(scope="session")
def pictures(tmp_path_factory):
    """A folder of five JPEGs."""
    folder = tmp_path_factory.mktemp("pictures")
    for n in range(5):
        Image.fromarray(smooth(n)).save(folder / f"{n}.jpg", quality=95)
    return folder


@pytest.fixture
def settings(pictures, tmp_path):
    """settings(**fields): of a short run in a folder of its own."""
    def make(**fields) -> Training:
        return dataclasses.replace(Training(), **{
            "train_glob": f"{pictures}/*.jpg", "train_path": str(tmp_path / "run"), "epochs": 3, "steps_per_epoch": 5,
            "batchsize": 2, "patchsize": 64, "preprocess_threads": 2, "learning_rate": 1e-3, **fields})
    return make
