"""Files of torch.save: what is found in each kind of them, and that none of them runs anything."""

from __future__ import annotations

import argparse
import collections
import os
import pathlib
import shutil
import sys
import zipfile

import numpy as np
import pytest
import torch

from lic import torch_checkpoints
from lic.errors import DataError, UserError


@pytest.fixture
def net():
    torch.manual_seed(0)
    return torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.BatchNorm1d(4), torch.nn.Linear(4, 2))


@pytest.fixture
def saved(tmp_path):
    """saved(contents, ...): the path of a file that torch.save wrote."""
    def save(contents, **options) -> str:
        torch.save(contents, tmp_path / "net.pth.tar", **options)
        return str(tmp_path / "net.pth.tar")

    return save


def assert_is(checkpoint, net, format, epoch=None):
    assert (checkpoint.format, checkpoint.epoch) == (format, epoch)
    assert checkpoint.state_dict.keys() == net.state_dict().keys()
    for name, tensor in net.state_dict().items():
        assert checkpoint.state_dict[name].dtype == np.float32
        np.testing.assert_array_equal(checkpoint.state_dict[name], tensor.numpy(), name)


def refusal(path, exit_code=1) -> str:
    with pytest.raises(UserError) as error:
        torch_checkpoints.read(str(path))
    assert error.value.exit_code == exit_code and "\n" not in str(error.value)
    return str(error.value)


def training_state(net) -> dict:
    """A checkpoint as LIC_TCM and CompressAI write it: with optimizers, which have more tensors than the model."""
    optimizer = torch.optim.Adam(net.parameters())
    net(torch.ones(5, 3)).sum().backward()
    optimizer.step()
    scheduler = torch.optim.lr_scheduler.MultiStepLR(optimizer, [45, 48])
    return {"epoch": 49, "state_dict": net.state_dict(), "loss": torch.tensor(0.5), "optimizer": optimizer.state_dict(),
            "aux_optimizer": optimizer.state_dict(), "lr_scheduler": scheduler.state_dict()}


class AttributeDict(dict):
    """A dictionary of a class that no other process knows, as Lightning's."""


class Settings:
    """An object whose loading would be seen."""

    loaded = 0

    def __init__(self, **values):
        self.__dict__.update(values)

    def __setstate__(self, state):
        Settings.loaded += 1


STRANGERS = {"hyper_parameters": AttributeDict(a=1, b={"c": (1, 2)}), "settings": Settings(x=1),
             "arguments": argparse.Namespace(x=1), "number": np.float64(3), "array": np.ones(3),
             "path": pathlib.Path("x"), "lists": collections.defaultdict(list, {1: [2]}),
             "criterion": torch.nn.MSELoss(), "function": len}


@pytest.mark.parametrize("as_zip", [True, False], ids=["zip", "before 1.6"])
def test_state_dict_is_read_bare_and_from_a_checkpoint(net, saved, as_zip):
    options = {"_use_new_zipfile_serialization": as_zip}
    assert_is(torch_checkpoints.read(saved(net.state_dict(), **options)), net, "state dict")
    state = training_state(net)
    assert_is(torch_checkpoints.read(saved(state, **options)), net, "checkpoint", 49)
    assert_is(torch_checkpoints.read(saved({"model_state_dict": net.state_dict()}, **options)), net, "checkpoint")


def test_lightning_checkpoint_is_read_and_its_objects_are_not_loaded(net, saved):
    contents = {"epoch": 7, "pytorch-lightning_version": "2.0.2", "state_dict": net.state_dict(), **STRANGERS}
    assert_is(torch_checkpoints.read(saved(contents)), net, "Lightning checkpoint", 7)
    assert not Settings.loaded


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_floats_of_any_width_come_as_float32(net, saved, dtype):
    assert_is(torch_checkpoints.read(saved(net.to(dtype).state_dict())), net.to(torch.float32), "state dict")


def test_parameters_are_as_good_as_tensors(net, saved):
    read = torch_checkpoints.read(saved(dict(net.named_parameters())))
    np.testing.assert_array_equal(read.state_dict["0.weight"], net[0].weight.detach())


def test_checkpoint_of_a_gpu_is_read_without_one(net, saved, tmp_path):
    """Each storage in it names its device; here the name is exchanged in the file."""
    with zipfile.ZipFile(saved(net.state_dict())) as source, zipfile.ZipFile(tmp_path / "gpu.pth", "w") as target:
        for item in source.namelist():
            data = source.read(item)
            if item.endswith("data.pkl"):
                assert b"X\3\0\0\0cpu" in data
                data = data.replace(b"X\3\0\0\0cpu", b"X\6\0\0\0cuda:0")
            target.writestr(item, data)
    assert_is(torch_checkpoints.read(str(tmp_path / "gpu.pth")), net, "state dict")


