"""The whole training step as a program for XLA: `train --export_step`, for machines that TensorFlow 2.14 can't use.

Forward pass, gradient, clipping, Adam and moving average become one HLO module, a function of a batch of pictures, of
lambda, learning rate and seed, and of the state (`lic.step_state`). `lic.pjrt_train` runs it with JAX alone. Into the
folder go `step.hlo.xz` (the module), `step.json` (what its inputs and outputs are), `state.npz`, `run.json` and
`pjrt_train.pyz`, which is `lic.pjrt_train` in one file. So the folder is that of a training run, too.

Gotchas:
* XLA turns each variable that is captured into a parameter behind the arguments, in the order of capture. Those that
  are assigned become results behind the returned ones; here all are returned by name, and those behind are left unread.
* Shapes are static: another batch or patch size needs another export.
* XLA's noise is the same in TensorFlow and JAX, but not that of TensorFlow's own kernels.
"""

from __future__ import annotations

import dataclasses
import hashlib
import io
import json
import lzma
import os
import zipfile
from collections.abc import Callable
from typing import NamedTuple

import tensorflow as tf

import config
from lic import files, folder_lock, step_state, training
from lic.errors import UsageError
from lic.pjrt import folder as folders
from lic.resources import RUN
from lic.training import initial
from lic.training.checkpoints import FOLDER, Checkpoints, stands_in
from lic.training.compiling import compiled
from lic.training.folder import make, read_own
from lic.training.settings import check

_RUNNER = "pjrt_train.pyz"
_RUNNER_MODULES = ("__init__", "errors", "clock", "drafts", "drops", "files", "finding", "folder_lock",
                   "interrupts", "pjrt_train", "pjrt/__init__", "pjrt/folder", "pjrt/pictures", "pjrt/program",
                   "pjrt/schedule")


class Program(NamedTuple):
    """A lowered function: its HLO (a serialised proto), and what stands in `step.json` of its inputs and outputs."""

    hlo: bytes
    about: dict


def lower(function: Callable[..., dict[str, tf.Tensor]], arguments: dict[str, tf.TensorSpec],
          state: dict[str, tf.Variable]) -> Program:
    """A function and the variables that it reads and assigns, as HLO.

    Args:
      function: of the arguments, in their order; returns its results by name.
      state: every variable that it uses, by name; all of them are results, too.
    """
    def whole(*values):
        results = function(*values)
        return {**results, **{name: v.read_value() for name, v in state.items()}}

    compiled = tf.function(whole, jit_compile=True, autograph=False)
    traced = compiled.get_concrete_function(*arguments.values())
    names = {id(v.handle): name for name, v in state.items()}
    about = {
        "arguments": {name: _kind(spec) for name, spec in arguments.items()},
        "inputs": [names[id(handle)] for handle in traced.captured_inputs],
        "outputs": {name: _kind(traced.structured_outputs[name]) for name in sorted(traced.structured_outputs)}}
    return Program(compiled.experimental_get_compiler_ir(*arguments.values())(stage="hlo_serialized"), about)


def _kind(tensor) -> dict:
    return {"shape": tensor.shape.as_list(), "dtype": tensor.dtype.name}


