"""The exported training step: what JAX makes of it is what TensorFlow makes of it, and each goes on from the other."""

from __future__ import annotations

import contextlib
import csv
import dataclasses
import json
import os

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

import config
from lic import arithmetic, folder_lock, registry, step_export, step_state, weights
from lic.errors import DataError, UsageError
from lic.pjrt import pictures as patches
from lic.pjrt.schedule import learning_rate
from lic.training import Run

MODELS = (("lsk2023", "tiny"), ("zyc2022", "tiny"), ("hypmqw2022", "tiny-variable"))
SCRIPT = "hypmqw2022"                                      # the one whose tiny model is traced fastest


@pytest.fixture(scope="module", autouse=True)
def quick_compiling():
    """A quarter of the time, in TensorFlow and in the processes that run JAX."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XLA_FLAGS", "--xla_backend_optimization_level=0")
        yield


@pytest.fixture(scope="module")
def pictures(picture, tmp_path_factory):
    """The glob of five JPEGs."""
    folder = tmp_path_factory.mktemp("pictures")
    for n in range(5):
        Image.fromarray(picture(96, 112, seed=n)[0].astype(np.uint8)).save(folder / f"{n}.jpg", quality=95)
    return f"{folder}/*.jpg"


def settings(folder, **fields) -> config.Training:
    return dataclasses.replace(config.Training(), **{
        "train_path": str(folder / "run"), "epochs": 4, "steps_per_epoch": 5, "batchsize": 2, "patchsize": 64,
        "learning_rate": 1e-3, "ema": 0.9, "seed": 3, "lr_schedule": "cosine", **fields})


def exported(script: str, made_of: config.Training, folder) -> step_export.Step:
    return step_export.export(script, registry.preset(script, "tiny"), made_of, str(folder))


def rows_of(folder) -> list[dict[str, float]]:
    with open(folder / "log.csv", newline="") as file:
        return [{name: float(value) for name, value in row.items()} for row in csv.DictReader(file)]


def state_of(folder) -> dict[str, np.ndarray]:
    return dict(np.load(folder / "state.npz"))


# Through JAX ---------------------------------------------------------------------------------------------------------

@contextlib.contextmanager
def noise_of_xla():
    """TensorFlow's own kernels draw other bits; this has XLA draw the noise of what is traced meanwhile."""
    drawn = tf.function(tf.random.stateless_uniform, jit_compile=True, autograph=False)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tf.random, "stateless_uniform", drawn)
        yield


@pytest.fixture(scope="module", params=MODELS, ids="-".join)
def twins(request, process, lively, pictures, tmp_path_factory):
    """(rows of the log, state) of 20 steps in JAX and by TensorFlow's own kernels, from one state, on the same patches.

    Not from the weights that a model begins with: its pictures are black then, and what XLA loses on processors when it
    sums up so many squares of whole numbers one after another, 2e-5, would be all that this sees.
    """
    pytest.importorskip("jax")
    script, preset = request.param[0], registry.preset(*request.param)
    folder = tmp_path_factory.mktemp(script)
    start = step_export.Step(script, preset, settings(folder))
    lively_weights = weights.named_variables(lively(script, preset))
    weights.assign(start.model, {name: v.numpy() for name, v in lively_weights.items()})
    (folder / "run").mkdir()
    step_state.write(str(folder / "run"), start.state)
    step = step_export.export(script, preset, settings(folder), str(folder / "step"))
    done = process(folder / "step" / "pjrt_train.pyz", folder / "step", "--pictures", pictures)
    assert done.code == 0, done.err
    return (rows_of(folder / "step"), state_of(folder / "step")), in_tensorflow(step, pictures)


def in_tensorflow(step: step_export.Step, pictures: str):
    function, rows = tf.function(step, autograph=False), []
    batches = patches.batches(patches.open_source(pictures, 64), 2, 64, 3, 0, threads=1)
    with noise_of_xla():
        for n, batch in zip(range(20), batches):
            rate = learning_rate(n, 20, rate=1e-3, schedule="cosine", warmup=0, drops=())
            arguments = tf.constant(0.01), tf.constant(rate), tf.constant(3, tf.int64)
            rows.append(dict(zip(step.figures, function(tf.constant(batch), *arguments)["figures"].numpy())))
    return rows, {name: v.numpy() for name, v in step.state.items()}


