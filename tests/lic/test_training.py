"""Training runs: resumed exactly where they were, stopped by what can't go on, and what they leave behind."""

from __future__ import annotations

import contextlib
import dataclasses
import glob
import json
import math
import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from config import Training
from lic import codec, metrics, registry, training
from lic.errors import DataError, UsageError
from lic.training import Average, Run, Schedule, optimizer_of, restore_model

ROOT = Path(__file__).resolve().parents[2]
SCRIPT = "hypmqw2022"   # the one whose tiny model is traced fastest; the lines under test are the same for all


def smooth(seed, height=96, width=112) -> np.ndarray:
    rng = np.random.default_rng(seed)
    rows, columns = np.mgrid[:height, :width] / 20
    waves = [np.sin(rows * a + columns * b + c) for a, b, c in rng.uniform(0, 2, (3, 3))]
    return np.uint8(127 + 100 * np.stack(waves, -1))


@pytest.fixture(scope="module")
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


def run_of(made_of: Training) -> Run:
    return Run(SCRIPT, registry.preset(SCRIPT, "tiny"), made_of)


def all_of(run: Run) -> dict[str, np.ndarray]:
    """Everything that a run's future hangs on."""
    kept = {"model": run.model.variables, "optimizer": run.model.optimizer.variables(),
            "average": run.average.variables, "steps": [run.steps]}
    return {f"{name}/{i}": v.numpy() for name, variables in kept.items() for i, v in enumerate(variables)}


def with_ctrl_c_in_step(run: Run, number: int) -> Run:
    """Presses Ctrl-C while that step (from 1) is made."""
    batches = run.source.batches

    def pressed(start):
        for n, batch in enumerate(batches(start), start + 1):
            if n == number:
                os.kill(os.getpid(), signal.SIGINT)
            yield batch

    run.source = run.source._replace(batches=pressed)
    return run


def events(folder) -> dict[str, list]:
    """tag -> [(step, tensor)] of TensorBoard's files."""
    found: dict[str, list] = {}
    for path in sorted(glob.glob(os.path.join(folder, "*tfevents*"))):
        for record in tf.data.TFRecordDataset(path):
            event = tf.compat.v1.Event.FromString(record.numpy())
            for value in event.summary.value:
                found.setdefault(value.tag, []).append((event.step, tf.make_ndarray(value.tensor)))
    return found


# One run, never interrupted ------------------------------------------------------------------------------------------

@pytest.fixture(scope="module")
def long(pictures, tmp_path_factory):
    """(settings, run, what it said) of a run to its end, with a moving average, a schedule and validation."""
    folder = tmp_path_factory.mktemp("long")
    made_of = dataclasses.replace(
        Training(), train_glob=f"{pictures}/*.jpg", train_path=str(folder / "run"), epochs=3, steps_per_epoch=5,
        batchsize=2, patchsize=64, preprocess_threads=2, learning_rate=1e-3, lr_schedule="cosine", warmup_steps=4,
        ema=0.9, validation_glob=f"{pictures}/[01].jpg")
    run = run_of(made_of)
    said = _Said()
    with contextlib.redirect_stderr(said):
        run.train()
    return made_of, run, said.text


class _Said:
    """A stderr that is no terminal."""

    def __init__(self):
        self.text = ""

    def write(self, text):
        self.text += text

    def flush(self):
        pass

    def isatty(self):
        return False


def test_run_interrupted_within_an_epoch_ends_like_one_that_was_not(long, tmp_path):
    """Weights, Adam's moments and count, averages, schedule, patches and noise."""
    made_of, uninterrupted, _ = long
    made_of = dataclasses.replace(made_of, train_path=str(tmp_path / "run"))
    with pytest.raises(training.Interrupted, match="stopped at step 7 of 15; the same command goes on") as stopped:
        with_ctrl_c_in_step(run_of(made_of), 7).train()
    assert stopped.value.exit_code == 130
    resumed = run_of(made_of)
    assert resumed.resumed and int(resumed.steps) == 7
    resumed.train()
    expected = all_of(uninterrupted)
    assert expected.keys() == all_of(resumed).keys() and len(expected) > 300
    assert int(resumed.model.optimizer.iterations) == 15
    for name, value in all_of(resumed).items():
        # Threads add up sums in any order, so the last bit may differ; other noise would differ by a step, 1e-3.
        np.testing.assert_allclose(value, expected[name], rtol=1e-4, atol=2e-6, err_msg=name)


