"""Training from a folder of pictures: checkpoints, resuming, schedules, TensorBoard.

A run lives in `train_path`: checkpoints, logs, and `run.json` with what it trains. Started again, it goes on from its
last checkpoint with the same step, optimizer state, schedule and patches.
"""

from __future__ import annotations

import dataclasses
import json
import math
import os
import sys

import tensorflow as tf
from tqdm import tqdm

import config
from lic import data, files, registry, weights
from lic.errors import DataError, UsageError

_EMA_EVERY = 8   # steps; an average over each would cost as many operations as the optimizer


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
    """Exponential moving average of the weights."""

    def __init__(self, variables, decay: float):
        self.decay = decay ** _EMA_EVERY
        self.pairs = [(tf.Variable(v, trainable=False), v) for v in variables] if decay else []
        self.variables = [mean for mean, _ in self.pairs]
        self.update = tf.function(self._update, autograph=False)

    def _update(self):
        for mean, v in self.pairs:
            mean.assign_add((1 - self.decay) * (v - mean))

    def swap(self) -> None:
        """Exchanges weights and averages."""
        for mean, v in self.pairs:
            kept = v.numpy()
            v.assign(mean)
            mean.assign(kept)


def optimizer_of(settings: config.Training) -> tf.keras.optimizers.legacy.Optimizer:
    """Adam. Keras' legacy form: one fused operation a weight, where the new form takes twenty-five."""
    return tf.keras.optimizers.legacy.Adam(Schedule(settings), global_clipnorm=settings.clip_norm or None)


def _check(settings: config.Training) -> None:
    for name in ("epochs", "steps_per_epoch", "batchsize", "patchsize", "preprocess_threads"):
        if getattr(settings, name) < 1:
            raise UsageError(f"--{name} must be at least 1")
    if settings.lr_schedule not in ("drop", "cosine", "constant"):
        raise UsageError(f"--lr_schedule '{settings.lr_schedule}' is not one of drop, cosine, constant")
    if settings.precision_policy not in config.CHOICES["precision_policy"]:
        raise UsageError(f"--precision_policy '{settings.precision_policy}' is not one of "
                         f"{', '.join(config.CHOICES['precision_policy'])}")
    if not (settings.lmbda > 0 and math.isfinite(settings.lmbda)):
        raise UsageError("--lambda must be a positive number")
    if not (settings.learning_rate > 0 and math.isfinite(settings.learning_rate)):
        raise UsageError("--learning_rate must be a positive number")