@pytest.mark.slow
def test_losses_of_twenty_steps_in_jax_are_those_of_tensorflow(twins):
    (in_jax, _), (in_tensorflow, _) = twins
    assert len(in_jax) == len(in_tensorflow) == 20
    for name, value in in_tensorflow[0].items():
        assert in_jax[0][name] == pytest.approx(value, rel=1e-5), name
    for row, expected in zip(in_jax, in_tensorflow):
        assert row["loss"] == pytest.approx(expected["loss"], rel=0.01), row["step"]
    assert len({row["loss"] for row in in_jax}) == 20


@pytest.mark.slow
def test_state_after_twenty_steps_in_jax_is_that_of_tensorflow(twins):
    """Weights, both moments, averages and counts. A weight moves by about 1e-3 a step, wherever its gradient points."""
    (_, in_jax), (_, in_tensorflow) = twins
    assert in_jax.keys() == in_tensorflow.keys() and in_jax["steps"] == in_jax["adam_steps"] == 20
    moved = [name for name in in_jax if name.startswith("average/")
             and not np.array_equal(in_jax[name], in_jax[name.replace("average/", "weights/")])]
    assert len(moved) > 100
    for name in moved:
        for each in (name, name.replace("average/", "weights/")):
            assert np.abs(in_jax[each] - in_tensorflow[each]).mean() < 1e-3, each


@pytest.mark.slow
@pytest.mark.parametrize("script", [script for script, _ in MODELS])
def test_quantised_latents_and_pictures_in_jax_are_those_of_tensorflow(script, lively, picture):
    pytest.importorskip("jax")
    from lic.pjrt.program import Program

    model = lively(script)   # not frozen: as in training, where rates come from densities and not from tables

    def function(x):
        estimate = model.estimate(x, arithmetic=arithmetic.FLOAT32)
        return {"y_hat": estimate.y_hat, "x_hat": estimate.x_hat, "bits": estimate.bits_y + estimate.bits_z}

    x, variables = picture(64, 128, batch=2), weights.named_variables(model)
    lowered = step_export.lower(function, {"x": tf.TensorSpec(x.shape, tf.float32)}, variables)
    _, found = Program(lowered.hlo, lowered.about)({name: v.numpy() for name, v in variables.items()}, x=x)
    # Measured for the pictures of zyc2022: 7e-5, though their latents are the same; the others stay within 1e-5.
    tolerances = {"y_hat": 1e-5, "bits": 1e-5, "x_hat": 2e-4}
    for name, expected in function(tf.constant(x)).items():
        scale = np.abs(expected).max()
        np.testing.assert_allclose(found[name], expected, atol=tolerances[name] * scale, err_msg=name)
        assert scale > 1


# Back and forth ------------------------------------------------------------------------------------------------------

def all_of(run: Run) -> dict[str, np.ndarray]:
    return {name: v.numpy() for name, v in step_state.variables(run.model, run.average, run.steps).items()}


def assert_same(found, expected) -> None:
    assert found.keys() == expected.keys()
    for name, value in expected.items():
        np.testing.assert_array_equal(found[name], value, err_msg=name)


@pytest.mark.slow
def test_each_goes_on_where_the_other_stopped(process, script, pictures, tmp_path):
    pytest.importorskip("jax")
    preset, folder = registry.preset(SCRIPT, "tiny"), tmp_path / "step"
    made_of = settings(tmp_path, train_glob=pictures, epochs=1)
    run = Run(SCRIPT, preset, made_of)
    run.train()                                                        # 5 steps in TensorFlow

    exported(SCRIPT, made_of, folder)
    assert_same(state_of(folder), all_of(run))
    jax = (folder / "pjrt_train.pyz", folder, "--pictures", pictures, "--lr_schedule", "constant")
    assert process(*jax, "--steps", 9).lines[-1].startswith("step 9 of 9: saved")     # 4 in JAX
    assert [row["step"] for row in rows_of(folder)] == [6, 7, 8, 9]

    pixels = str(tmp_path / "0.png")
    Image.fromarray(np.zeros((64, 64, 3), np.uint8)).save(pixels)
    assert script(SCRIPT, "compress", pixels, "--model_path", folder).code == 0

    further = dataclasses.replace(made_of, train_path=str(folder), epochs=3)
    resumed = Run(SCRIPT, preset, further)
    assert resumed.resumed and int(resumed.steps) == 9
    assert_same(all_of(resumed), state_of(folder))
    resumed.train()                                                    # 6 in TensorFlow
    with contextlib.closing(Run(SCRIPT, preset, further)) as last:
        assert int(last.steps) == 15                                   # its checkpoint is further than the state now
    exported(SCRIPT, further, folder)
    assert_same(state_of(folder), all_of(resumed))


