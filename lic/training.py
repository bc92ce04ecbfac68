"""Training from a folder of pictures: checkpoints, resuming, schedules, TensorBoard.

A run lives in `train_path`: checkpoints, logs, and `run.json` with what it trains. Started again, it goes on from its
last checkpoint with the same step, optimizer state, schedule, patches and noise: every random choice after the first
weights is a function of the seed and the step.
"""

from __future__ import annotations

import contextlib
import dataclasses
import glob
import itertools
import json
import math
import os
import signal
import sys
import threading

import numpy as np
import tensorflow as tf
from tqdm import tqdm

import config
from lic import data, files, images, metrics, registry, step_state, weights
from lic.errors import DataError, UsageError, UserError
from lic.model import STRIDE

_EMA_EVERY = 8    # steps; an average over each would cost as many operations as the optimizer
_LOOK_EVERY = 20  # steps; reading the figures makes the host wait for the device


class Interrupted(UserError):
    """Somebody stopped a run; it was saved first (exit code 130)."""

    exit_code = 130


class Schedule(tf.keras.optimizers.schedules.LearningRateSchedule):
    """Linear warm-up, then constant, cosine to a hundredth, or a drop to a tenth over the last tenth of the steps."""

    def __init__(self, settings: config.Training):
        self.settings = settings

    def __call__(self, step):
        s = self.settings
        step, total = tf.cast(step, tf.float32), float(max(1, s.epochs * s.steps_per_epoch))
        if s.lr_schedule == "cosine":
            factor = 0.01 + 0.99 * 0.5 * (1 + tf.cos(math.pi * tf.minimum(step / total, 1.0)))
        elif s.lr_schedule == "drop":
            factor = tf.where(step < 0.9 * total, 1.0, 0.1)
        else:
            factor = tf.constant(1.0)
        return s.learning_rate * factor * tf.minimum((step + 1) / max(1, s.warmup_steps), 1.0)

    def get_config(self):
        return dataclasses.asdict(self.settings)


class Average:
    """Exponential moving average of the weights; over few steps the decay is lower, to forget the first weights."""

    def __init__(self, variables, decay: float):
        self.decay = decay
        self.pairs = [(tf.Variable(v, trainable=False), v) for v in variables] if decay else []
        self.variables = [mean for mean, _ in self.pairs]

    def update(self, steps: tf.Tensor) -> None:
        """To be called after each step, inside a `tf.function`."""
        if self.pairs:
            tf.cond(steps % _EMA_EVERY == 0, lambda: self._move(tf.cast(steps, tf.float32)), tf.no_op)

    def _move(self, steps):
        rate = 1 - tf.minimum(self.decay, (1 + steps) / (10 + steps)) ** _EMA_EVERY
        return tf.group(*[mean.assign_add(rate * (v - mean)) for mean, v in self.pairs])

    @contextlib.contextmanager
    def in_place(self):
        """The averages instead of the weights while it lasts."""
        self._swap()
        try:
            yield
        finally:
            self._swap()

    def _swap(self) -> None:
        for mean, v in self.pairs:
            kept = v.numpy()
            v.assign(mean)
            mean.assign(kept)


@contextlib.contextmanager
def noise_from(seed: int, step: tf.Tensor):
    """While a training step is traced in here, its noise is a function of the seed and the step.

    TFC draws it from `tf.random.uniform`, whose state stands in no checkpoint, and offers no other way.
    """
    draws, original = itertools.count(), tf.random.uniform

    def uniform(shape, minval=0, maxval=None, dtype=tf.float32, **_):
        key = tf.stack([tf.convert_to_tensor(seed, tf.int64) * 7919 + next(draws), step])
        return tf.random.stateless_uniform(shape, key, minval, maxval, dtype)

    tf.random.uniform = uniform
    try:
        yield
    finally:
        tf.random.uniform = original


class Interrupts:
    """While it is entered, the first Ctrl-C (or SIGTERM) is only noted, so that it finds a run between two steps.

    The second acts at once.
    """

    def __init__(self):
        self.asked = False
        self._before: dict = {}

    def __enter__(self):
        if threading.current_thread() is threading.main_thread():  # others may not set handlers
            self._before = {s: signal.signal(s, self._note) for s in (signal.SIGINT, signal.SIGTERM)}
        return self

    def __exit__(self, *_):
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _note(self, *_):
        if self.asked:
            raise KeyboardInterrupt
        self.asked = True