def test_lines_of_a_run_say_what_is_trained_and_how_each_epoch_went(long):
    _, _, said = long
    lines = said.splitlines()
    assert len(lines) == 5 and "\r" not in said
    assert lines[0].startswith(f"{SCRIPT} tiny, ") and "5 pictures" in lines[0] and "run'" in lines[0]
    for n, line in enumerate(lines[1:4], 1):
        assert line.startswith(f"epoch {n}/3, step {5 * n} of 15: loss ") and "dB; validation " in line
    assert lines[4].startswith("model ") and "saved in" in lines[4]


def test_tensorboard_gets_scalars_of_each_epoch_and_a_reconstruction(long):
    made_of, _, said = long
    found = events(os.path.join(made_of.train_path, "logs"))
    for tag in ("loss", "bpp", "mse", "learning_rate", "validation/bpp", "validation/psnr"):
        assert [step for step, _ in found[tag]] == [1, 2, 3], tag
        assert all(np.isfinite(value) for _, value in found[tag])
    (loss, bpp, mse) = (found[tag][2][1] for tag in ("loss", "bpp", "mse"))
    assert loss == pytest.approx(bpp + 0.01 * mse, rel=1e-5) and f"loss {float(loss):.4f}" in said.splitlines()[3]
    assert found["learning_rate"][2][1] == pytest.approx(float(Schedule(made_of)(15)))
    image = tf.io.decode_png(found["original | reconstruction"][0][1][2])
    assert image.shape == (64, 128, 3)


def test_validation_measures_what_a_file_costs_and_shows(long, pictures):
    made_of, _, _ = long
    coder = codec.load(os.path.join(made_of.train_path, "model"))
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
    assert about["steps"] == 15 and about["training"]["ema"] == 0.9 and about["preset"] == "tiny"
    from lic import weights
    model, _ = weights.load(coder_path)
    means = {v.ref(): mean for mean, v in run.average.pairs}
    mine, saved, differ = weights.named_variables(run.model), weights.named_variables(model), 0
    for name, v in mine.items():
        np.testing.assert_array_equal(saved[name], means.get(v.ref(), v), err_msg=name)
        differ += not np.array_equal(saved[name], v)
    assert differ > len(mine) // 2


def test_folder_of_a_run_is_a_model_too_with_its_averages(long):
    made_of, run, _ = long
    script, model = restore_model(made_of.train_path)
    assert script == SCRIPT and model.frozen
    assert len(model.trainable_variables) == len(run.average.pairs)
    for restored, (mean, v) in zip(model.trainable_variables, run.average.pairs):
        np.testing.assert_array_equal(restored, mean, err_msg=v.name)
    pixels = smooth(0)
    run_codec = codec.load(made_of.train_path)
    assert run_codec.compress(pixels) == codec.load(os.path.join(made_of.train_path, "model")).compress(pixels)


def test_finished_run_started_again_only_saves(long, tmp_path, capsys):
    made_of, _, _ = long
    made_of = dataclasses.replace(made_of, model_path=str(tmp_path / "elsewhere"))
    run_of(made_of).train()
    assert "going on from step 15 of 15" in capsys.readouterr().err
    stored = [np.load(os.path.join(folder, "weights.npz")) for folder in (
        os.path.join(made_of.train_path, "model"), made_of.model_path)]
    assert all(np.array_equal(stored[0][name], stored[1][name]) for name in stored[0].files)


# Learning ------------------------------------------------------------------------------------------------------------

@pytest.mark.parametrize("policy", ["float32", "mixed_bfloat16"])
def test_loss_falls_and_the_model_codes(settings, policy):
    made_of = settings(precision_policy=policy, epochs=2, steps_per_epoch=60, learning_rate=3e-3,
                       lr_schedule="constant")
    run = run_of(made_of)
    seen = {t.dtype for t in (run.model.g_a(tf.zeros((1, 64, 64, 3), run.model.transform_dtype)),
                              run.model.g_s(tf.zeros((1, 4, 4, 16), run.model.transform_dtype)))}
    assert seen == {tf.bfloat16 if policy == "mixed_bfloat16" else tf.float32}
    assert {v.dtype for v in run.model.trainable_variables} == {tf.float32}
    run.train()
    losses = [float(value) for _, value in events(os.path.join(made_of.train_path, "logs"))["loss"]]
    assert losses[1] < 0.5 * losses[0]
    coder = codec.load(os.path.join(made_of.train_path, "model"))
    pixels = smooth(0)
    restored = coder.decompress(coder.compress(pixels))
    assert metrics.mse(pixels, restored) < 0.8 * np.var(pixels.astype(float))


