"""One training run from its first step, or the one after its last checkpoint, to a saved model."""

from __future__ import annotations

import dataclasses
import math

import tensorflow as tf

import config
from lic import data, registry, weights
from lic.errors import DataError
from lic.model import STRIDE
from lic.training import reports
from lic.training.averaging import Average
from lic.training.checkpoints import FOLDER, Checkpoints
from lic.training.folder import Folder, make
from lic.training.interrupts import Interrupted, Interrupts
from lic.training.noise import noise_from
from lic.training.optimizer import optimizer_of
from lic.training.schedules import Schedule
from lic.training.settings import check
from lic.training.validation import Validation

_LOOK_EVERY = 20  # steps; reading the figures makes the host wait for the device


class Run:
    """One training run and its folder.

    Args:
      script, preset: what is trained.
      settings: how.
    """

    def __init__(self, script: str, preset: config.Preset, settings: config.Training):
        check(settings)
        self.script, self.preset, self.settings = script, preset, settings
        self.folder = Folder(script, preset.name, settings)
        self.source = data.open_source(settings)
        self.folder.make()
        tf.keras.utils.set_random_seed(settings.seed)
        self.model = self._compiled_model()
        self.average = Average(self.model.trainable_variables, settings.ema)
        self.validation = Validation(settings.validation_glob, self.model)
        self.steps = tf.Variable(0, dtype=tf.int64, trainable=False)
        self.checkpoints = Checkpoints(self.folder.path(FOLDER), self.model, self.average, self.steps)
        self.resumed = self.checkpoints.restore()
        self.folder.claim()
        self.log = reports.Log(self.folder.path("logs"))
        self.step = tf.function(self._step, autograph=False, reduce_retracing=True)
        self._finite = tf.function(self._all_finite, autograph=False)

    def _compiled_model(self):
        precision = "bfloat16" if self.settings.precision_policy == "mixed_bfloat16" else "float32"
        model = registry.build(self.script, self.preset, precision=precision)
        model.compile(optimizer_of(self.settings), self.settings.lmbda)
        # Made by the first step, the optimizer's variables would have it traced twice: a minute for large models.
        model.optimizer._create_all_weights(model.trainable_variables)
        return model

    @property
    def total(self) -> int:
        """Steps of the whole run."""
        return self.settings.epochs * self.settings.steps_per_epoch

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
        self.save(self.settings.model_path or self.folder.path("model"))

    def _announce(self) -> None:
        s, parameters = self.settings, sum(int(tf.size(v)) for v in self.model.trainable_variables)
        reports.say(f"{self.script} {self.preset.name}, {parameters:,} weights, lambda {s.lmbda:g}, {self.source.size} "
                    f"pictures; checkpoints and logs in '{s.train_path}'")
        if s.patchsize % STRIDE:
            reports.say(f"--patchsize {s.patchsize} is padded to {s.patchsize + -s.patchsize % STRIDE} inside the "
                        f"model: multiples of {STRIDE} waste nothing")
        if self.resumed:
            reports.say(f"going on from step {int(self.steps)} of {self.total}")

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
        with reports.bar(epoch, self.settings.epochs, self.settings.steps_per_epoch, done) as bar:
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
        return reports.in_words(figures)

    def _refuse(self, what: str) -> None:
        last = self.checkpoints.latest
        raise DataError(f"{what} is not a finite number at step {int(self.steps)}: try a lower --learning_rate or "
                        f"--clip_norm ({'the last good checkpoint is ' + last if last else 'no checkpoint yet'})")

    def _all_finite(self):
        return tf.reduce_all([tf.reduce_all(tf.math.is_finite(v)) for v in self.model.trainable_variables])

    def _save_checkpoint(self) -> None:
        """Writes one, unless it would take the place of a good one with weights that are no numbers."""
        if not self._finite():
            self._refuse("a weight")
        self.checkpoints.save()

    def _report(self, epoch: int, batch, figures: str) -> None:
        """A line; to TensorBoard the epoch's means, the learning rate, and two patches beside their reconstructions."""
        validated = self._validate()
        scalars = {**{m.name: m.result() for m in self.model.metrics}, **validated,
                   "learning_rate": Schedule(self.settings)(self.steps)}
        pictures = reports.beside_reconstructions(self.model, batch[:2])
        self.log.write(epoch + 1, scalars, {"original | reconstruction": pictures})
        if validated:
            figures += f"; validation {validated['validation/bpp']:.3f} bpp, {validated['validation/psnr']:.2f} dB"
        reports.say(f"epoch {epoch + 1}/{self.settings.epochs}, step {int(self.steps)} of {self.total}: {figures}")

    def _validate(self) -> dict[str, float]:
        if not self.validation.paths:
            return {}
        with self.average.in_place():
            return self.validation.figures()

    def save(self, folder: str, half: bool = False) -> bytes:
        """Writes the model (its averaged weights, if there are any) with fresh range-coding tables."""
        make("model_path", folder)
        about = dataclasses.asdict(self.settings)
        with self.average.in_place():
            self.model.freeze()
            identity = weights.save(self.model, self.script, folder, half, training=about, steps=int(self.steps))
        reports.say(f"model {identity.hex()} saved in '{folder}'")
        return identity
