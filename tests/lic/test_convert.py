"""PyTorch checkpoints become models: recognised, equal in every weight, and what does not fit is said key by key."""

from __future__ import annotations

import json
import os
import shutil

import numpy as np
import pytest
import torch
from PIL import Image

import lic
from lic import convert, registry, torch_names, weights
from lic.errors import DataError, UsageError
from tests import golden, test_golden
from tests.golden import script_of, weights_of

SMALLEST = "conv_hyperprior_small"


def save(path, arrays) -> str:
    """Writes a checkpoint as LIC_TCM's training does; returns its name."""
    torch.save({"epoch": 49, "state_dict": {key: torch.from_numpy(a) for key, a in arrays.items()}}, path)
    return str(path)


def assert_same_weights(folder, given) -> None:
    """The model in a folder has what the state dict gives, and tables that were made from it."""
    expected = golden.load(given)
    expected.freeze()
    ours, theirs = weights.read_arrays(str(folder)), weights.arrays_of(expected)
    assert ours.keys() == theirs.keys()
    for path, array in theirs.items():
        np.testing.assert_array_equal(ours[path], array, path)


# What fits ---------------------------------------------------------------------------------------------------------

@pytest.fixture(scope="module")
def converted(script, tmp_path_factory):
    """(how it ended, the folder) of a conversion in a process of its own, where PyTorch comes before TensorFlow."""
    at = tmp_path_factory.mktemp("converted")
    path = save(at / "last.ckpt", weights_of(SMALLEST))
    return script("zyc2022", "convert", path, "--out", "models/hyperprior", cwd=at), at / "models" / "hyperprior"


def test_model_says_where_it_came_from_and_has_the_checkpoints_weights(converted):
    ran, folder = converted
    about = weights.describe(str(folder))
    assert (ran.code, ran.err) == (0, "")
    assert ran.out == f"zyc2022 custom, weights {about['weights_id']}, in 'models/hyperprior'\n"
    assert about["converted_from"] == {"file": "last.ckpt", "format": "checkpoint", "epoch": 49}
    assert_same_weights(folder, weights_of(SMALLEST))


def test_converted_model_is_one_that_every_command_takes(converted, here, picture):
    _, folder = converted
    code, out, _ = here("zyc2022", "info", folder, "--json")
    about = json.loads(out)
    assert code == 0 and about["converted_from"]["epoch"] == 49 and about["architecture"]["conv_width"] == 48
    x = picture(70, 90)[0].astype(np.uint8)
    Image.fromarray(x).save("a.png")
    assert here("zyc2022", "compress", "a.png", "a.tfci", "--model_path", folder)[0] == 0
    assert here("zyc2022", "decompress", "a.tfci", "b.png", "--model_path", folder)[0] == 0
    model = golden.load(weights_of(SMALLEST))
    model.round_kernels()
    estimate = model.estimate(x[None].astype(np.float32)).x_hat[0]
    assert np.abs(np.asarray(Image.open("b.png"), float) - np.clip(estimate, 0, 255)).max() <= 0.5 + 1e-3


@pytest.mark.slow
@pytest.mark.parametrize("name", golden.REDUCED)
def test_reduced_model_of_each_kind_is_converted(name, here, tmp_path):
    given = weights_of(name)
    code, out, err = here(script_of(name), "convert", save(tmp_path / "net.pth.tar", given))
    assert (code, err) == (0, []) and "custom" in out
    assert_same_weights("net.pth.tar.model", given)


def test_prefixes_and_tables_of_compressai_change_nothing(converted):
    """DataParallel's prefix; the tables that CompressAI keeps in buffers are there or not, of whatever size."""
    buffers = {"entropy_bottleneck._quantized_cdf": np.zeros((9, 7)), "gaussian_conditional._offset": np.zeros(64),
               "gaussian_conditional._cdf_length": np.zeros(0), "gaussian_conditional.scale_table": np.ones(64)}
    dressed = {f"module.{key}": a for key, a in {**weights_of(SMALLEST), **buffers}.items()}
    identity = weights.weights_id(weights.arrays_of(convert.model_of("zyc2022", dressed)))
    assert identity.hex() == weights.describe(str(converted[1]))["weights_id"]


def test_saved_model_of_no_preset_would_say_what_it_is(converted):
    assert registry.described(lic.load(str(converted[1])).about) == torch_names.preset_of(weights_of(SMALLEST))[1]