# Stopping ------------------------------------------------------------------------------------------------------------

def test_loss_that_is_no_number_stops_in_a_line_and_leaves_the_checkpoint(settings, tmp_path):
    run = run_of(settings())
    run._save_checkpoint()
    before = tf.train.latest_checkpoint(str(tmp_path / "run" / "checkpoints"))
    last = run.model.g_s.layers[-1].trainable_variables[0]
    last.assign(last * math.nan)
    with pytest.raises(DataError, match="loss is not a finite number at step 1: try a lower --learning_rate") as error:
        run.train()
    assert before in str(error.value) and "\n" not in str(error.value) and error.value.exit_code == 1
    assert tf.train.latest_checkpoint(str(tmp_path / "run" / "checkpoints")) == before
    assert run_of(settings()).resumed


def test_absurd_learning_rate_never_leaves_a_checkpoint_that_is_no_good(settings, tmp_path):
    run = run_of(settings(learning_rate=1e38, clip_norm=0.0, lr_schedule="constant"))
    with pytest.raises(DataError, match=r"not a finite number at step \d+: .*no checkpoint yet"):
        run.train()
    assert tf.train.latest_checkpoint(str(tmp_path / "run" / "checkpoints")) is None


def test_weight_that_is_no_number_is_not_saved_though_the_loss_was_one(settings, tmp_path):
    """A gradient may break at the last step of an epoch, when the loss has been looked at."""
    run = run_of(settings())
    run.model.trainable_variables[3].assign(run.model.trainable_variables[3] * math.nan)
    with pytest.raises(DataError, match="a weight is not a finite number"):
        run._stop()
    assert run.checkpoints.latest is None


def test_second_ctrl_c_does_not_wait(monkeypatch):
    before = signal.getsignal(signal.SIGINT)
    with training.Interrupts() as interrupts:
        signal.raise_signal(signal.SIGTERM)
        assert interrupts.asked
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
    assert signal.getsignal(signal.SIGINT) is before


# Schedule, average, clipping -----------------------------------------------------------------------------------------

@pytest.mark.parametrize(("fields", "expected"), [
    ({"lr_schedule": "constant"}, {0: 1, 500: 1, 999: 1}),
    ({"lr_schedule": "drop"}, {0: 1, 899: 1, 900: 0.1, 999: 0.1}),
    ({"lr_schedule": "cosine"}, {0: 1, 500: 0.505, 250: 0.01 + 0.99 * (2 + math.sqrt(2)) / 4, 1000: 0.01, 1200: 0.01}),
    ({"lr_schedule": "constant", "warmup_steps": 10}, {0: 0.1, 4: 0.5, 9: 1, 10: 1, 600: 1}),
    ({"lr_schedule": "drop", "warmup_steps": 10}, {0: 0.1, 899: 1, 950: 0.1}),
])
def test_learning_rate_follows_its_schedule(fields, expected):
    schedule = Schedule(Training(epochs=10, steps_per_epoch=100, learning_rate=0.02, **fields))
    for step, factor in expected.items():
        assert float(schedule(tf.constant(step, tf.int64))) == pytest.approx(0.02 * factor, rel=1e-5), step


def test_gradient_is_clipped_by_its_norm_over_all_weights():
    for clip, factor in ((1.0, 1 / 500), (0.0, 1.0), (1000.0, 1.0)):
        a, b = tf.Variable([0.0]), tf.Variable([0.0])
        optimizer = optimizer_of(Training(clip_norm=clip))
        optimizer.apply_gradients([(tf.constant([300.0]), a), (tf.constant([400.0]), b)])
        moments = [float(optimizer.get_slot(v, "m")[0]) for v in (a, b)]
        np.testing.assert_allclose(moments, [30 * factor, 40 * factor], rtol=1e-5)


def test_average_follows_the_weights_fast_at_first_and_slowly_later():
    v = tf.Variable([0.0])
    average = Average([v], 0.99)
    update = tf.function(average.update, autograph=False)
    v.assign([1.0])
    for steps, decay in ((7, None), (8, 9 / 18), (16, 17 / 26), (10_000, 0.99), (10_003, None)):
        before = float(average.variables[0][0])
        update(tf.constant(steps, tf.int64))
        expected = before if decay is None else 1 - (1 - before) * decay ** 8
        assert float(average.variables[0][0]) == pytest.approx(expected, rel=1e-6)
    kept = average.variables[0].numpy()
    with average.in_place():
        np.testing.assert_array_equal(v, kept)
    assert float(v[0]) == 1 and np.array_equal(average.variables[0], kept)