class Step:
    """A training step and the state that it changes.

    Args:
      script, preset: what is trained.
      settings: how; lambda, learning rate and seed of a step are its arguments.
    """

    def __init__(self, script: str, preset: config.Preset, settings: config.Training):
        self.script, self.preset, self.settings = script, preset, settings
        begins_with = initial.begins_with(settings, script, preset.name)
        tf.keras.utils.set_random_seed(settings.seed)
        self.model = compiled(script, preset, settings, training.Schedule(settings), begins_with)
        self.average = training.Average(self.model.trainable_variables, settings.ema)
        self.steps = tf.Variable(0, dtype=tf.int64, trainable=False)
        self.state = step_state.variables(self.model, self.average, self.steps)

    @property
    def arguments(self) -> dict[str, tf.TensorSpec]:
        """What is open in the program, beside the state."""
        b, p = self.settings.batchsize, self.settings.patchsize
        scalar = tf.TensorSpec((), tf.float32)
        return {"pictures": tf.TensorSpec((b, p, p, 3), tf.uint8), "lambda": scalar, "learning_rate": scalar,
                "seed": tf.TensorSpec((), tf.int64)}

    @property
    def figures(self) -> list[str]:
        """What a step tells of itself."""
        return [*(mean.name for mean in self.model.metrics), "gradient_norm"]

    def __call__(self, pictures, lmbda, learning_rate, seed) -> dict[str, tf.Tensor]:
        """To be traced: pictures (b, p, p, 3) uint8 and scalars -> the figures, one tensor of float32."""
        model, variables = self.model, self.model.trainable_variables
        model.lmbda, model.optimizer.learning_rate = lmbda, learning_rate   # tensors of this trace
        with training.noise_from(seed, self.steps), tf.GradientTape() as tape:
            losses = model.losses_of(pictures, training=True)
        # A table that is looked up has a sparse gradient, in which Adam would search for doubles, one by one in a loop.
        gradients = tape.gradient(losses[0], variables, unconnected_gradients=tf.UnconnectedGradients.ZERO)
        gradients = [tf.convert_to_tensor(g) for g in gradients]
        model.optimizer.apply_gradients(zip(gradients, variables))
        self.average.update_without_branch(self.steps.assign_add(1))
        return {"figures": tf.stack([*losses, tf.linalg.global_norm(gradients)])}

    def take_over(self, folder: str) -> bool:
        """Goes to where the run in a folder stands; returns whether there is one.

        Raises:
          DataError: what stands there does not fit.
        """
        return Checkpoints(os.path.join(folder, FOLDER), self.model, self.average, self.steps).restore()


def export(script: str, preset: config.Preset, settings: config.Training, folder: str,
           runtime: config.Runtime | None = None) -> Step:
    """Writes the step of a run, with the state of `settings.train_path` where one stands there, to a folder.

    Raises:
      UsageError: settings make no sense, or the folder holds another run, or one that is further, or that trains now.
      DataError: the run can't be taken over, or the folder can't be written.
    """
    check(script, preset, settings, runtime or config.Runtime())
    if settings.linear_start and not stands_in(settings.train_path):
        raise UsageError("--linear_start needs pictures: begin the run with train, then export it by its --train_path")
    with folder_lock.held(folder) as lock:
        read_own("export_step", folder, script, preset.name)
        step = Step(script, preset, settings)
        step.take_over(settings.train_path)
        _check_folder(folder, step)
        program = lower(step, step.arguments, step.state)
        make("export_step", folder)
        lock.take()   # of a new folder, in which somebody may have begun meanwhile
        _check_folder(folder, step)
        _write(folder, step, program)
    return step


def _check_folder(folder: str, step: Step) -> None:
    """Keeps it from another run's, and an export that is given twice from undoing what was trained between."""
    read_own("export_step", folder, step.script, step.preset.name)
    path, steps = os.path.join(folder, step_state.STATE), int(step.steps)
    if os.path.isfile(path) and step_state.steps_of(path) > steps:
        raise UsageError(f"'{folder}' holds step {step_state.steps_of(path)} of a run, which step {steps} would "
                         f"overwrite: give another --export_step, or --train_path '{folder}' to go on from there")


def _write(folder: str, step: Step, program: Program) -> None:
    settings = dataclasses.asdict(step.settings)
    run = {"script": step.script, "preset": step.preset.name, "settings": settings}
    about = {"format": folders.FORMAT, **run, "tensorflow": tf.__version__, "figures": step.figures,
             "hlo_sha256": hashlib.sha256(program.hlo).hexdigest(), **program.about}
    step_state.write(folder, step.state)
    written = {folders.HLO: lzma.compress(program.hlo, preset=3), _RUNNER: _runner(),
               folders.ABOUT: json.dumps(about).encode()}
    if not os.path.exists(os.path.join(folder, RUN)):   # a run of TensorFlow keeps its own
        written[RUN] = json.dumps(run, indent=2).encode()
    for name, data in written.items():
        files.write_atomically(os.path.join(folder, name), data)


def _runner() -> bytes:
    """`lic.pjrt_train` and what it stands on, as an archive that Python runs."""
    here, buffer = os.path.dirname(os.path.abspath(__file__)), io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name in _RUNNER_MODULES:
            archive.write(os.path.join(here, f"{name}.py"), f"lic/{name}.py")
        archive.writestr("__main__.py", "from lic.pjrt_train import main\n\nmain()\n")
    return buffer.getvalue()