@pytest.mark.slow
def test_command_exports_and_says_how_to_run_it(script, tmp_path):
    folder = tmp_path / "step"
    arguments = ("train", "--preset", "tiny", "--batchsize", 1, "--patchsize", 64, "--precision_policy",
                 "mixed_bfloat16", "--train_path", tmp_path / "none", "--export_step", folder)
    done = script(SCRIPT, *arguments)
    assert (done.code, done.err) == (0, "")
    assert f"python {folder}/pjrt_train.pyz {folder} --pictures" in done.out and not (tmp_path / "none").exists()
    assert sorted(os.listdir(folder)) == ["pjrt_train.pyz", "run.json", "state.npz", "step.hlo.xz", "step.json"]
    about = json.loads((folder / "step.json").read_text())
    assert about["figures"] == ["loss", "bpp", "mse", "gradient_norm"] and about["settings"]["batchsize"] == 1
    assert {name for name in state_of(folder) if name.startswith("weights/g_a/")} <= set(about["inputs"])


# Misuse --------------------------------------------------------------------------------------------------------------

def test_settings_that_make_no_sense_are_refused_and_leave_nothing(tmp_path):
    with pytest.raises(UsageError, match="--batchsize must be at least 1"):
        exported(SCRIPT, settings(tmp_path, batchsize=0), tmp_path / "step")
    assert not os.listdir(tmp_path)


def test_folder_of_another_run_is_refused_and_left_alone(tmp_path):
    folder = tmp_path / "step"
    folder.mkdir()
    (folder / "run.json").write_text('{"script": "zyc2022", "preset": "tiny"}')
    with pytest.raises(UsageError, match="holds a run of zyc2022 tiny: give another --export_step"):
        exported(SCRIPT, settings(tmp_path), folder)
    for text in ("[]", "{}", "\0"):
        (folder / "run.json").write_text(text)
        with pytest.raises(DataError, match="can't be read as the description of a run"):
            exported(SCRIPT, settings(tmp_path), folder)
    assert os.listdir(folder) == ["run.json"]


def test_export_never_undoes_what_was_trained(tmp_path, monkeypatch):
    """Given twice, the command would put step 0 in the place of a day's work."""
    monkeypatch.setattr(step_export, "lower", None)   # nothing may come to that
    np.savez(tmp_path / "state.npz", steps=np.int64(7))
    with pytest.raises(UsageError, match=r"holds step 7 of a run, which step 0 would overwrite: .* or --train_path"):
        exported(SCRIPT, settings(tmp_path), tmp_path)
    assert os.listdir(tmp_path) == ["state.npz"]


def test_folder_where_a_run_trains_is_refused_and_left_alone(tmp_path, monkeypatch):
    monkeypatch.setattr(step_export, "Step", None)   # said before a model is made
    with folder_lock.held(str(tmp_path)), pytest.raises(UsageError, match=r"another run trains in .* now"):
        exported(SCRIPT, settings(tmp_path), tmp_path)
    assert not os.listdir(tmp_path)


@pytest.mark.parametrize(("trains", "words"), [
    (True, "another run trains in"), (False, "holds step 7 of a run, which step 0 would overwrite")])
def test_run_that_came_to_a_new_folder_while_the_step_was_lowered_is_left_alone(trains, words, tmp_path, monkeypatch):
    folder = tmp_path / "step"
    lock = folder_lock.Lock(str(folder))

    def lower(*_):
        folder.mkdir()
        np.savez(folder / "state.npz", steps=np.int64(7))
        if trains:
            lock.take()

    monkeypatch.setattr(step_export, "lower", lower)
    with pytest.raises(UsageError, match=words):
        exported(SCRIPT, settings(tmp_path), folder)
    assert os.listdir(folder) == ["state.npz"]


def test_folder_is_held_while_it_is_written(tmp_path, monkeypatch):
    held = []

    def write(folder, *_):
        with pytest.raises(UsageError, match="another run trains in"):
            folder_lock.held(folder).__enter__()
        held.append(folder)

    monkeypatch.setattr(step_export, "lower", lambda *_: None)
    monkeypatch.setattr(step_export, "_write", write)
    exported(SCRIPT, settings(tmp_path), tmp_path / "step")
    assert held == [str(tmp_path / "step")]