class Bomb:
    """Has a function called by whoever loads it without care."""

    def __init__(self, function, *arguments):
        self.call = function, arguments

    def __reduce__(self):
        return self.call


@pytest.mark.parametrize("as_zip", [True, False], ids=["zip", "before 1.6"])
@pytest.mark.parametrize("bomb", [Bomb(os.mkdir, "exploded"), Bomb(shutil.copy, __file__, "exploded")],
                         ids=["of the system", "of a library"])
def test_function_that_a_file_names_is_not_called(bomb, net, saved, tmp_path, monkeypatch, as_zip):
    """PyTorch refuses the file, or reads it with a stand-in for the function."""
    monkeypatch.chdir(tmp_path)
    path = saved({"state_dict": net.state_dict(), "x": bomb}, _use_new_zipfile_serialization=as_zip)
    if as_zip and bomb.call[0] is shutil.copy:
        assert_is(torch_checkpoints.read(path), net, "checkpoint")
    else:
        assert "objects that are not loaded, as they could run code" in refusal(path)
    assert not (tmp_path / "exploded").exists()


def test_origin_has_the_name_of_the_file_and_no_folder(net, saved):
    path = saved(training_state(net))
    assert torch_checkpoints.read(path).origin(path) == {"file": "net.pth.tar", "format": "checkpoint", "epoch": 49}
    path = saved(net.state_dict())
    assert torch_checkpoints.read(path).origin(path) == {"file": "net.pth.tar", "format": "state dict"}


def test_what_holds_no_weights_is_refused(net, saved, tmp_path):
    for contents in ({}, 3, [net.state_dict()], {"state_dict": {}}, net):
        assert "holds no state dict" in refusal(saved(contents))
    torch.jit.script(net).save(tmp_path / "program.pt")
    assert "TorchScript program: save its state_dict()" in refusal(tmp_path / "program.pt")
    assert "said to be larger than the file" in refusal(saved({"a": torch.zeros(1).expand(10 ** 6, 10 ** 5)}))


def test_what_is_no_checkpoint_is_refused(tmp_path):
    for name, data, says in (("page.pth", b"<!DOCTYPE html>", "no file of torch.save"), ("empty.pth", b"", "is empty"),
                             ("picture.pth", b"\x89PNG\r\n\x1a\n", "no file of torch.save")):
        (tmp_path / name).write_bytes(data)
        assert says in refusal(tmp_path / name)
    assert "no such file" in refusal(tmp_path / "none.pth") and "a directory" in refusal(tmp_path)
    os.mkfifo(tmp_path / "pipe")
    assert "no regular file" in refusal(tmp_path / "pipe")


@pytest.mark.parametrize("as_zip", [True, False], ids=["zip", "before 1.6"])
def test_damage_anywhere_is_one_line_or_changes_numbers_only(net, saved, tmp_path, as_zip):
    whole = pathlib.Path(saved(net.state_dict(), _use_new_zipfile_serialization=as_zip)).read_bytes()
    rng, names = np.random.default_rng(0), list(net.state_dict())
    for case in range(60):
        damaged = bytearray(whole[:rng.integers(1, len(whole))] if case % 2 else whole)
        for at in rng.integers(0, len(damaged), 3):
            damaged[at] ^= 1 << rng.integers(8)
        (tmp_path / "damaged.pth").write_bytes(damaged)
        try:
            assert len(torch_checkpoints.read(str(tmp_path / "damaged.pth")).state_dict) <= len(names)
        except DataError as error:
            assert "\n" not in str(error)


def test_missing_pytorch_is_one_line_that_says_how_to_get_it(net, saved, monkeypatch):
    path = saved(net.state_dict())
    monkeypatch.setitem(sys.modules, "torch", None)
    assert "pip install '.[convert]'" in refusal(path, 2)


def test_pytorch_whose_safe_loading_is_not_safe_is_refused(net, saved, monkeypatch):
    path = saved(net.state_dict())
    monkeypatch.delattr(torch.serialization, "get_unsafe_globals_in_checkpoint")
    assert f"PyTorch {torch.__version__} reads no checkpoint safely" in refusal(path, 2)