class Validation:
    """Whole pictures, measured with rounded symbols as a file has them.

    Args:
      pattern: their glob; none where it is empty.
      model: what is measured.
    Raises:
      UsageError: nothing matches. DataError: one can't be read.
    """

    def __init__(self, pattern: str, model):
        self.paths = sorted(filter(os.path.isfile, glob.glob(pattern, recursive=True)))
        if pattern and not self.paths:
            raise UsageError(f"--validation_glob '{pattern}' matches no file")
        for path in self.paths:
            images.read(path)   # a broken one is told of now, not after the first epoch

        def measure(pixels):
            estimate = model.estimate(tf.cast(pixels[None], tf.float32))
            x_hat = tf.cast(tf.round(tf.clip_by_value(estimate.x_hat[0], 0, 255)), tf.uint8)
            return x_hat, estimate.bits_y[0] + estimate.bits_z[0]

        self._measure = tf.function(measure, input_signature=[tf.TensorSpec((None, None, 3), tf.uint8)],
                                    autograph=False)

    def figures(self) -> dict[str, float]:
        """Means over the pictures."""
        rows = [self._figures_of(images.read(path).pixels) for path in self.paths]
        bpp, psnr = np.mean(rows, 0)
        return {"validation/bpp": float(bpp), "validation/psnr": float(psnr)}

    def _figures_of(self, pixels: np.ndarray) -> tuple[float, float]:
        x_hat, bits = self._measure(tf.constant(pixels))
        return float(bits) / (pixels.shape[0] * pixels.shape[1]), metrics.psnr(pixels, x_hat.numpy())


def optimizer_of(settings: config.Training) -> tf.keras.optimizers.legacy.Optimizer:
    """Adam. Keras' legacy form: one fused operation a weight, where the new form takes twenty-five."""
    return tf.keras.optimizers.legacy.Adam(Schedule(settings), global_clipnorm=settings.clip_norm or None)


def _check(settings: config.Training) -> None:
    for name in ("epochs", "steps_per_epoch", "batchsize", "patchsize", "preprocess_threads"):
        if getattr(settings, name) < 1:
            raise UsageError(f"--{name} must be at least 1")
    for name, flag in (("lmbda", "lambda"), ("learning_rate", "learning_rate")):
        if not (getattr(settings, name) > 0 and math.isfinite(getattr(settings, name))):
            raise UsageError(f"--{flag} must be a positive number")
    for name in ("warmup_steps", "clip_norm"):
        if not (getattr(settings, name) >= 0 and math.isfinite(getattr(settings, name))):
            raise UsageError(f"--{name} must be 0 or a positive number")
    if not 0 <= settings.ema < 1:
        raise UsageError("--ema must be at least 0 and less than 1")
    if not 0 <= settings.seed < 2 ** 32:
        raise UsageError("--seed must be a number from 0 to 4294967295")
    _check_choice("lr_schedule", settings.lr_schedule, ("drop", "cosine", "constant"))
    _check_choice("precision_policy", settings.precision_policy, config.CHOICES["precision_policy"])


def _check_choice(name: str, value: str, allowed: tuple[str, ...]) -> None:
    if value not in allowed:
        raise UsageError(f"--{name} '{value}' is not one of {', '.join(allowed)}")


def _make_folder(flag: str, path: str) -> None:
    try:
        path.encode()
        os.makedirs(path, exist_ok=True)
    except UnicodeEncodeError:
        raise DataError(f"--{flag} '{files.shown(path)}': TensorFlow writes only under names of UTF-8") from None
    except OSError as error:
        raise DataError(f"--{flag} '{files.shown(path)}' can't be made: {error.strerror}") from None


def _psnr(mse: float) -> float:
    return -10 * math.log10(max(mse, 1e-9) / 255 ** 2)


def _say(text: str) -> None:
    tqdm.write(files.shown(text), file=sys.stderr)   # also where a bar stands


