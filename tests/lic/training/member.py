"""A process that trains a model that is traced in seconds: one of several machines, or with several devices.

python -m tests.lic.training.member '{"settings": {...}, "devices": 2, "broken": 7}'
"""

from __future__ import annotations

import json
import sys

import tensorflow as tf

import config
from lic import graph_storing
from lic.errors import UserError
from lic.training import Run
from tests.lic.training.runs import MICRO, SCRIPT, broken_in_step


def train(settings: dict, devices: int = 1, broken: int = 0) -> None:
    """Trains to the end.

    Args:
      settings: fields of `config.Training`.
      devices: into so many the processor is divided.
      broken: the step after which a weight of this process is no number.
    """
    processor, = tf.config.list_physical_devices("CPU")
    tf.config.set_logical_device_configuration(processor, [tf.config.LogicalDeviceConfiguration()] * devices)
    graph_storing.save = lambda folder: None
    run = Run(SCRIPT, config.variable(MICRO), config.Training(**settings))
    (broken_in_step(run, broken) if broken else run).train()


if __name__ == "__main__":
    try:
        train(**json.loads(sys.argv[1]))
    except UserError as error:
        print(error, file=sys.stderr)
        sys.exit(error.exit_code)
