"""Trains where TensorFlow 2.14 can't go: runs a step of `train --export_step` on any device that JAX knows.

    python -m lic.pjrt_train build/step --pictures 'pics/**/*.jpg'
    python build/step/pjrt_train.pyz build/step --pictures 'pics/**/*.jpg'    # without this project

Needs jax and numpy, and Pillow to read pictures. The run goes on from `state.npz` in the folder, writes it anew as its
checkpoint, and adds a line for each step to `log.csv`. Afterwards the folder is that of a training run: `train
--train_path` goes on from it and `compress --model_path` takes it.

Gotchas:
* The first step compiles the program, which takes minutes for large models; only once, where the environment variable
  JAX_COMPILATION_CACHE_DIR names a folder.
* XLA may multiply float32 with the precision of TF32 on GPUs that have it.
* On processors some versions of jaxlib (0.11) stand still for ever in such a program; then
  XLA_FLAGS=--xla_cpu_multi_thread_eigen=false helps.
"""

from __future__ import annotations

import argparse
import contextlib
import math
import os
import sys
import time
from typing import NoReturn

import numpy as np

from lic import folder_lock
from lic.clock import Clock
from lic.drops import drops_of
from lic.errors import DataError, UsageError, UserError
from lic.files import shown
from lic.interrupts import Interrupted, Interrupts, killed_at_once
from lic.pjrt import folder as folders
from lic.pjrt import pictures
from lic.pjrt.schedule import SCHEDULES, learning_rate

_AT_ONCE = 10   # steps of a call, where a device runs them without the host

_TITLE = "Runs a training step of `train --export_step` on any device that JAX knows."
_EXAMPLE = "example: python -m lic.pjrt_train build/step --pictures 'pics/**/*.jpg' --steps 100000 --minutes 60"