# Noise and pictures --------------------------------------------------------------------------------------------------

def test_noise_is_a_function_of_seed_and_step():
    def drawn(seed, at):
        step = tf.Variable(at, dtype=tf.int64)

        @tf.function
        def draw():
            with training.noise_from(seed, step):
                noise = tf.random.uniform((2, 50), minval=-.5, maxval=.5), tf.random.uniform((50,), -.5, .5)
            step.assign_add(1)
            return tf.concat([tf.reshape(n, (-1,)) for n in noise], 0)

        return [draw().numpy() for _ in range(3)]

    original = tf.random.uniform
    first = drawn(1, 0)
    np.testing.assert_array_equal(first[1:], drawn(1, 1)[:2])
    every = np.stack([*first, *drawn(2, 0)])
    assert np.abs(np.corrcoef(every) - np.eye(6)).max() < 0.5 and np.abs(every).max() < 0.5
    assert len(np.unique(every)) > 0.99 * every.size and tf.random.uniform is original


def broken_png(path, pixels):
    """A PNG with its beginning and its end that no one can decode."""
    Image.fromarray(pixels).save(path)
    whole = bytearray(path.read_bytes())
    whole[len(whole) // 2] ^= 0xFF
    path.write_bytes(whole)


def test_pictures_that_all_break_are_one_line(settings, tmp_path):
    broken_png(tmp_path / "a.png", smooth(0))
    run = run_of(settings(train_glob=f"{tmp_path}/*.png"))
    with pytest.raises(DataError, match=r"^too many pictures in a row can't be decoded$"):
        run.train()


# Misuse --------------------------------------------------------------------------------------------------------------

@pytest.mark.parametrize(("fields", "words"), [
    ({"epochs": 0}, "--epochs must be at least 1"),
    ({"steps_per_epoch": -3}, "--steps_per_epoch must be at least 1"),
    ({"batchsize": 0}, "--batchsize"), ({"patchsize": 0}, "--patchsize"), ({"preprocess_threads": 0}, "--preprocess"),
    ({"lmbda": -1.0}, "--lambda must be a positive number"), ({"lmbda": math.nan}, "--lambda"),
    ({"learning_rate": 0.0}, "--learning_rate"), ({"learning_rate": math.inf}, "--learning_rate"),
    ({"clip_norm": -1.0}, "--clip_norm"), ({"warmup_steps": -1}, "--warmup_steps"),
    ({"ema": 1.0}, "--ema"), ({"ema": math.nan}, "--ema"), ({"seed": -1}, "--seed"), ({"seed": 2 ** 32}, "--seed"),
    ({"lr_schedule": "linear"}, "'linear' is not one of drop, cosine, constant"),
    ({"precision_policy": "float16"}, "'float16' is not one of float32, mixed_bfloat16"),
    ({"train_glob": "nowhere/*.jpg"}, "matches no JPEG"),
])
def test_wrong_value_is_misuse_in_a_line_and_leaves_nothing_behind(settings, tmp_path, fields, words):
    with pytest.raises(UsageError) as error:
        run_of(settings(**fields))
    assert words in str(error.value) and "\n" not in str(error.value)
    assert not os.listdir(tmp_path)


def test_folder_of_another_run_is_refused_and_left_alone(settings, tmp_path):
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "run.json").write_text('{"script": "zyc2022", "preset": "tiny", "settings": {}}')
    with pytest.raises(UsageError, match="holds a run of zyc2022 tiny: give another --train_path"):
        run_of(settings())
    assert "zyc2022" in (tmp_path / "run" / "run.json").read_text()
    for text in ("", "[]", "{}", "\0"):
        (tmp_path / "run" / "run.json").write_text(text)
        with pytest.raises(DataError, match="can't be read as the description of a run"):
            run_of(settings())


@pytest.mark.parametrize("flag", ["train_path", "model_path"])
def test_folder_that_cannot_be_made_is_one_line_before_the_training(settings, tmp_path, flag):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(DataError, match=f"--{flag} '.*file/run' can't be made: Not a directory"):
        run_of(settings(**{flag: str(tmp_path / "file" / "run")}))