class Run:
    """One training run and its folder.

    Args:
      script, preset: what is trained.
      settings: how.
    """

    def __init__(self, script: str, preset: config.Preset, settings: config.Training):
        _check(settings)
        self.script, self.preset, self.settings = script, preset, settings
        self._claim_folder()
        tf.keras.utils.set_random_seed(settings.seed)
        precision = "bfloat16" if settings.precision_policy == "mixed_bfloat16" else "float32"
        self.model = registry.build(script, preset, precision=precision)
        self.model.compile(optimizer_of(settings), settings.lmbda)
        self.average = Average(self.model.trainable_variables, settings.ema)
        self.steps = tf.Variable(0, dtype=tf.int64, trainable=False)
        self.checkpoint = tf.train.Checkpoint(model=self.model, optimizer=self.model.optimizer, steps=self.steps,
                                              average=self.average.variables)
        self.manager = tf.train.CheckpointManager(self.checkpoint, self._path("checkpoints"), max_to_keep=2)
        self.log = tf.summary.create_file_writer(self._path("logs"))
        self.resumed = self._restore()

    def _path(self, *names: str) -> str:
        return os.path.join(self.settings.train_path, *names)

    def _claim_folder(self) -> None:
        """Refuses a folder in which something else was trained."""
        try:
            os.makedirs(self.settings.train_path, exist_ok=True)
        except OSError as error:
            raise DataError(f"--train_path '{self.settings.train_path}' can't be made: {error.strerror}") from None
        mine = {"script": self.script, "preset": self.preset.name}
        if os.path.exists(self._path("run.json")):
            with open(self._path("run.json"), encoding="utf-8") as file:
                other = json.load(file)
            if {k: other.get(k) for k in mine} != mine:
                raise UsageError(f"'{self.settings.train_path}' holds a run of {other.get('script')} "
                                 f"{other.get('preset')}: give another --train_path")
        text = json.dumps({**mine, "settings": dataclasses.asdict(self.settings)}, indent=2)
        files.write_atomically(self._path("run.json"), text.encode())

    def _restore(self) -> bool:
        latest = self.manager.latest_checkpoint
        if latest is None:
            return False
        try:
            self.checkpoint.restore(latest).assert_existing_objects_matched()
        except (AssertionError, ValueError, tf.errors.OpError):
            raise DataError(f"checkpoint '{latest}' does not fit this run (other --ema, or damaged): give another "
                            "--train_path") from None
        return True

    def train(self) -> None:
        """Trains to the end and saves the model."""
        settings, total = self.settings, self.settings.epochs * self.settings.steps_per_epoch
        start = int(self.steps)
        if self.resumed:
            print(f"going on from step {start} of {total}", file=sys.stderr)
        batches = iter(data.patches(settings, start)) if start < total else None
        step = tf.function(self.model.train_step, autograph=False, reduce_retracing=True)
        while int(self.steps) < total:
            epoch = int(self.steps) // settings.steps_per_epoch
            try:
                self._epoch(epoch, step, batches)
            except KeyboardInterrupt:
                self.manager.save()
                print(f"stopped at step {int(self.steps)}; the same command goes on from here", file=sys.stderr)
                raise
            self.manager.save()
            self._report(epoch, next(batches))
        self.save(settings.model_path or self._path("model"))

    def _epoch(self, epoch: int, step, batches) -> None:
        settings = self.settings
        for metric in self.model.metrics:
            metric.reset_state()
        done = int(self.steps) % settings.steps_per_epoch
        bar = tqdm(total=settings.steps_per_epoch, initial=done, unit="step", mininterval=1.0,
                   desc=f"epoch {epoch + 1}/{settings.epochs}")
        with bar:
            for i in range(done, settings.steps_per_epoch):
                values = step(next(batches))
                self.steps.assign_add(1)
                if self.average.pairs and (i + 1) % _EMA_EVERY == 0:
                    self.average.update()
                if i % 20 == 0 or i + 1 == settings.steps_per_epoch:
                    self._look_at(values, bar)
                bar.update()

    def _look_at(self, values, bar) -> None:
        """Shows the epoch's means so far, and stops at a loss that is no number."""
        figures = {name: float(v) for name, v in values.items()}
        if not all(map(math.isfinite, figures.values())):
            last = self.manager.latest_checkpoint
            raise DataError(f"the loss is not a finite number at step {int(self.steps)}: try a lower --learning_rate "
                            f"or --clip_norm ({'the last good checkpoint is ' + last if last else 'no checkpoint yet'})")
        psnr = -10 * math.log10(max(figures["mse"], 1e-9) / 255 ** 2)
        bar.set_postfix_str(f"loss {figures['loss']:.4f}, {figures['bpp']:.3f} bpp, {psnr:.2f} dB")

    def _report(self, epoch: int, batch) -> None:
        """TensorBoard: the epoch's means, the learning rate, and a few patches beside their reconstructions."""
        with self.log.as_default(step=epoch + 1):
            for metric in self.model.metrics:
                tf.summary.scalar(metric.name, metric.result())
            tf.summary.scalar("learning_rate", Schedule(self.settings)(self.steps))
            x = batch[:2]
            estimate = self.model.estimate(tf.cast(x, tf.float32))
            x_hat = tf.cast(tf.round(tf.clip_by_value(estimate.x_hat, 0, 255)), tf.uint8)
            tf.summary.image("original | reconstruction", tf.concat([x, x_hat], 2))
        self.log.flush()

    def save(self, folder: str, half: bool = False) -> bytes:
        """Writes the model (its averaged weights, if there are any) with fresh range-coding tables."""
        self.average.swap()
        self.model.freeze()
        settings = dataclasses.asdict(self.settings)
        identity = weights.save(self.model, self.script, folder, half, training=settings, steps=int(self.steps))
        self.average.swap()
        print(f"model {identity.hex()} saved in '{folder}'", file=sys.stderr)
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
    except (OSError, ValueError, KeyError):
        raise DataError(f"no model in '{folder}': it has neither model.json nor run.json") from None
    latest = tf.train.latest_checkpoint(os.path.join(folder, "checkpoints"))
    if latest is None:
        raise DataError(f"the run in '{folder}' has no checkpoint yet")
    model = registry.build(script, preset, **kwargs)
    averages = [tf.Variable(v) for v in model.trainable_variables] if run["settings"].get("ema") else []
    try:
        tf.train.Checkpoint(model=model, average=averages).restore(latest).expect_partial()
    except (ValueError, tf.errors.OpError):
        raise DataError(f"checkpoint '{latest}' is damaged, or of another version") from None
    for mean, v in zip(averages, model.trainable_variables):
        v.assign(mean)
    model.freeze()
    return script, model
