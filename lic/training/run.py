"""One training run from its first step, or the one after its last checkpoint, to a saved model."""

from __future__ import annotations

import contextlib
import dataclasses
import itertools
import math
from collections.abc import Iterator

import numpy as np
import tensorflow as tf

import config
from lic import data, graph_storing, observing, step_state, weights
from lic.errors import DataError
from lic.interrupts import Interrupted, Interrupts
from lic.model import STRIDE
from lic.training import initial, reports, validation
from lic.training.averaging import Average
from lic.training.checkpoints import FOLDER, Checkpoints, stands_in
from lic.training.compiling import compiled
from lic.training.crew import gather
from lic.training.folder import Folder, make
from lic.training.noise import noise_from
from lic.training.recovery import NotFinite, Recovery
from lic.training.schedules import Schedule
from lic.training.settings import check
from lic.training.validation import Validated, Validation

_OBSERVED = 16    # batches, for the range-coding tables
_LOOK_EVERY = 20  # steps; reading the figures makes the host wait for the device


class Run:
    """One training run and its folder.

    Args:
      script, preset: what is trained.
      settings: how.
      runtime: of its switches, `xla` compiles the whole training step.
    Raises:
      UsageError: a setting can't be meant, or TF_CONFIG; or another process trains in the folder. DataError: there is
        nothing to train on, the folder is no good, or another machine is gone.

    Gotchas:
    * The folder is held from here to the end of `train`, or to `close` for a run that is not trained.
    """

    def __init__(self, script: str, preset: config.Preset, settings: config.Training,
                 runtime: config.Runtime | None = None):
        runtime = runtime or config.Runtime()
        check(script, preset, settings, runtime)
        self.script, self.preset, self.settings = script, preset, settings
        self.begins_with: str | None = None
        self.crew = gather(settings.batchsize, runtime.xla)
        self.folder = Folder(script, preset.name, settings)
        try:
            self._set_up(runtime)
        except BaseException:
            self.close()
            raise

    def _set_up(self, runtime: config.Runtime) -> None:
        script, preset, settings = self.script, self.preset, self.settings
        self.crew.lead(self._look)
        self.source = data.open_source(settings)
        self.crew.lead(self.folder.make)
        tf.keras.utils.set_random_seed(settings.seed)
        self.schedule = Schedule(settings)
        self.model = compiled(script, preset, settings, self.schedule, self.begins_with, self.crew)
        self.crew.lead(self._start_linear)
        self.average = Average(self.model.trainable_variables, settings.ema)
        self.steps = tf.Variable(0, dtype=tf.int64, trainable=False)
        self.checkpoints = Checkpoints(self.folder.path(FOLDER), self.model, self.average, self.steps)
        self.crew.lead(self._take_over)
        self._spread()
        self.clock = self.crew.clock(settings.minutes)
        self.step = tf.function(self._step, autograph=False, reduce_retracing=True, jit_compile=runtime.xla or None)
        self._finite = tf.function(self._all_finite, autograph=False)

    def _look(self) -> None:
        """What stands in the folders and validates, and which weights to begin with."""
        self.folder.look()
        self._validated_by = validation.pictures(self.settings.validation_glob)
        self.begins_with = initial.begins_with(self.settings, self.script, self.preset.name)

    def _start_linear(self) -> None:
        if self.settings.linear_start and not stands_in(self.settings.train_path):
            initial.make_linear(self.model, self.settings.lmbda, self.source)

    def _take_over(self) -> None:
        """What a run has beside its weights, and all that the last checkpoint holds."""
        self.validation = Validation(self._validated_by, self.model)
        self.recovery = Recovery(self.folder, self.checkpoints, self.schedule.slowdown)
        self.resumed = self.checkpoints.restore()
        self.folder.claim()
        self.log = reports.Log(self.folder.path("logs"))

    def _spread(self) -> None:
        """Has all machines go on from where the first one is."""
        state = step_state.variables(self.model, self.average, self.steps)
        means = [v for mean in self.model.metrics for v in mean.variables]
        self.crew.spread([*state.values(), *means, self.schedule.slowdown])

    @property
    def total(self) -> int:
        """Steps of the whole run."""
        return self.settings.epochs * self.settings.steps_per_epoch

    def train(self) -> None:
        """Trains to the end, or until its minutes are over, and saves the model.

        Raises:
          Interrupted: by Ctrl-C or SIGTERM; a checkpoint was written. DataError: it can't go on. UsageError: it was
            closed, and another process trains there.
        """
        with contextlib.closing(self):
            self.crew.lead(self.folder.hold)
            self.crew.lead(self._announce)
            with _in_one_line(), self.crew.guard(), Interrupts() as interrupts:
                self._train_to_the_end(interrupts)
            self.crew.lead(self._finish)

    def close(self) -> None:
        """Lets go of the folder, for other runs."""
        self.folder.let_go()

    def _train_to_the_end(self, interrupts: Interrupts) -> None:
        while int(self.steps) < self.total and not self.clock.is_up:
            try:
                self._train_on(interrupts)
            except NotFinite as broken:
                self._go_back(broken)

    def _go_back(self, broken: NotFinite) -> None:
        self.crew.lead(lambda: self.recovery.go_back(broken, int(self.steps)))
        self._spread()

    def _finish(self) -> None:
        if int(self.steps) < self.total:
            reports.say(f"{self.settings.minutes:g} minutes are over at step {int(self.steps)} of {self.total}; the "
                        "same command goes on from there")
        self.save(self.folder.model)

    def _train_on(self, interrupts: Interrupts) -> None:
        if self.crew.any(self.crew.leads and self.checkpoints.latest is None):
            self._save_checkpoint()   # to come back to
        batches = iter(self.crew.batches(self.source, int(self.steps)))
        while int(self.steps) < self.total and not self.clock.is_up:
            self._train_epoch(batches, interrupts)

    def _announce(self) -> None:
        s, parameters = self.settings, sum(int(tf.size(v)) for v in self.model.trainable_variables)
        ladder = self.preset.lambdas
        rates = f"lambda {ladder[0]:g} to {ladder[-1]:g}" if ladder else f"lambda {s.lmbda:g} of {s.distortion}"
        reports.say(f"{self.script} {self.preset.name}, {parameters:,} weights, {rates}, {self.source.size} pictures; "
                    f"checkpoints and logs in '{s.train_path}'")
        if s.patchsize % STRIDE:
            reports.say(f"--patchsize {s.patchsize} is padded to {s.patchsize + -s.patchsize % STRIDE} inside the "
                        f"model: multiples of {STRIDE} waste nothing")
        if self.begins_with:
            reports.say(f"beginning with the weights of '{s.init_from}'")
        if self.resumed and int(self.steps) < self.total:
            reports.say(f"going on from step {int(self.steps)} of {self.total}")
        elif self.resumed:
            reports.say(f"nothing is left to learn: step {int(self.steps)} is reached, and {self.total} are wanted "
                        "(--epochs x --steps_per_epoch); the model is written anew")

    def _step(self, batch):
        """All that changes in a step, in one function: an interruption finds either all of it done or nothing."""
        with noise_from(self.settings.seed, self.steps):
            losses = self.crew.learn(self.model.learn, batch)
        values = self.model.update_means(losses)
        self.average.update(self.steps.assign_add(1))
        return values

    def _train_epoch(self, batches, interrupts: Interrupts) -> None:
        epoch, done = divmod(int(self.steps), self.settings.steps_per_epoch)
        if not done:
            for metric in self.model.metrics:
                metric.reset_state()
        with reports.bar(epoch, self.settings.epochs, self.settings.steps_per_epoch, done) as bar:
            for i in range(done, self.settings.steps_per_epoch):
                self.schedule.elapsed.assign(self.clock.elapsed)
                batch = next(batches)
                values = self.step(batch)
                if i % _LOOK_EVERY == 0:
                    bar.set_postfix_str(self._figures(values), refresh=False)
                bar.update()
                if self.crew.any(interrupts.asked):
                    self._stop()
                if self.clock.is_up:
                    break
        figures = self._figures(values)
        self._save_checkpoint()
        self.crew.lead(lambda: self._report(epoch, batch, figures))

    def _stop(self) -> None:
        self._save_checkpoint()
        raise Interrupted(f"stopped at step {int(self.steps)} of {self.total}; the same command goes on from there")

    def _figures(self, values) -> str:
        """The epoch's means so far in words."""
        figures = {name: float(v) for name, v in values.items()}
        if not all(map(math.isfinite, figures.values())):
            raise NotFinite("the loss")
        return reports.in_words(figures)

    def _all_finite(self):
        return tf.reduce_all([tf.reduce_all(tf.math.is_finite(v)) for v in self.model.trainable_variables])

    def _save_checkpoint(self) -> None:
        """Writes one, unless it would take the place of a good one with weights that are no numbers."""
        if self.crew.any(not self._finite()):
            raise NotFinite("a weight")
        self.crew.lead(self.checkpoints.save)

    def _report(self, epoch: int, batch, figures: str) -> None:
        """A line; to TensorBoard the epoch's means, the learning rate, and pictures beside their reconstructions."""
        validated = self._validate()
        scalars = {**{m.name: m.result() for m in self.model.metrics}, **validated.figures,
                   "learning_rate": self.schedule(self.steps)}
        patches = reports.beside_reconstructions(self.model, batch[:2])
        self.log.write(epoch + 1, scalars, {"original | reconstruction": patches, **validated.pictures})
        reports.say(f"epoch {epoch + 1}/{self.settings.epochs}, step {int(self.steps)} of {self.total}: {figures}"
                    f"{reports.validation_in_words(validated.figures)}")

    def _validate(self) -> Validated:
        if not self.validation.paths:
            return Validated({}, {})
        with self.average.in_place():
            return self.validation()

    def _some_batches(self) -> Iterator[np.ndarray]:
        return itertools.islice(self.source.batches(int(self.steps)).as_numpy_iterator(), _OBSERVED)

    def save(self, folder: str) -> bytes:
        """Writes the model (its averaged weights, if there are any) with fresh range-coding tables."""
        make("model_path", folder)
        about = dataclasses.asdict(self.settings)
        with self.average.in_place():
            self.model.freeze(observing.tables_of(self.model, self._some_batches()))
            identity = weights.save(self.model, self.script, folder, training=about, steps=int(self.steps),
                                    run=self.folder.identity)
        graph_storing.save(folder)
        reports.say(f"model {identity.hex()} saved in '{folder}'")
        return identity


@contextlib.contextmanager
def _in_one_line() -> Iterator[None]:
    """What TensorFlow says of a training that can't go on, for people."""
    try:
        yield
    except tf.errors.ResourceExhaustedError:
        raise DataError("not enough memory: try a smaller --batchsize or --patchsize") from None
    except tf.errors.InvalidArgumentError as error:
        if "Dataset was empty" not in str(error):
            raise
        raise DataError("too many pictures in a row can't be decoded") from None
