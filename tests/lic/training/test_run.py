"""Training runs: resumed exactly where they were, stopped by what can't go on, and what they leave behind."""

from __future__ import annotations

import dataclasses
import json
import os
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from config import Training
from lic import images, loading, metrics, weights
from lic.clock import Clock
from lic.coders import gaussian_tables
from lic.distortion import ms_ssim_loss
from lic.errors import DataError
from lic.training import Interrupted, Schedule, restore_model
from lic.training.recovery import NotFinite
from tests.lic.training.runs import SCRIPT, all_of, events, run_of, smooth, train, with_ctrl_c_in_step


@pytest.fixture(scope="module")
def long(pictures, tmp_path_factory):
    """(settings, run, what it said) of a run to its end, with a moving average, a schedule and validation."""
    made_of = dataclasses.replace(
        Training(), train_glob=f"{pictures}/*.jpg", train_path=str(tmp_path_factory.mktemp("long") / "run"), epochs=3,
        steps_per_epoch=5, batchsize=2, patchsize=64, preprocess_threads=2, learning_rate=1e-3, lr_schedule="cosine",
        warmup_steps=4, ema=0.9, validation_glob=f"{pictures}/[01].jpg")
    run = run_of(made_of)
    return made_of, run, train(run)


def test_run_interrupted_within_an_epoch_ends_like_one_that_was_not(long, tmp_path):
    """Weights, Adam's moments and count, averages, schedule, patches and noise."""
    made_of, uninterrupted, _ = long
    made_of = dataclasses.replace(made_of, train_path=str(tmp_path / "run"))
    with pytest.raises(Interrupted, match="stopped at step 7 of 15; the same command goes on") as stopped:
        with_ctrl_c_in_step(run_of(made_of), 7).train()
    assert stopped.value.exit_code == 130
    resumed = run_of(made_of)
    assert resumed.resumed and int(resumed.steps) == 7
    resumed.train()
    expected = all_of(uninterrupted)
    assert expected.keys() == all_of(resumed).keys() and len(expected) > 150
    assert int(resumed.model.optimizer.iterations) == 15
    for name, value in all_of(resumed).items():
        # Threads add up sums in any order, so the last bit may differ; other noise would differ by a step, 1e-3.
        np.testing.assert_allclose(value, expected[name], rtol=1e-4, atol=2e-6, err_msg=name)


def test_lines_of_a_run_say_what_is_trained_and_how_each_epoch_went(long):
    _, _, lines = long
    assert len(lines) == 5
    assert lines[0].startswith(f"{SCRIPT} micro, ") and "lambda 0.01 of mse, 5 pictures" in lines[0]
    for n, line in enumerate(lines[1:4], 1):
        assert line.startswith(f"epoch {n}/3, step {5 * n} of 15: loss ") and "dB; validation " in line
    assert lines[4].startswith("model ") and "saved in" in lines[4]


def test_tables_of_the_saved_model_are_of_what_it_rounds(long):
    _, run, _ = long
    _, arrays = weights.read(run.folder.path("model"))
    assert not np.array_equal(arrays["y/cdf"], gaussian_tables().cdf)


def test_tensorboard_gets_scalars_of_each_epoch_and_reconstructions(long, pictures):
    made_of, _, said = long
    found = events(os.path.join(made_of.train_path, "logs"))
    for tag in ("loss", "bpp", "mse", "learning_rate", "validation/bpp", "validation/psnr"):
        assert [step for step, _ in found[tag]] == [1, 2, 3], tag
        assert all(np.isfinite(value) for _, value in found[tag])
    (loss, bpp, mse) = (found[tag][2][1] for tag in ("loss", "bpp", "mse"))
    assert loss == pytest.approx(bpp + 0.01 * mse, rel=1e-5) and f"loss {float(loss):.4f}" in said[3]
    assert found["learning_rate"][2][1] == pytest.approx(float(Schedule(made_of)(15)))
    assert tf.io.decode_png(found["original | reconstruction"][0][1][2]).shape == (64, 128, 3)
    for n in (1, 2):
        of_each_epoch = found[f"validation {n}: original | reconstruction"]
        assert len(of_each_epoch) == 3
        image = tf.io.decode_png(of_each_epoch[0][1][2]).numpy()
        np.testing.assert_array_equal(image[:, :112], images.read(f"{pictures}/{n - 1}.jpg").pixels)
        assert image.shape == (96, 224, 3) and not np.array_equal(image[:, :112], image[:, 112:])


