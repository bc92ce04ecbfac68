"""Weights in a folder: what is stored comes back, what doesn't fit is refused in one line, and nothing is pickled."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from lic import weights
from lic.errors import DataError, UserError


@pytest.fixture(scope="module")
def model(lively, tiny_tables):
    model = lively("hypmqw2022")
    model.freeze(*tiny_tables)
    return model


@pytest.fixture
def folder(model, tmp_path):
    path = str(tmp_path / "model")
    weights.save(model, "hypmqw2022", path)
    return path


def one_line(error) -> str:
    text = str(error.value)
    assert text and "\n" not in text
    return text


def rewrite(folder, change) -> None:
    """Stores what `change` makes of the arrays, and describes it as theirs."""
    arrays = change(weights.read_arrays(folder))
    np.savez_compressed(f"{folder}/weights.npz", **arrays)
    about = {**weights.describe(folder), "weights_id": weights.weights_id(arrays).hex()}
    Path(folder, "model.json").write_text(json.dumps(about), "utf-8")


def test_names_cover_every_weight_of_every_script_once(tiny):
    named = weights.named_variables(tiny)
    refs = [v.ref() for v in named.values()]
    expected = {v.ref() for v in [*tiny.trainable_variables, tiny.z_median]}
    assert len(set(refs)) == len(refs) and set(refs) == expected
    assert {name.split("/")[0] for name in named} == {"g_a", "g_s", "h_a", "h_s", "context", "prior"}


def test_names_are_paths_that_another_process_finds_again(model, lively):
    named = weights.named_variables(model)
    assert {"g_a/layers/0/kernel", "context/spatial/0/bias", "prior/median", "h_s/layers/2/bias"} <= set(named)
    assert list(named) == list(weights.named_variables(lively("hypmqw2022", seed=5))), "no counter of Keras in them"


def test_model_comes_back_with_the_same_strings_and_the_same_picture(model, folder, picture):
    loaded, identity = weights.load(folder)
    for (name, a), (_, b) in zip(weights.named_variables(model).items(), weights.named_variables(loaded).items()):
        np.testing.assert_array_equal(a, b, name)
    assert identity == weights.weights_id(weights.arrays_of(model))
    model.round_kernels()
    loaded.round_kernels()
    x = tf.constant(picture(64, 64))
    for a, b in zip(model.encode(x).strings, loaded.encode(x).strings):
        np.testing.assert_array_equal(a, b)
    np.testing.assert_array_equal(model(x), loaded(x))


@pytest.mark.parametrize("script", ["lsk2023", "zyc2022"])
def test_models_of_the_other_scripts_come_back_too(lively, tiny_tables, tmp_path, picture, script):
    model = lively(script)
    model.freeze(*tiny_tables)
    identity = weights.save(model, script, str(tmp_path))
    loaded, again = weights.load(str(tmp_path))
    assert identity == again
    np.testing.assert_array_equal(model(tf.constant(picture(64, 64))), loaded(tf.constant(picture(64, 64))))


def test_half_precision_rounds_the_model_itself_to_what_is_stored(lively, tiny_tables, tmp_path, picture):
    """So that what was measured before saving is what the user gets."""
    model = lively("hypmqw2022")
    model.freeze(*tiny_tables)
    exact = {name: v.numpy() for name, v in weights.named_variables(model).items()}
    whole, half = str(tmp_path / "whole"), str(tmp_path / "half")
    first = weights.save(model, "hypmqw2022", whole)
    second = weights.save(model, "hypmqw2022", half, half=True)
    assert first != second
    stored = weights.read_arrays(half)
    loaded, identity = weights.load(half)
    assert identity == second
    for name, v in weights.named_variables(loaded).items():
        assert stored[name].dtype == np.float16 and v.dtype == tf.float32
        np.testing.assert_array_equal(v, exact[name].astype(np.float16))
        np.testing.assert_array_equal(v, weights.named_variables(model)[name])
    assert stored["y/cdf"].dtype == np.int32, "tables are never rounded"
    model.round_kernels()
    loaded.round_kernels()
    x = tf.constant(picture(64, 64))
    for a, b in zip(model.encode(x).strings, loaded.encode(x).strings):
        np.testing.assert_array_equal(a, b)


def test_stored_tables_are_used_instead_of_built(model, folder):
    rewrite(folder, lambda arrays: {**arrays, "z/offset": arrays["z/offset"] - 1, "y/offset": arrays["y/offset"] - 1})
    loaded, _ = weights.load(folder)
    np.testing.assert_array_equal(loaded.em_z.cdf_offset, model.em_z.cdf_offset - 1)
    np.testing.assert_array_equal(loaded.em_y.cdf_offset, model.em_y.cdf_offset - 1)
    np.testing.assert_array_equal(loaded.em_z.cdf, model.em_z.cdf)


def test_id_changes_with_any_weight_and_any_table_and_with_nothing_else(model):
    arrays = weights.arrays_of(model)
    identity = weights.weights_id(arrays)
    assert len(identity) == 4
    assert identity == weights.weights_id(dict(reversed(arrays.items()))), "their order doesn't matter"
    assert identity == weights.weights_id({name: np.asfortranarray(a) for name, a in arrays.items()})
    seen = {identity}
    for name, a in arrays.items():
        for byte in (0, -1):                     # the first and the very last byte of each array
            changed = bytearray(a.tobytes())
            changed[byte] ^= 1
            seen.add(weights.weights_id({**arrays, name: np.frombuffer(changed, a.dtype).reshape(a.shape)}))
    assert len(seen) == 2 * len(arrays) + 1
    kernel = "g_a/layers/0/kernel"
    others = ({**arrays, kernel: arrays[kernel].astype(np.float16).astype(np.float32)},
              {**arrays, kernel: arrays[kernel].reshape(-1)}, {**arrays, kernel: arrays[kernel].view(np.int32)},
              {("x" if name == kernel else name): a for name, a in arrays.items()})
    assert len({identity, *(weights.weights_id(other) for other in others)}) == 5


def test_description_says_what_was_saved_and_what_the_saver_added(model, tmp_path):
    identity = weights.save(model, "hypmqw2022", str(tmp_path), steps=7, note="ä")
    about = weights.describe(str(tmp_path))
    assert about == {"script": "hypmqw2022", "preset": "tiny", "weights_id": identity.hex(), "steps": 7, "note": "ä"}


class Trap:
    """Would be run by whoever unpickles it."""

    sprung = False

    def __reduce__(self):
        return setattr, (Trap, "sprung", True)


def test_pickled_weights_are_refused_and_never_run(folder):
    Trap.sprung = False
    rewrite(folder, lambda arrays: {**arrays, "g_a/layers/0/bias": np.array([Trap()], object)})
    with pytest.raises(DataError) as error:
        weights.load(folder)
    assert "is broken" in one_line(error) and not Trap.sprung


def test_stored_files_hold_plain_arrays_only(folder):
    with zipfile.ZipFile(f"{folder}/weights.npz") as stored:
        heads = {name: stored.read(name)[:128] for name in stored.namelist()}
    assert len(heads) == len(weights.read_arrays(folder))
    for name, head in heads.items():
        assert name.endswith(".npy") and head.startswith(b"\x93NUMPY")
        assert b"'<f4'" in head or b"'<i4'" in head, "an object array would say '|O'"


@pytest.mark.parametrize(("change", "says"), [
    (lambda a: {n: v for n, v in a.items() if n != "g_a/layers/0/bias"}, "1 differ, e.g. g_a/layers/0/bias"),
    (lambda a: {**a, "g_a/layers/0/more": np.zeros(3)}, "1 differ, e.g. g_a/layers/0/more"),
    (lambda a: {**a, "g_a/layers/0/bias": np.zeros(3)}, "1 differ, e.g. g_a/layers/0/bias"),
    (lambda a: {**a, "g_a/layers/0/bias": a["g_a/layers/0/bias"].astype(str)}, "1 differ, e.g. g_a/layers/0/bias"),
    (lambda a: {**a, "g_a/layers/0/kernel": a["g_a/layers/0/kernel"].T}, "1 differ, e.g. g_a/layers/0/kernel"),
    (lambda a: {n: v for n, v in a.items() if n != "z/cdf"}, "no range-coding tables"),
], ids=["missing", "superfluous", "misshapen", "words", "transposed", "no tables"])
def test_arrays_that_do_not_fit_are_one_line(folder, change, says):
    rewrite(folder, change)
    with pytest.raises(DataError) as error:
        weights.load(folder)
    assert says in one_line(error)


def test_weights_that_do_not_fit_leave_the_model_as_it_was(model, lively):
    other = lively("hypmqw2022", seed=3)
    before = {name: v.numpy() for name, v in weights.named_variables(other).items()}
    arrays = weights.arrays_of(model)
    with pytest.raises(DataError):
        weights.assign(other, {**arrays, "prior/median": np.zeros(9)})
    for name, v in weights.named_variables(other).items():
        np.testing.assert_array_equal(v, before[name])


def test_broken_and_missing_files_are_one_line(folder, tmp_path):
    with pytest.raises(DataError) as error:
        weights.load(str(tmp_path / "nothing"))
    assert "has no model.json" in one_line(error)
    with open(f"{folder}/weights.npz", "rb") as file:
        whole = file.read()
    for broken in (b"", b"PK", whole[:len(whole) // 2], whole[:-30], b"\x93NUMPY", b"text"):
        with open(f"{folder}/weights.npz", "wb") as file:
            file.write(broken)
        with pytest.raises(DataError) as error:
            weights.load(folder)
        assert "can't be read as weights" in one_line(error)
    (tmp_path / "model" / "weights.npz").unlink()
    with pytest.raises(DataError) as error:
        weights.load(folder)
    assert "has no weights.npz" in one_line(error)


def test_weights_and_description_of_two_models_are_one_line(folder):
    arrays = weights.read_arrays(folder)
    np.savez_compressed(f"{folder}/weights.npz", **{**arrays, "z/offset": arrays["z/offset"] - 1})
    with pytest.raises(DataError, match="saving was interrupted"):
        weights.load(folder)


def test_damage_anywhere_in_the_weights_is_one_line(folder):
    with open(f"{folder}/weights.npz", "rb") as file:
        whole = file.read()
    rng = np.random.default_rng(0)
    for _ in range(40):
        damaged = bytearray(whole)
        for at in rng.integers(0, len(whole), 9):
            damaged[at] ^= 1 << rng.integers(8)
        with open(f"{folder}/weights.npz", "wb") as file:
            file.write(damaged)
        with pytest.raises(DataError) as error:
            weights.load(folder)
        assert "is broken" in one_line(error) or "saving was interrupted" in one_line(error)


@pytest.mark.parametrize("text", ["", "{", "[]", "3", '{"script": "lsk2023"}', "\u00e9"])
def test_description_that_cannot_be_read_is_one_line(folder, text):
    with open(f"{folder}/model.json", "w", encoding="latin-1") as file:
        file.write(text)
    with pytest.raises(DataError) as error:
        weights.load(folder)
    assert "can't be read as the description of a model" in one_line(error)


def test_description_of_an_unknown_preset_is_one_line(folder):
    for about in ({"script": "hypmqw2022", "preset": "huge"}, {"script": "os", "preset": "tiny"}):
        with open(f"{folder}/model.json", "w", encoding="utf-8") as file:
            json.dump(about, file)
        with pytest.raises(UserError) as error:
            weights.load(folder)
        assert about["script"] in one_line(error)