class Run:
    """A run from where the folder's state stands.

    Args:
      a: the arguments of the command line.
      about: what step.json says.
    """

    def __init__(self, a: argparse.Namespace, about: dict):
        self.a, self.about = a, about
        size, self.side = about["arguments"]["pictures"]["shape"][:2]
        source = pictures.open_source(a.pictures, self.side)
        self.state = folders.read_state(a.folder, about)
        self.step = self.saved = int(self.state["steps"])
        self.program = _program(folders.read_hlo(a.folder, about), about, a.bfloat16)
        self.log = folders.Log(a.folder, ["step", *about["figures"], "learning_rate", "lambda"], self.step)
        wanted = a.steps_per_call or (1 if self.program.is_processor else _AT_ONCE)
        self.at_once = min(wanted, a.log_every, a.save_every)   # no call makes more; the rest would only take memory
        self.batches = pictures.batches(source, size, self.side, a.seed, self.step, a.threads, self.at_once)
        self.drops = drops_of(a.lr_schedule, a.lr_steps)
        self.interrupts, self.clock = Interrupts(), Clock(a.minutes)
        _say(f"{about['script']} {about['preset']}, {source.count} pictures, batches of {size} x {self.side}x"
             f"{self.side}, step {self.step} of {a.steps}")

    def train(self) -> None:
        """To the last step, to the end of the time, or to an interruption.

        Raises:
          Interrupted: by Ctrl-C or SIGTERM, after the state was saved. DataError: it can't go on.
        """
        _say(f"compiling for {self.program.device}")
        with contextlib.closing(self.batches), _told_of_memory():
            if not self._is_over():
                # It tells whether all is well, and takes the time of compiling, in which Python hears of no signal.
                with killed_at_once():
                    self._go_to(self.step + 1)
            with self.interrupts:
                while not self._is_over():
                    self._go_to(min(self.a.steps, self._next(self.a.log_every), self._next(self.a.save_every)))
                self.save()
        if self.interrupts.asked:
            raise Interrupted(f"stopped at step {self.step} of {self.a.steps}; the same command goes on from there")
        _say(f"step {self.step} of {self.a.steps}: saved in '{shown(self.a.folder)}'")

    def _go_to(self, last: int) -> None:
        self._look(*self._advance(last))
        if self.step % self.a.save_every == 0:
            self.save()

    def _is_over(self) -> bool:
        return self.step >= self.a.steps or self.interrupts.asked or self.clock.is_up

    def _next(self, every: int) -> int:
        return (self.step // every + 1) * every

    def _advance(self, last: int) -> tuple[list[list], float]:
        """At least a step, at most up to `last`; returns their rows of the log, and the seconds that they took."""
        first, rates, figures, start = self.step, [], [], time.monotonic()
        while not rates or (self.step < last and not self._is_over()):
            new = [self._rate(step) for step in range(self.step, min(last, self.step + self.at_once))]
            figures.append(self._steps(new) if self.at_once > 1 else self._one_step(new[0]))
            self.step, rates = self.step + len(new), rates + new
        read = np.concatenate([np.atleast_2d(f) for f in figures])   # only now: it waits for the device
        rows = [[first + 1 + i, *map(float, read[i]), rate, self.a.lmbda] for i, rate in enumerate(rates)]
        return rows, time.monotonic() - start

    def _one_step(self, rate: float):
        self.state, results = self.program(self.state, pictures=next(self.batches), learning_rate=np.float32(rate),
                                           **self._constants())
        return results["figures"]

    def _steps(self, rates: list[float]):
        """As many steps as rates, in one call."""
        batches, padded = [next(self.batches) for _ in rates], np.zeros(self.at_once, np.float32)
        padded[:len(rates)] = rates
        batches += batches[:1] * (self.at_once - len(rates))
        self.state, results = self.program.steps(len(rates), self.state, pictures=np.stack(batches),
                                                 learning_rate=padded, **self._constants())
        return results["figures"]

    def _constants(self) -> dict:
        return {"lambda": np.float32(self.a.lmbda), "seed": np.int64(self.a.seed)}

    def _rate(self, step: int) -> float:
        a = self.a
        return learning_rate(step, a.steps, rate=a.learning_rate, schedule=a.lr_schedule, warmup=a.warmup_steps,
                             drops=self.drops, elapsed=self.clock.elapsed)

    def _look(self, rows: list[list], seconds: float) -> None:
        """Logs steps and tells of their means; stops at a loss that is no number."""
        names = self.about["figures"]
        means = np.mean([row[1:1 + len(names)] for row in rows], 0)
        if not np.isfinite(means).all():
            self._refuse("the loss or its gradient")
        self.log.add(rows)
        _say(f"step {self.step} of {self.a.steps}: " + ", ".join(f"{n} {m:.4g}" for n, m in zip(names, means))
             + f", {1000 * seconds / len(rows):.0f} ms a step")

    def save(self) -> None:
        """Writes the state, unless it is written, or would take the place of a good one with numbers that are none."""
        if self.step == self.saved:
            return
        arrays = {name: np.asarray(array) for name, array in self.state.items()}
        if not all(np.isfinite(array).all() for array in arrays.values()):
            self._refuse("a weight")
        folders.write_state(self.a.folder, arrays)
        self.saved = self.step

    def _refuse(self, what: str) -> None:
        raise DataError(f"{what} is not a finite number at step {self.step}: try a lower --learning_rate; "
                        f"'{folders.STATE}' holds the last good state")


@contextlib.contextmanager
def _told_of_memory():
    """JAX has no exception of its own for it."""
    try:
        yield
    except RuntimeError as error:
        if "RESOURCE_EXHAUSTED" not in str(error):
            raise
        raise DataError("not enough memory on the device: export the step with a smaller --batchsize") from None


def _program(hlo: bytes, about: dict, bfloat16: bool):
    try:
        from lic.pjrt.program import Program
    except ImportError as error:
        if (error.name or "").split(".")[0] not in ("jax", "jaxlib"):
            raise
        raise UsageError("jax is missing: pip install '.[jax]', or where there is a GPU pip install 'jax[cuda12]' "
                         "numpy Pillow") from None
    return Program(hlo, about, bfloat16, each=("pictures", "learning_rate"))


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


# The command line ----------------------------------------------------------------------------------------------------

class _Parser(argparse.ArgumentParser):
    """Says in one line what is wrong, and where help is."""

    def error(self, message: str) -> NoReturn:
        _say(f"pjrt_train: {shown(message)} (see --help)")
        sys.exit(2)


def _parser() -> _Parser:
    parser = _Parser(prog="pjrt_train", description=_TITLE, epilog=_EXAMPLE,
                     formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add("folder", metavar="DIR", help="what `train --export_step` made; holds the checkpoint and the log, too")
    add("--pictures", metavar="GLOB", required=True,
        help="pictures to train on, e.g. 'pics/**/*.jpg', or a folder of them, or a file of --pack, which ends in .npy")
    add("--pack", metavar="FILE.npy", help="do not train: cut the pictures into patches and write them to this file")
    add("--pack_side", type=int, metavar="PIXELS", help="side of these patches (default: one and a half times that of "
                                                        "the exported step)")
    add("--steps", type=int, help="steps of the whole run (default: as exported: epochs x steps an epoch)")
    add("--minutes", type=float, default=0.0,
        help="stop after this time, with a checkpoint; the schedule is as far as the steps or the time is, whichever "
             "is more (default: 0, no end)")
    add("--lambda", type=float, dest="lmbda", metavar="LAMBDA", help="lambda of the loss (default: as exported)")
    add("--learning_rate", type=float, help="learning rate of Adam (default: as exported)")
    add("--lr_schedule", metavar="NAME", help=f"{', '.join(SCHEDULES)}, as of `train` (default: as exported)")
    add("--lr_steps", metavar="FRACTIONS", help="where multistep drops, as of `train` (default: as exported)")
    add("--warmup_steps", type=int, help="steps over which the learning rate grows to its value (default: as exported)")
    add("--seed", type=int, help="seed of patches and noise (default: as exported)")
    add("--bfloat16", action="store_true", help="multiply in bfloat16; weights and all else stay in float32")
    add("--steps_per_call", type=int, default=0, metavar="STEPS",
        help=f"steps that the device makes without its host (default: 1 on processors, else {_AT_ONCE})")
    add("--threads", type=int, default=os.cpu_count() or 1, help="pictures that are read at the same time (default: "
                                                                 "%(default)s)")
    add("--log_every", type=int, default=20, help="steps between lines (default: %(default)s)")
    add("--save_every", type=int, default=1000, help="steps between checkpoints (default: %(default)s)")
    return parser


def _with_defaults(a: argparse.Namespace, about: dict) -> argparse.Namespace:
    """What was not given is as exported.

    Raises:
      UsageError: a number is out of its range.
    """
    settings = about["settings"]
    defaults = {**settings, "steps": settings["epochs"] * settings["steps_per_epoch"],
                "pack_side": 3 * about["arguments"]["pictures"]["shape"][1] // 2}
    for name in ("steps", "lmbda", "learning_rate", "lr_schedule", "lr_steps", "warmup_steps", "seed",
                 "pack_side"):
        if getattr(a, name) is None:
            setattr(a, name, defaults[name])
    _check(a)
    return a


def _check(a: argparse.Namespace) -> None:
    for name in ("steps", "lmbda", "learning_rate", "threads", "log_every", "save_every", "pack_side"):
        if not 0 < getattr(a, name) < math.inf:
            raise UsageError(f"--{'lambda' if name == 'lmbda' else name} must be a positive number")
    for name in ("minutes", "warmup_steps", "steps_per_call"):
        if not 0 <= getattr(a, name) < math.inf:
            raise UsageError(f"--{name} must be 0 or a positive number")
    if not 0 <= a.seed < 2 ** 32:
        raise UsageError("--seed must be a number from 0 to 4294967295")
    if a.lr_schedule not in SCHEDULES:
        raise UsageError(f"--lr_schedule '{a.lr_schedule}' is not one of {', '.join(SCHEDULES)}")
    drops_of(a.lr_schedule, a.lr_steps)


def run(a: argparse.Namespace) -> None:
    """Runs the parsed command."""
    about = folders.read_about(a.folder)
    a = _with_defaults(a, about)
    if a.pack:
        count = pictures.pack(a.pictures, a.pack, a.pack_side)
        _say(f"patches of {a.pack_side}x{a.pack_side} in '{shown(a.pack)}': {count}")
        return
    with folder_lock.held(a.folder):
        Run(a, about).train()


def main() -> None:
    """The command; exit codes as of the project's scripts."""
    try:
        run(_parser().parse_args())
    except UserError as error:
        _say(f"pjrt_train: {shown(str(error))}")
        sys.exit(error.exit_code)
    except KeyboardInterrupt:
        _say("pjrt_train: interrupted")
        sys.exit(130)


if __name__ == "__main__":
    main()