def test_validation_measures_what_a_file_costs_and_shows(long, pictures):
    made_of, _, _ = long
    coder = loading.load(os.path.join(made_of.train_path, "model"))
    bits, psnr = [], []
    for n in (0, 1):
        pixels = np.asarray(Image.open(pictures / f"{n}.jpg"))
        compressed = coder.compress(pixels)
        bits.append(8 * len(compressed) / pixels.shape[0] / pixels.shape[1])
        psnr.append(metrics.psnr(pixels, coder.decompress(compressed)))
    found = events(os.path.join(made_of.train_path, "logs"))
    assert found["validation/psnr"][2][1] == pytest.approx(np.mean(psnr), abs=1e-3)
    # Loose: this model has hardly learned, and its likelihoods say a sixth more than its files have.
    assert 0.7 * np.mean(bits) < found["validation/bpp"][2][1] < 1.3 * np.mean(bits)


def test_what_is_saved_are_the_averages(long):
    made_of, run, _ = long
    coder_path = os.path.join(made_of.train_path, "model")
    about = json.loads(Path(coder_path, "model.json").read_text())
    assert about["steps"] == 15 and about["training"]["ema"] == 0.9 and about["preset"] == "micro"
    model, _ = weights.load(coder_path)
    means = {v.ref(): mean for mean, v in run.average.pairs}
    mine, saved, differ = weights.named_variables(run.model), weights.named_variables(model), 0
    for name, v in mine.items():
        np.testing.assert_array_equal(saved[name], means.get(v.ref(), v), err_msg=name)
        differ += not np.array_equal(saved[name], v)
    assert differ > len(mine) // 2


def test_what_is_saved_comes_with_its_graphs(long, stored):
    made_of, _, _ = long
    assert os.path.join(made_of.train_path, "model") in stored


def test_folder_of_a_run_is_a_model_too_with_its_averages(long):
    made_of, run, _ = long
    script, model = restore_model(made_of.train_path)
    assert script == SCRIPT and model.frozen
    assert len(model.trainable_variables) == len(run.average.pairs)
    for restored, (mean, v) in zip(model.trainable_variables, run.average.pairs):
        np.testing.assert_array_equal(restored, mean, err_msg=v.name)
    pixels = smooth(0)
    of_run, of_model = (loading.load(path) for path in (made_of.train_path, os.path.join(made_of.train_path, "model")))
    shown = [codec.decompress(codec.compress(pixels)) for codec in (of_run, of_model)]
    np.testing.assert_array_equal(*shown)   # their tables are others: a run has not seen what it rounds


def test_finished_run_started_again_only_saves(long, tmp_path, capsys):
    made_of, _, _ = long
    made_of = dataclasses.replace(made_of, model_path=str(tmp_path / "elsewhere"))
    run_of(made_of).train()
    assert "nothing is left to learn: step 15 is reached, and 15 are wanted" in capsys.readouterr().err
    stored = [np.load(os.path.join(folder, "weights.npz")) for folder in (
        os.path.join(made_of.train_path, "model"), made_of.model_path)]
    assert all(np.array_equal(stored[0][name], stored[1][name]) for name in stored[0].files)


@pytest.mark.parametrize("policy", [pytest.param("float32", marks=pytest.mark.slow), "mixed_bfloat16"])
def test_loss_falls_and_the_model_codes(settings, policy):
    made_of = settings(precision_policy=policy, epochs=2, steps_per_epoch=90, learning_rate=3e-3,
                       lr_schedule="constant")
    run = run_of(made_of)
    seen = {t.dtype for t in (run.model.g_a(tf.zeros((1, 64, 64, 3), run.model.transform_dtype)),
                              run.model.g_s(tf.zeros((1, 4, 4, 16), run.model.transform_dtype)))}
    assert seen == {tf.bfloat16 if policy == "mixed_bfloat16" else tf.float32}
    assert {v.dtype for v in run.model.trainable_variables} == {tf.float32}
    run.train()
    losses = [float(value) for _, value in events(os.path.join(made_of.train_path, "logs"))["loss"]]
    assert losses[1] < 0.7 * losses[0]
    coder = loading.load(os.path.join(made_of.train_path, "model"))
    pixels = smooth(0)
    restored = coder.decompress(coder.compress(pixels))
    assert metrics.mse(pixels, restored) < 0.8 * np.var(pixels.astype(float))