@pytest.mark.slow
@pytest.mark.parametrize("name", golden.FULL)
def test_checkpoint_of_full_size_gives_what_pytorch_gave(name, script, tmp_path):
    """A whole way: a file as LIC_TCM's, the command line, the folder, and the outputs that PyTorch had."""
    given, of = weights_of(name), script_of(name)
    path = save(tmp_path / "net.pth.tar", {f"module.{key}": a for key, a in given.items()})
    ran = script(of, "convert", path, "--out", tmp_path / "model")
    assert ran.code == 0 and ran.out.startswith(f"{of} {golden.FULL[name]}, "), ran.err
    if not (golden.EXPECTED / f"{name}.npz").exists():
        return assert_same_weights(tmp_path / "model", given)
    run = test_golden.Run(name, weights.load(str(tmp_path / "model"))[0])
    for equal in (test_golden.test_transforms_and_predictions_equal_those_of_pytorch,
                  test_golden.test_every_symbol_equals_that_of_pytorch,
                  test_golden.test_rates_equal_those_of_pytorch,
                  test_golden.test_estimate_goes_the_way_that_was_compared):
        equal(run)


@pytest.mark.slow
def test_tcm_of_full_size_goes_all_the_way_through_the_command_line(script, picture, tmp_path):
    path = save(tmp_path / "checkpoint_best.pth.tar", weights_of("tcm_n64"))
    assert script("lsk2023", "convert", path, cwd=tmp_path).code == 0
    model = f"{path}.model"
    about = json.loads(script("lsk2023", "info", model, "--json").out)
    assert (about["preset"], about["parameters"]) == ("small", 45_169_040) and "architecture" in about
    x = picture(100, 130)[0].astype(np.uint8)
    Image.fromarray(x).save(tmp_path / "a.png")
    for command in (("compress", "a.png", "a.tfci"), ("decompress", "a.tfci", "b.png")):
        ran = script("lsk2023", *command, "--model_path", model, cwd=tmp_path)
        assert ran.code == 0, ran.err
    built, _ = weights.load(model)
    built.round_kernels()
    # From the latent that the command codes: its analysis is a graph, whose last digits may flip a symbol.
    encoded = built.encode_latent(lic.load(model).graph.analyse(x[None], [0, 0, 100, 130], [0]))
    decoded = built.decode_latent(encoded.strings, encoded.escapes, *x.shape[:2])
    estimate = built.synthesise(decoded.y_hat)[0, :100, :130]
    assert np.abs(np.asarray(Image.open(tmp_path / "b.png"), float) - np.clip(estimate, 0, 255)).max() <= 0.5 + 1e-2


# What does not -----------------------------------------------------------------------------------------------------

def spoiled(name: str) -> dict[str, np.ndarray]:
    """One array too few, one too many, one of another shape, one that is no numbers."""
    arrays = weights_of(name)
    arrays["extra.weight"] = arrays.pop("g_a.2.bias")
    arrays["h_a.2.weight"] = arrays["h_a.2.weight"][..., :3]
    arrays["h_s.0.bias"] = arrays["h_s.0.bias"] * np.nan
    return arrays


def test_what_does_not_fit_is_listed_key_by_key(here, tmp_path):
    code, out, err = here("zyc2022", "convert", save(tmp_path / "net.pth.tar", spoiled(SMALLEST)))
    assert (code, out) == (1, "")
    assert err == ["missing: g_a.2.bias (48,)", "unexpected: extra.weight (48,)",
                   "of another shape: h_a.2.weight (32, 32, 5, 3) for (32, 32, 5, 5)", "not finite: h_s.0.bias",
                   "zyc2022: the weights do not fit preset 'custom': 1 missing, 1 unexpected, 1 of another shape, "
                   "1 not finite"]
    assert os.listdir(tmp_path) == ["net.pth.tar"]


@pytest.mark.slow
@pytest.mark.parametrize(("name", "key"), [
    ("conv_charm", "g_a.0.bias"), ("elic2022_official", "latent_codec.hyper.h_s.4.weight"),
    ("swint_charm", "g_a.patch_embed.proj.weight"), ("tcm_n64", "g_a.0.gdn.beta")])