class Run:
    """One training run and its folder.

    Args:
      script, preset: what is trained.
      settings: how.
    """

    def __init__(self, script: str, preset: config.Preset, settings: config.Training):
        _check(settings)
        self.script, self.preset, self.settings = script, preset, settings
        self._check_folder()
        self.source = data.open_source(settings)
        self._make_folders()
        tf.keras.utils.set_random_seed(settings.seed)
        precision = "bfloat16" if settings.precision_policy == "mixed_bfloat16" else "float32"
        self.model = registry.build(script, preset, precision=precision)
        self.model.compile(optimizer_of(settings), None if preset.lambdas else settings.lmbda)
        # Made by the first step, the optimizer's variables would have it traced twice: a minute for large models.
        self.model.optimizer._create_all_weights(self.model.trainable_variables)
        self.average = Average(self.model.trainable_variables, settings.ema)
        self.validation = Validation(settings.validation_glob, self.model)
        self.steps = tf.Variable(0, dtype=tf.int64, trainable=False)
        self.checkpoint = tf.train.Checkpoint(model=self.model, optimizer=self.model.optimizer, steps=self.steps,
                                              average=self.average.variables)
        self.manager = tf.train.CheckpointManager(self.checkpoint, self._path("checkpoints"), max_to_keep=2)
        self.resumed = self._restore()
        self._claim_folder()
        self.log = tf.summary.create_file_writer(self._path("logs"))
        self.step = tf.function(self._step, autograph=False, reduce_retracing=True)
        self._finite = tf.function(self._all_finite, autograph=False)

    @property
    def total(self) -> int:
        """Steps of the whole run."""
        return self.settings.epochs * self.settings.steps_per_epoch

    def _path(self, *names: str) -> str:
        return os.path.join(self.settings.train_path, *names)

    def _check_folder(self) -> None:
        """Refuses a folder in which something else was trained."""
        if not os.path.exists(self._path("run.json")):
            return
        try:
            with open(self._path("run.json"), encoding="utf-8") as file:
                other = json.load(file)
            theirs = other["script"], other["preset"]
        except (OSError, ValueError, KeyError, TypeError):
            raise DataError(f"'{self._path('run.json')}' can't be read as the description of a run: give another "
                            "--train_path") from None
        if theirs != (self.script, self.preset.name):
            raise UsageError(f"'{self.settings.train_path}' holds a run of {theirs[0]} {theirs[1]}: give another "
                             "--train_path")

    def _make_folders(self) -> None:
        """Also the model's: better now than after the training."""
        for flag in ("train_path", "model_path"):
            if getattr(self.settings, flag):
                _make_folder(flag, getattr(self.settings, flag))

    def _claim_folder(self) -> None:
        """Writes down what is trained; only once it is sure that this run can go on with what stands there."""
        about = {"script": self.script, "preset": self.preset.name, "settings": dataclasses.asdict(self.settings)}
        files.write_atomically(self._path("run.json"), json.dumps(about, indent=2).encode())

    def _restore(self) -> bool:
        latest = self.manager.latest_checkpoint
        further = step_state.further(self.settings.train_path, latest)
        if further:
            step_state.restore(further, step_state.variables(self.model, self.average, self.steps))
            return True
        if latest is None:
            return False
        try:
            self.checkpoint.restore(latest).assert_existing_objects_matched()
        except (AssertionError, ValueError, tf.errors.OpError):
            raise DataError(f"checkpoint '{latest}' does not fit this run (other --ema, or damaged): give another "
                            "--train_path") from None
        return True

    def train(self) -> None:
        """Trains to the end and saves the model.

        Raises:
          Interrupted: by Ctrl-C or SIGTERM; a checkpoint was written. DataError: it can't go on.
        """
        self._announce()
        batches = iter(self.source.batches(int(self.steps)))
        try:
            with Interrupts() as interrupts:
                while int(self.steps) < self.total:
                    self._train_epoch(batches, interrupts)
        except tf.errors.ResourceExhaustedError:
            raise DataError("not enough memory: try a smaller --batchsize or --patchsize") from None
        except tf.errors.InvalidArgumentError as error:
            if "Dataset was empty" not in str(error):
                raise
            raise DataError("too many pictures in a row can't be decoded") from None
        self.save(self.settings.model_path or self._path("model"))

    def _announce(self) -> None:
        s, parameters = self.settings, sum(int(tf.size(v)) for v in self.model.trainable_variables)
        _say(f"{self.script} {self.preset.name}, {parameters:,} weights, lambda {s.lmbda:g}, {self.source.size} "
             f"pictures; checkpoints and logs in '{s.train_path}'")
        if s.patchsize % STRIDE:
            _say(f"--patchsize {s.patchsize} is padded to {s.patchsize + -s.patchsize % STRIDE} inside the model: "
                 f"multiples of {STRIDE} waste nothing")
        if self.resumed:
            _say(f"going on from step {int(self.steps)} of {self.total}")

    def _step(self, batch):
        """All that changes in a step, in one function: an interruption finds either all of it done or nothing."""
        with noise_from(self.settings.seed, self.steps):
            values = self.model.train_step(batch)
        self.average.update(self.steps.assign_add(1))
        return values

    def _train_epoch(self, batches, interrupts: Interrupts) -> None:
        epoch, done = divmod(int(self.steps), self.settings.steps_per_epoch)
        if not done:
            for metric in self.model.metrics:
                metric.reset_state()
        bar = tqdm(total=self.settings.steps_per_epoch, initial=done, unit="step", mininterval=1.0, leave=False,
                   desc=f"epoch {epoch + 1}/{self.settings.epochs}", disable=not sys.stderr.isatty())
        with bar:
            for i in range(done, self.settings.steps_per_epoch):
                batch = next(batches)
                values = self.step(batch)
                if i % _LOOK_EVERY == 0 or i + 1 == self.settings.steps_per_epoch:
                    bar.set_postfix_str(self._figures(values), refresh=False)
                bar.update()
                if interrupts.asked:
                    self._stop()
        self._save_checkpoint()
        self._report(epoch, batch, self._figures(values))

    def _stop(self) -> None:
        self._save_checkpoint()
        raise Interrupted(f"stopped at step {int(self.steps)} of {self.total}; the same command goes on from there")

    def _figures(self, values) -> str:
        """The epoch's means so far in words; stops at a loss that is no number."""
        figures = {name: float(v) for name, v in values.items()}
        if not all(map(math.isfinite, figures.values())):
            self._refuse("the loss")
        return f"loss {figures['loss']:.4f}, {figures['bpp']:.3f} bpp, {_psnr(figures['mse']):.2f} dB"

    def _refuse(self, what: str) -> None:
        last = self.manager.latest_checkpoint
        raise DataError(f"{what} is not a finite number at step {int(self.steps)}: try a lower --learning_rate or "
                        f"--clip_norm ({'the last good checkpoint is ' + last if last else 'no checkpoint yet'})")

    def _all_finite(self):
        return tf.reduce_all([tf.reduce_all(tf.math.is_finite(v)) for v in self.model.trainable_variables])

    def _save_checkpoint(self) -> None:
        """Writes one, unless it would take the place of a good one with weights that are no numbers."""
        if not self._finite():
            self._refuse("a weight")
        try:
            self.manager.save()
        except tf.errors.OpError as error:
            reason = str(error.message).splitlines()[0].split("; ")[-1].split(" [Op:")[0][:120]
            raise DataError(f"a checkpoint can't be written to '{self._path('checkpoints')}': {reason}") from None

    def _report(self, epoch: int, batch, figures: str) -> None:
        """A line; to TensorBoard the epoch's means, the learning rate, and two patches beside their reconstructions."""
        validated = self._validate()
        scalars = {**{m.name: m.result() for m in self.model.metrics}, **validated,
                   "learning_rate": Schedule(self.settings)(self.steps)}
        with self.log.as_default(step=epoch + 1):
            for name, value in scalars.items():
                tf.summary.scalar(name, value)
            tf.summary.image("original | reconstruction", self._beside_reconstructions(batch[:2]))
        self.log.flush()
        if validated:
            figures += f"; validation {validated['validation/bpp']:.3f} bpp, {validated['validation/psnr']:.2f} dB"
        _say(f"epoch {epoch + 1}/{self.settings.epochs}, step {int(self.steps)} of {self.total}: {figures}")

    def _validate(self) -> dict[str, float]:
        if not self.validation.paths:
            return {}
        with self.average.in_place():
            return self.validation.figures()

    def _beside_reconstructions(self, x: tf.Tensor) -> tf.Tensor:
        estimate = self.model.estimate(tf.cast(x, tf.float32))
        return tf.concat([x, tf.cast(tf.round(tf.clip_by_value(estimate.x_hat, 0, 255)), tf.uint8)], 2)

    def save(self, folder: str, half: bool = False) -> bytes:
        """Writes the model (its averaged weights, if there are any) with fresh range-coding tables."""
        _make_folder("model_path", folder)
        settings = dataclasses.asdict(self.settings)
        with self.average.in_place():
            self.model.freeze()
            identity = weights.save(self.model, self.script, folder, half, training=settings, steps=int(self.steps))
        _say(f"model {identity.hex()} saved in '{folder}'")
        return identity