def test_similarity_is_learned_where_it_is_the_distortion(settings, tmp_path):
    Image.fromarray(smooth(0, 176, 176)).save(tmp_path / "a.png")
    run = run_of(settings(train_glob=str(tmp_path), distortion="ms-ssim", lmbda=8.0, patchsize=176, learning_rate=3e-3,
                          lr_schedule="constant"))
    batches = iter(run.source.batches(0))
    batch = next(batches)
    first = float(run.step(batch)["loss"])
    for _ in range(15):
        run.step(batch)
    loss, bpp, _ = run.model.losses_of(batch, training=False)
    assert float(loss) < 0.8 * first and first < 8.5
    x_hat = run.model.estimate(tf.cast(batch, tf.float32)).x_hat
    expected = bpp + 8 * tf.reduce_mean(ms_ssim_loss(tf.cast(batch, tf.float32), x_hat))
    assert float(loss) == pytest.approx(float(expected), rel=1e-4)


class StepClock(Clock):
    """One by which a step takes a minute."""

    def __init__(self, run, minutes):
        self._run, self._minutes = run, minutes

    @property
    def elapsed(self):
        return int(self._run.steps) / self._minutes


def test_minutes_end_a_run_with_a_checkpoint_and_a_model_and_the_schedule_ends_with_them(settings, tmp_path):
    run = run_of(settings(minutes=7.0, epochs=1000, lr_schedule="cosine"))
    run.clock = StepClock(run, 7)
    lines = train(run)
    assert lines[1].startswith("epoch 1/1000, step 5 of 5000: ")
    assert lines[2].startswith("epoch 2/1000, step 7 of 5000: ")
    assert lines[3] == "7 minutes are over at step 7 of 5000; the same command goes on from there"
    assert json.loads((tmp_path / "run" / "model" / "model.json").read_text())["steps"] == 7
    rates = [rate for _, rate in events(tmp_path / "run" / "logs")["learning_rate"]]
    expected = [1e-3 * (0.01 + 0.495 * (1 + np.cos(np.pi * n / 7))) for n in (4, 6)]
    np.testing.assert_allclose(rates, expected, rtol=1e-4)
    resumed = run_of(settings(minutes=7.0, epochs=1000))
    assert resumed.resumed and int(resumed.steps) == 7 and not resumed.clock.is_up


@pytest.mark.slow
def test_step_compiled_with_xla_learns_what_the_other_learns(settings, tmp_path):
    """Under other noise: XLA makes other numbers of a seed."""
    losses = []
    for xla in (False, True):
        run = run_of(settings(train_path=str(tmp_path / f"{xla}"), ema=0.9), xla=xla)
        batches = iter(run.source.batches(0))
        losses.append([float(run.step(next(batches))["loss"]) for _ in range(20)])
    assert losses[0][-1] < losses[0][0]
    np.testing.assert_allclose(*losses, rtol=0.01)


def test_weight_that_is_no_number_is_not_saved_though_the_loss_was_one(settings, tmp_path):
    """A gradient may break at the last step of an epoch, when the loss has been looked at."""
    run = run_of(settings())
    run.model.trainable_variables[3].assign(run.model.trainable_variables[3] * np.nan)
    with pytest.raises(NotFinite, match="a weight"):
        run._stop()
    assert run.checkpoints.latest is None


def test_pictures_that_all_break_are_one_line(settings, tmp_path):
    Image.fromarray(smooth(0)).save(tmp_path / "a.png")
    whole = bytearray((tmp_path / "a.png").read_bytes())
    whole[len(whole) // 2] ^= 0xFF      # it has its beginning and its end, and yet no one can decode it
    (tmp_path / "a.png").write_bytes(whole)
    run = run_of(settings(train_glob=f"{tmp_path}/*.png"))
    with pytest.raises(DataError, match=r"^too many pictures in a row can't be decoded$"):
        run.train()
