"""Short runs of a model that is traced in seconds; the lines under test are the same for all."""

from __future__ import annotations

import contextlib
import dataclasses
import glob
import io
import os
import signal
import socket

import numpy as np
import tensorflow as tf

import config
from lic.training import Run

SCRIPT = "zyc2022"
MICRO = dataclasses.replace(config.PRESETS[SCRIPT]["tiny"], name="micro", transforms="conv", entropy="hyperprior",
                            conv_width=8)


def smooth(seed, height=96, width=112) -> np.ndarray:
    """A picture of waves, uint8."""
    rng = np.random.default_rng(seed)
    rows, columns = np.mgrid[:height, :width] / 20
    waves = [np.sin(rows * a + columns * b + c) for a, b, c in rng.uniform(0, 2, (3, 3))]
    return np.uint8(127 + 100 * np.stack(waves, -1))


def run_of(settings: config.Training, **switches) -> Run:
    """A run that has not begun."""
    return Run(SCRIPT, MICRO, settings, config.Runtime(**switches))


def looked_at(settings: config.Training) -> Run:
    """One that never begins, and lets go of its folder."""
    with contextlib.closing(run_of(settings)) as run:
        return run


def train(run: Run) -> list[str]:
    """Trains to the end and returns the lines that were said; none of them is a bar."""
    said = io.StringIO()
    with contextlib.redirect_stderr(said):
        run.train()
    assert "\r" not in said.getvalue()
    return said.getvalue().splitlines()


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


def broken_in_step(run: Run, number: int) -> Run:
    """Makes a weight no number after that step (from 1), the first time that it is made."""
    step, left = run.step, [number]

    def breaking(batch):
        values = step(batch)
        if int(run.steps) in left:
            left.clear()
            run.model.trainable_variables[0].assign(run.model.trainable_variables[0] * np.nan)
        return values

    run.step = breaking
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


def places(count: int) -> list[dict]:
    """TF_CONFIG of each of so many machines on loopback."""
    with_ports = [socket.create_server(("", 0)) for _ in range(count)]
    addresses = [f"127.0.0.1:{each.getsockname()[1]}" for each in with_ports]
    for each in with_ports:
        each.close()
    return [{"cluster": {"worker": addresses}, "task": {"type": "worker", "index": n}} for n in range(count)]