def test_array_that_the_sizes_are_read_from_is_named_when_it_is_missing_or_cut(name, key):
    """The sizes can't be told, or are others; the named preset that the rest fits says what is wrong."""
    given, script, preset = weights_of(name), script_of(name), golden.FULL[name]
    whole = given.pop(key)
    with pytest.raises(torch_names.Misfit, match=f"preset '{preset}': 1 missing$") as error:
        convert.model_of(script, given)
    assert error.value.findings == [f"missing: {key} {whole.shape}"]
    with pytest.raises(torch_names.Misfit, match=f"preset '{preset}': 1 of another shape$") as error:
        convert.model_of(script, {**given, key: whole[:-8]})
    assert error.value.findings == [f"of another shape: {key} {whole[:-8].shape} for {whole.shape}"]


@pytest.mark.parametrize("name", golden.REDUCED)
def test_wrong_script_is_one_line_that_names_the_right_one(name):
    script = script_of(name)
    for other in {"lsk2023", "zyc2022", "hypmqw2022"} - {script}:
        with pytest.raises(UsageError, match=f"these look like weights of {script}: use python {script}.py convert"):
            convert.model_of(other, weights_of(name))


@pytest.mark.parametrize("foreign", [{"conv1.weight": np.zeros((64, 3, 7, 7), np.float32)},
                                     {"g_a.0.weight": np.zeros(3, np.float32)}])
def test_weights_of_no_known_model_are_one_line(foreign, here, tmp_path):
    code, out, err = here("zyc2022", "convert", save(tmp_path / "net.pth", foreign))
    assert (code, out, len(err)) == (1, "", 1) and "belong to no PyTorch model known here" in err[0]


@pytest.mark.slow
def test_other_model_with_the_same_nets_is_no_model_known_here():
    """As CompressAI's hyperpriors, which have g_a, g_s, h_a and h_s as well."""
    nets = {f"{net}.{k}.weight": np.zeros((8, 8, 3, 3)) for net in ("g_a", "g_s", "h_a", "h_s") for k in (0, 2)}
    with pytest.raises(DataError, match="belong to no PyTorch model known here"):
        convert.model_of("zyc2022", nets)


def test_folder_that_holds_something_is_left_alone(here, tmp_path):
    path = save(tmp_path / "net.pth", weights_of(SMALLEST))
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "model.json").write_text("precious")
    code, out, err = here("zyc2022", "convert", path, "--out", "mine")
    assert (code, out, len(err)) == (2, "", 1) and "'mine' exists and is not empty" in err[0]
    assert (tmp_path / "mine" / "model.json").read_text() == "precious" and len(os.listdir(tmp_path / "mine")) == 1


def test_folder_that_was_filled_meanwhile_is_left_alone(tmp_path):
    """The command looks before its long work; in the end nothing is written over all the same."""
    model = convert.model_of("zyc2022", weights_of(SMALLEST))
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "mine").write_text("precious")
    with pytest.raises(DataError, match="can't be written: Directory not empty"):
        convert.save(model, "zyc2022", str(tmp_path / "model"), {})
    assert os.listdir(tmp_path) == ["model"] and os.listdir(tmp_path / "model") == ["mine"]


@pytest.mark.parametrize("failure", [KeyboardInterrupt(), OSError(28, "No space left on device")], ids=type)
def test_interrupted_writing_leaves_nothing(failure, tmp_path, monkeypatch):
    model = convert.model_of("zyc2022", weights_of(SMALLEST))

    def breaks(*_):
        assert os.listdir(tmp_path), "something had been written by then"
        raise failure

    monkeypatch.setattr(weights.files, "write_atomically", breaks)
    with pytest.raises(KeyboardInterrupt if isinstance(failure, KeyboardInterrupt) else DataError):
        convert.save(model, "zyc2022", str(tmp_path / "model"), {})
    assert not os.listdir(tmp_path)


def test_description_of_no_possible_model_is_one_line(converted, tmp_path):
    """A model.json is data of somebody else's: nothing in it ends in a traceback."""
    model = shutil.copytree(converted[1], tmp_path / "model")
    about = json.loads((model / "model.json").read_text())
    for change, says in (({"conv_width": "wide"}, "conv_width is 'wide'"), ({"code": 1.5}, "code is 1.5"),
                         ({"dims": [[1, None]]}, "dims"), ({"conventions": 3}, "describes no model"),
                         ({"rooms": 7}, "rooms"), ({"conv_width": -1}, "no model of zyc2022 has these sizes"),
                         ({"conv_width": 47}, "do not fit preset 'custom'")):
        changed = {**about, "architecture": {**about["architecture"], **change}}
        (model / "model.json").write_text(json.dumps(changed))
        with pytest.raises(DataError, match=says) as error:
            lic.load(str(model))
        assert "\n" not in str(error.value)