def restore_model(folder: str, **kwargs):
    """(script, frozen model) of a run's last checkpoint, also of one that was interrupted.

    Raises:
      DataError: there is no run or no checkpoint.
    """
    try:
        with open(os.path.join(folder, "run.json"), encoding="utf-8") as file:
            run = json.load(file)
        script, preset = run["script"], registry.preset(run["script"], run["preset"])
    except (OSError, ValueError, KeyError, TypeError):
        raise DataError(f"no model in '{folder}': it has neither model.json nor run.json") from None
    latest = tf.train.latest_checkpoint(os.path.join(folder, "checkpoints"))
    further = step_state.further(folder, latest)
    if latest is None and further is None:
        raise DataError(f"the run in '{folder}' has no checkpoint yet")
    model = registry.build(script, preset, **kwargs)
    if further:
        step_state.restore_model(further, model)
        model.freeze()
        return script, model
    try:
        averaged = any(name.startswith("average/") for name, _ in tf.train.list_variables(latest))
        averages = [tf.Variable(v) for v in model.trainable_variables] if averaged else []
        status = tf.train.Checkpoint(model=model, average=averages).restore(latest).expect_partial()
        status.assert_existing_objects_matched()
    except (AssertionError, ValueError, tf.errors.OpError):
        raise DataError(f"checkpoint '{latest}' is damaged, or of another version") from None
    for mean, v in zip(averages, model.trainable_variables):
        v.assign(mean)
    model.freeze()
    return script, model