def test_average_cannot_be_switched_on_in_the_middle_of_a_run(settings, tmp_path):
    run = run_of(settings())
    run._save_checkpoint()
    with pytest.raises(DataError, match="does not fit this run"):
        run_of(settings(ema=0.9))
    assert json.loads((tmp_path / "run" / "run.json").read_text())["settings"]["ema"] == 0
    restore_model(str(tmp_path / "run"))


def test_run_without_a_checkpoint_is_no_model_yet(tmp_path):
    (tmp_path / "run.json").write_text(json.dumps({"script": SCRIPT, "preset": "tiny", "settings": {}}))
    with pytest.raises(DataError, match="has no checkpoint yet"):
        restore_model(str(tmp_path))


def test_validation_that_cannot_be_read_is_told_of_before_the_training(settings, tmp_path):
    with pytest.raises(UsageError, match=r"--validation_glob '.*' matches no file"):
        training.Validation(f"{tmp_path}/*.png", None)
    (tmp_path / "a.png").write_bytes(b"no picture")
    with pytest.raises(DataError, match=r"a\.png"):
        training.Validation(f"{tmp_path}/*.png", None)


# Through the door ----------------------------------------------------------------------------------------------------

def start(*arguments) -> subprocess.Popen:
    return subprocess.Popen([sys.executable, str(ROOT / "lsk2023.py"), *map(str, arguments)], cwd=ROOT, text=True,
                            stdout=subprocess.PIPE, stderr=subprocess.PIPE)


def lines_until(process, words: str) -> list[str]:
    seen = []
    for line in process.stderr:
        seen.append(line.rstrip("\n"))
        if words in line:
            return seen
    raise AssertionError(f"'{words}' never came: {seen}")


@pytest.mark.slow
def test_run_that_is_killed_and_then_interrupted_goes_on_from_its_checkpoints_to_a_model(pictures, tmp_path):
    command = ("train", "--preset", "tiny", "--train_glob", f"{pictures}/*.jpg", "--train_path", tmp_path / "run",
               "--epochs", 3, "--steps_per_epoch", 40, "--batchsize", 2, "--patchsize", 64, "--learning_rate", "1e-3")

    killed = start(*command)
    lines = lines_until(killed, "epoch 1/3, step 40 of 120: loss ")
    killed.kill()          # somewhere in the second epoch
    killed.communicate()
    assert len(lines) == 2 and "lsk2023 tiny, " in lines[0] and "5 pictures" in lines[0]

    interrupted = start(*command)
    lines = lines_until(interrupted, "epoch 2/3, step 80 of 120: loss ")
    assert lines[1] == "going on from step 40 of 120" and len(lines) == 3
    interrupted.send_signal(signal.SIGINT)
    rest = interrupted.communicate(timeout=120)[1].splitlines()
    assert interrupted.returncode == 130 and len(rest) == 1
    step = int(rest[0].split("stopped at step ")[1].split(" of 120")[0])
    assert 80 < step < 120

    script, model = restore_model(str(tmp_path / "run"))     # an interrupted run is a model too
    assert script == "lsk2023" and model.frozen

    last = start(*command, "--model_path", tmp_path / "model")
    said = last.communicate(timeout=300)[1].splitlines()
    assert last.returncode == 0 and said[1] == f"going on from step {step} of 120"
    assert said[2].startswith("epoch 3/3, step 120 of 120: loss ") and len(said) == 4
    assert json.loads((tmp_path / "model" / "model.json").read_text())["steps"] == 120

    compress = start("compress", pictures / "0.jpg", tmp_path / "0.tfci", "--model_path", tmp_path / "model")
    assert compress.communicate(timeout=120)[1] == "" and compress.returncode == 0
    pixels = codec.load(str(tmp_path / "model")).decompress((tmp_path / "0.tfci").read_bytes())
    assert pixels.shape == (96, 112, 3)


def test_bad_settings_and_bad_pictures_leave_by_their_exit_codes(tmp_path):
    (tmp_path / "small.png").write_bytes(b"no picture")
    for arguments, code, words in (
            (("--epochs", 0), 2, "--epochs must be at least 1"),
            (("--train_glob", f"{tmp_path}/*.png"), 1, "none of the 1 pictures")):
        process = start("train", "--preset", "tiny", *arguments, "--train_path", tmp_path / "run")
        said = process.communicate(timeout=120)[1]
        assert process.returncode == code and said.startswith("lsk2023: ") and words in said
        assert said.count("\n") == 1 and "Traceback" not in said
